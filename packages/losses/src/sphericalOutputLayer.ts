import { checkInteger, checkNumber, checkTensor } from '@orth/backend';
import {
  customGrad,
  type Scalar,
  scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor,
  tensor1d,
  tensor2d,
} from '@tensorflow/tfjs-core';
import { type FactoredBatch, type FactoredForward, factoredForward } from './factoredForward.js';
import { factoredUpdate } from './factoredUpdate.js';
import type { FactoredWeights } from './factoredWeights.js';
import {
  augment,
  checkBatch,
  checkWidth,
  hostBatch,
  LOSS_OPTIONS,
  STEP_OPTIONS,
} from './sphericalBatch.js';
import type { SphericalLoss } from './sphericalLoss.js';
import {
  createWeights,
  type ResolvedLayer,
  resolveLayer,
  type SphericalOutputLayerOptions,
} from './sphericalOutputLayerOptions.js';
import {
  readState,
  type SphericalOutputLayerState,
  writeState,
} from './sphericalOutputLayerState.js';
import { greatest, scoreClasses } from './sphericalScores.js';
import type {
  SphericalFactors,
  SphericalLossCallOptions,
  SphericalOutputLayerStats,
  SphericalStep,
  SphericalStepOptions,
} from './sphericalStep.js';

/**
 * An output layer of D classes, logits `o = W h (+ bias)`, whose loss, gradient with respect to `h` **and update of W**
 * take O(m d² + m² d) for m examples, whatever D is. It makes the exact step of stochastic gradient descent, not a
 * sampled one; the loss must be a {@link SphericalLoss}, and descent plain: momentum, Adam or clipping of W's gradient
 * have no such form.
 *
 * W is kept as `V U + 1ωᵀ` in host memory: V in float32, of which a step touches the rows of its labels, everything
 * d × d in float64. That is the same on every backend; a step reads `hidden` and `labels` from the device. Synchronous
 * methods do so with `dataSync`, which WebGPU outside a browser does not have: there use {@link trainStepAsync}.
 *
 * Memory: 4 D d bytes, at most as much again for renormalisations, and O(d²): 1.1 GB at most for D = 1,000,000 and
 * d = 128.
 *
 * @example
 * const layer = new SphericalOutputLayer({ classes: 100_000, inputSize: 64, lossOptions: { a: 0.3, b: 10 } });
 * optimizer.minimize(() => layer.trainingLoss(model.predict(x), labels, { learningRate: 10 }));
 * const { indices } = await layer.topK(model.predict(x), 10);
 * @see Vincent, de Brébisson and Bouthillier 2015, arXiv 1412.7091 (the factors); renormalisation derived here
 */
export class SphericalOutputLayer {
  /** D */
  readonly classes: number;
  /** Length of a hidden vector, without the bias. */
  readonly inputSize: number;
  /** Whether each class has a bias: a further column of W, for a constant 1 in each hidden vector. */
  readonly useBias: boolean;
  readonly loss: SphericalLoss;
  private readonly conditionLimit: number;
  private factored: FactoredWeights | undefined;
  /** Counts changes, so that a backward pass knows whether its forward pass still belongs to the weights. */
  private changes = 0;

  /**
   * @throws TypeError for an unknown option or loss; RangeError for sizes below 1, or initial weights of another size
   */
  constructor(options: SphericalOutputLayerOptions) {
    const resolved: ResolvedLayer = resolveLayer(options);
    this.classes = resolved.classes;
    this.inputSize = resolved.inputSize;
    this.useBias = resolved.useBias;
    this.loss = resolved.loss;
    this.conditionLimit = resolved.conditionLimit;
    this.factored = createWeights(resolved);
  }

  /**
   * One step: descends along W's gradient and gives the gradient for the layers below, taken before W changed.
   *
   * @param hidden - `[…, inputSize]`, float32
   * @param labels - class indices, int32 or integers in float32: shape `[…]`, or `[…, K]` for K targets an example, whose
   *   losses are averaged
   * @throws RangeError for another shape, a label outside [0, D), or a learning rate below 0; TypeError for another
   *   dtype; NonFiniteError if `hidden` is not finite or the step would make weights infinite. Nothing is changed then
   */
  trainStep(hidden: Tensor, labels: Tensor, options: SphericalStepOptions): SphericalStep {
    this.alive('trainStep');
    const m = checkBatch('trainStep', this, hidden, labels, options, STEP_OPTIONS);
    const { learningRate, weights } = options;
    const batch = hostBatch('trainStep', this, m, hidden.dataSync(), labels.dataSync(), {
      ...options,
      weights: weights?.dataSync(),
    });
    return this.step(hidden.shape, batch, learningRate);
  }

  /**
   * As {@link trainStep}, for every backend: waits for `hidden` and `labels` to arrive on the host. Steps are made in the
   * order in which they arrive, so wait for one before the next.
   */
  async trainStepAsync(
    hidden: Tensor,
    labels: Tensor,
    options: SphericalStepOptions,
  ): Promise<SphericalStep> {
    this.alive('trainStepAsync');
    const m = checkBatch('trainStepAsync', this, hidden, labels, options, STEP_OPTIONS);
    const { shape } = hidden;
    const { learningRate, weights } = options;
    const [h, y, w] = await Promise.all([hidden.data(), labels.data(), weights?.data()]);
    const batch = hostBatch('trainStepAsync', this, m, h, y, { ...options, weights: w });
    return this.step(shape, batch, learningRate);
  }

  /**
   * The loss as a differentiable scalar; W stays as it is, also when differentiated. For validation, and for training
   * only what lies below.
   * @throws as {@link trainStep}
   */
  lossOf(hidden: Tensor, labels: Tensor, options: SphericalLossCallOptions = {}): Scalar {
    this.alive('lossOf');
    const m = checkBatch('lossOf', this, hidden, labels, options, LOSS_OPTIONS);
    return this.differentiable('lossOf', m, hidden, labels, options, 0);
  }

  /**
   * The loss as a differentiable scalar whose backward pass also makes the step of W: for `optimizer.minimize`, which
   * then trains everything below with its own rule and W by descent. Each backward pass makes one step; without one
   * (`evaluate`) W stays as it is. A factor on the loss counts for both gradients.
   * @throws as {@link trainStep}
   */
  trainingLoss(hidden: Tensor, labels: Tensor, options: SphericalStepOptions): Scalar {
    this.alive('trainingLoss');
    const m = checkBatch('trainingLoss', this, hidden, labels, options, STEP_OPTIONS);
    return this.differentiable('trainingLoss', m, hidden, labels, options, options.learningRate);
  }

  /**
   * The k classes with the greatest logits for each hidden vector, in falling order, equal ones by index. O(D d) for each
   * vector: prediction looks at every class, and the loss's O(d²) does not help.
   *
   * @param hidden - `[…, inputSize]`, float32
   * @returns `indices` (int32) and `logits` (float32), both `[…, k]`; the caller disposes them
   * @throws RangeError for k outside [1, D]; otherwise as {@link trainStep}
   */
  async topK(hidden: Tensor, k: number): Promise<{ indices: Tensor; logits: Tensor }> {
    const weights = this.alive('topK');
    checkTensor('topK', 'hidden', hidden, { minRank: 1 });
    checkWidth('topK', this, hidden);
    checkInteger('topK', 'k', k, { min: 1, max: this.classes });
    const shape = [...hidden.shape.slice(0, -1), k];
    const m = hidden.size / this.inputSize;
    const h = augment('topK', this, m, await hidden.data());
    const indices = new Int32Array(m * k);
    const best = new Float32Array(m * k);
    scoreClasses(weights, m, h, undefined, (query, logits) => {
      greatest(logits, k, indices, best, query * k);
    });
    return { indices: tensor(indices, shape, 'int32'), logits: tensor(best, shape, 'float32') };
  }

  /**
   * Logits of all classes, O(D d) for each hidden vector, or of some, O(d) each.
   *
   * @param hidden - `[…, inputSize]`, float32
   * @param classes - n class indices. Default: all D
   * @returns `[…, n]`, float32; the caller disposes it
   * @throws as {@link trainStep}
   */
  async logits(hidden: Tensor, classes?: readonly number[]): Promise<Tensor> {
    const weights = this.alive('logits');
    checkTensor('logits', 'hidden', hidden, { minRank: 1 });
    checkWidth('logits', this, hidden);
    for (const c of classes ?? []) {
      checkInteger('logits', 'classes', c, { min: 0, max: this.classes - 1 });
    }
    const n = classes ? classes.length : this.classes;
    const shape = [...hidden.shape.slice(0, -1), n];
    const m = hidden.size / this.inputSize;
    const h = augment('logits', this, m, await hidden.data());
    const out = new Float32Array(m * n);
    scoreClasses(weights, m, h, classes, (query, logits) => out.set(logits, query * n));
    return tensor(out, shape, 'float32');
  }

  /** W, `[classes, inputSize]`, float32, without the bias; O(D d²). The caller disposes it. */
  weights(): Tensor2D {
    const W = this.materialize('weights');
    const { classes, inputSize } = this;
    if (!this.useBias) return tensor2d(W, [classes, inputSize]);
    const kernel = new Float32Array(classes * inputSize);
    for (let c = 0; c < classes; c++) {
      const at = c * (inputSize + 1);
      kernel.set(W.subarray(at, at + inputSize), c * inputSize);
    }
    return tensor2d(kernel, [classes, inputSize]);
  }

  /** Biases, `[classes]`, float32, zeros without `useBias`; O(D d²). The caller disposes them. */
  biases(): Tensor1D {
    const { classes, inputSize } = this;
    if (!this.useBias) return tensor1d(new Float32Array(classes));
    const W = this.materialize('biases');
    return tensor1d(
      Float32Array.from({ length: classes }, (_, c) => W[(c + 1) * (inputSize + 1) - 1]!),
    );
  }

  /**
   * Weight decay as its own step: `W ← (1 − learningRate · weightDecay) W`, biases included, O(d²).
   * @param weightDecay - λ >= 0
   * @param learningRate - η >= 0, with η λ < 1
   */
  applyWeightDecay(weightDecay: number, learningRate: number): void {
    const weights = this.alive('applyWeightDecay');
    checkNumber('applyWeightDecay', 'weightDecay', weightDecay, { min: 0 });
    checkNumber('applyWeightDecay', 'learningRate', learningRate, { min: 0 });
    const t = 1 - learningRate * weightDecay;
    checkNumber('applyWeightDecay', '1 - learningRate * weightDecay', t, { above: 0 });
    if (t === 1) return;
    weights.scale(t, this.conditionLimit);
    this.changes++;
  }

  /**
   * Starts the factors afresh, W unchanged: V takes U and ω up, every row, and Q = WᵀW is computed anew in float64.
   * O(D d²); never needed for stability, which the layer sees to, only to measure drift.
   */
  renormalize(): void {
    const weights = this.alive('renormalize');
    weights.renormalize();
    weights.passAll();
    weights.summarize();
    this.changes++;
  }

  /** The factors, V having taken all renormalisations up; O(D d) to O(D d²). For tests and for other programs. */
  factors(): SphericalFactors {
    const weights = this.alive('factors');
    const { d, D } = weights;
    const row = new Float64Array(d);
    const V = new Float32Array(D * d);
    for (let c = 0; c < D; c++) {
      weights.readRow(c, row, 0);
      V.set(row, c * d);
    }
    const { U, inverse, omega, Q, columnSums } = weights.current;
    return {
      V,
      U: U.slice(),
      inverse: inverse.slice(),
      omega: omega.slice(),
      Q: Q.slice(),
      columnSums: columnSums.slice(),
    };
  }

  /** Condition, renormalisations and memory. */
  stats(): SphericalOutputLayerStats {
    const weights = this.alive('stats');
    return {
      condition: weights.condition,
      renormalizations: weights.renormalizations,
      pendingMaps: weights.maps.count,
      bytes: weights.bytes,
    };
  }

  /**
   * The whole state as plain data that survives structured cloning: training that goes on from it equals training that
   * never stopped, bit for bit. Copies V.
   */
  saveState(): SphericalOutputLayerState {
    return writeState(this.alive('saveState'), this.loss.name, this.useBias);
  }

  /**
   * Takes over a saved state.
   * @throws CheckpointError for a damaged state, or one of another size or loss; nothing is changed then
   */
  loadState(state: unknown): void {
    const { D, d } = this.alive('loadState');
    this.factored = readState(state, { D, d, loss: this.loss.name, useBias: this.useBias });
    this.changes++;
  }

  /** Gives the memory back; the layer cannot be used any more. May be called twice. */
  dispose(): void {
    this.factored = undefined;
  }

  private alive(caller: string): FactoredWeights {
    if (this.factored) return this.factored;
    throw new Error(`${caller}: the layer must not be disposed`);
  }

  private step(shape: number[], batch: FactoredBatch, learningRate: number): SphericalStep {
    const weights = this.alive('trainStep');
    const forward = factoredForward(weights, this.loss, batch);
    factoredUpdate(weights, forward, learningRate, this.conditionLimit);
    this.changes++;
    const { losses, targetLogits, squares, sums } = forward;
    const hiddenGradient = this.hiddenGradient(forward, shape, 1);
    return { loss: reduced(forward), hiddenGradient, losses, targetLogits, squares, sums };
  }

  private hiddenGradient(forward: FactoredForward, shape: number[], factor: number): Tensor {
    const { inputSize } = this;
    const d = inputSize + Number(this.useBias);
    const out = new Float32Array(forward.m * inputSize);
    for (let i = 0; i < forward.m; i++) {
      for (let j = 0; j < inputSize; j++) {
        out[i * inputSize + j] = factor * forward.hiddenGradient[i * d + j]!;
      }
    }
    return tensor(out, shape, 'float32');
  }

  private differentiable(
    caller: string,
    m: number,
    hidden: Tensor,
    labels: Tensor,
    options: SphericalLossCallOptions,
    learningRate: number,
  ): Scalar {
    const y = labels.dataSync();
    const w = options.weights?.dataSync();
    const op = customGrad((h) => {
      const batch = hostBatch(caller, this, m, (h as Tensor).dataSync(), y, {
        ...options,
        weights: w,
      });
      let forward = factoredForward(this.alive(caller), this.loss, batch);
      let madeAt = this.changes;
      const gradFunc = (dy: Tensor) => {
        const weights = this.alive(caller);
        if (madeAt !== this.changes) {
          forward = factoredForward(weights, this.loss, batch);
          madeAt = this.changes;
        }
        const factor = dy.dataSync()[0]!;
        const gradient = this.hiddenGradient(forward, hidden.shape, factor);
        if (learningRate > 0) {
          factoredUpdate(weights, forward, learningRate * factor, this.conditionLimit);
          this.changes++;
        }
        return gradient;
      };
      return { value: scalar(reduced(forward)), gradFunc };
    });
    return op(hidden) as Scalar;
  }

  private materialize(caller: string): Float32Array {
    const weights = this.alive(caller);
    const copy = weights.clone();
    copy.renormalize();
    copy.passAll();
    return copy.V;
  }
}

/** Σ weight × loss. */
function reduced({ losses, weights }: FactoredForward): number {
  return losses.reduce((sum, loss, i) => sum + weights[i]! * loss, 0);
}
