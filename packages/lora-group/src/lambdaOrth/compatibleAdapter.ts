import {
  CheckpointError,
  checkFinite,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  NonFiniteError,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import {
  add,
  div,
  mul,
  reshape,
  type Scalar,
  slice,
  type Tensor,
  tensor2d,
  tidy,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { normOfDeviation } from '../orthoRegs/deviation.js';
import { Adam } from './adam.js';
import { type ClassLabels, checkLabels, compatibilityLoss } from './compatibilityLoss.js';
import {
  type CompatibleAdapterOptions,
  type CompatibleAdapterState,
  type CompatibleFitOptions,
  checkAdapterOptions,
} from './compatibleOptions.js';
import { EmbeddingMap } from './embeddingMaps.js';
import { lambdaOrth } from './lambdaOrth.js';
import { procrustes } from './procrustes.js';
import { sample } from './sample.js';

/** Scales that differ by more than this are brought together. */
const SCALE_RATIO = 2;

/**
 * Keeps an index of old embeddings in use under a new model: learns, from pairs of both models' embeddings of the same items, a
 * backward map B of new embeddings into the old space and a forward map F of stored ones towards `B(new)`. Queries then are
 * `backward(new)`; a gallery may mix old embeddings, `forward(old)` and `backward(new)`.
 *
 * A strictly orthogonal B keeps all distances of the new model, a free one fits best and keeps none; λ-orthogonality lies
 * between. With widths n ≠ d the wider side is cut to its first `m = min(n, d)` features, which no isometry is; F reads all d.
 *
 * @example
 * const adapter = new CompatibleAdapter({ dOld: 32, dNew: 32, backward: 'lambda', lambda: 2 });
 * await adapter.fit(hNew, hOld, labels, { steps: 400, learningRate: 5e-3 });
 * const query = adapter.backward(hNewQuery); // searched for in the old index
 * const saved = JSON.stringify(await adapter.toJSON());
 * @see Ricci et al. 2025, arXiv 2509.16664v2; forms `'lowRank'` and `'mlp'` after Vejendla 2025, "Drift-Adapter",
 *   arXiv 2509.23471
 */
export class CompatibleAdapter {
  /** Features of the common space. */
  readonly features: number;
  private readonly options: CompatibleAdapterOptions;
  private readonly backwardMap: EmbeddingMap;
  private readonly forwardMap: EmbeddingMap | null;
  private readonly adam: Adam;
  private random: Random;
  private scales: readonly [number, number] | null = null;
  private fitting = false;
  private disposed = false;

  /** @throws TypeError or RangeError for a wrong option */
  constructor(options: CompatibleAdapterOptions) {
    checkAdapterOptions(options);
    const { dOld, dNew, backward = 'lambda', forward = 'affine', hidden = 256, seed = 0 } = options;
    const m = Math.min(dOld, dNew);
    this.options = { ...options };
    this.features = m;
    const random = seededRandom(seed);
    const sizes = { outputs: m, rank: options.rank ?? Math.min(64, m), hidden };
    this.backwardMap = new EmbeddingMap(
      backward,
      { ...sizes, inputs: m },
      'identity',
      random.fork(0),
      'compatible/backward',
    );
    this.forwardMap =
      forward &&
      new EmbeddingMap(
        forward,
        { ...sizes, inputs: dOld },
        'kaiming',
        random.fork(1),
        'compatible/forward',
      );
    this.random = random.fork(2);
    this.adam = new Adam(this.trainableVariables);
  }

  /** Parameters of both maps. */
  get trainableVariables(): Variable[] {
    return [this.backwardMap, this.forwardMap].flatMap((map) =>
      map ? Object.values(map.variables) : [],
    );
  }

  /**
   * New embeddings in the old space, shape `[…, m]` for `[…, dNew]`; differentiable.
   * @throws TypeError or RangeError for another width; Error once disposed
   */
  backward(hNew: Tensor): Tensor {
    return this.map('backward', hNew, this.options.dNew, (x) =>
      this.backwardMap.apply(slice(x, [0, 0], [-1, this.features])),
    );
  }

  /**
   * Stored old embeddings, brought near `backward(new)`, shape `[…, m]` for `[…, dOld]`; differentiable.
   * @throws TypeError or RangeError for another width; Error without a forward map, or once disposed
   */
  forward(hOld: Tensor): Tensor {
    const { forwardMap } = this;
    if (!forwardMap) throw new Error('forward: options must ask for a forward map, got null');
    return this.map('forward', hOld, this.options.dOld, (x) => forwardMap.apply(x));
  }

  /** Maps rows, both sides in their own unit within. */
  private map(name: string, x: Tensor, width: number, apply: (x: Tensor) => Tensor): Tensor {
    this.checkAlive(name);
    checkTensor(name, 'x', x, { minRank: 1 });
    const batch = x.shape.slice(0, -1);
    checkTensor(name, 'x', x, { shape: [...batch.map(() => null), width] });
    const [scaleNew, scaleOld] = this.scales ?? [1, 1];
    const scale = name === 'backward' ? scaleNew : scaleOld;
    return tidy(() => {
      const rows = reshape(x, [-1, width]);
      const y = apply(scale === 1 ? rows : div(rows, scale));
      return reshape(scaleOld === 1 ? y : mul(y, scaleOld), [...batch, this.features]);
    });
  }

  /**
   * The loss that {@link CompatibleAdapter.fit} takes steps on, for training loops of one's own: `compatibilityLoss` plus, for
   * `'lambda'`, `lambdaOrth` of its matrix. Differentiable.
   *
   * @param hNew - shape `[N, dNew]`
   * @param hOld - shape `[N, dOld]`, of the same items
   * @param labels - N numbers, or null
   * @returns a scalar
   * @throws TypeError or RangeError if the arguments do not fit
   */
  loss(hNew: Tensor, hOld: Tensor, labels: ClassLabels | null): Scalar {
    this.checkAlive('loss');
    this.checkPairs('loss', hNew, hOld, labels);
    const { lambda, lambdaRel, alpha, tau, weights } = this.options;
    const [scaleNew, scaleOld] = this.scales ?? [1, 1];
    return tidy(() => {
      const fresh = div(hNew, scaleNew);
      const stored = div(hOld, scaleOld);
      const cut = (x: Tensor) => slice(x, [0, 0], [-1, this.features]);
      const { total } = compatibilityLoss(
        {
          backward: this.backwardMap.apply(cut(fresh)),
          forward: this.forwardMap?.apply(stored) ?? null,
          old: cut(stored),
        },
        labels,
        { ...(tau !== undefined && { tau }), ...(weights && { weights }) },
      );
      if (this.backwardMap.form !== 'lambda') return total;
      const penalty = lambdaOrth(this.backwardMap.variables.W!, {
        ...(lambda !== undefined && { lambda }),
        ...(lambdaRel !== undefined && { lambdaRel }),
        ...(alpha !== undefined && { alpha }),
      });
      return add(total, penalty) as Scalar;
    });
  }

  /**
   * Trains both maps on pairs, in random batches. May be called again, and goes on.
   *
   * @param hNew - embeddings of the new model, shape `[N, dNew]`
   * @param hOld - those of the old model of the same items, shape `[N, dOld]`
   * @param labels - N class numbers; null: each item is a class of its own
   * @returns the loss of the last step; NaN after 0 steps
   * @throws (rejects with) TypeError or RangeError if the arguments do not fit or embeddings are not finite, with nothing
   *   changed; NonFiniteError if the loss is not finite, with the maps as after the last good step
   */
  async fit(
    hNew: Tensor,
    hOld: Tensor,
    labels: ClassLabels | null,
    options: CompatibleFitOptions = {},
  ): Promise<number> {
    this.checkAlive('fit');
    if (this.fitting) throw new Error('fit: the adapter must not be in training, got another call');
    this.checkPairs('fit', hNew, hOld, labels);
    checkOptions('fit', options, [
      'steps',
      'batchSize',
      'learningRate',
      'optimizer',
      'onStep',
      'signal',
    ]);
    const { steps = 400, batchSize = 256, learningRate = 1e-3, signal } = options;
    checkInteger('fit', 'steps', steps, { min: 0 });
    checkInteger('fit', 'batchSize', batchSize, { min: 1 });
    checkNumber('fit', 'learningRate', learningRate, { above: 0 });
    this.fitting = true;
    try {
      const fresh = await hNew.data();
      const stored = await hOld.data();
      checkFinite('fit', 'hNew', fresh);
      checkFinite('fit', 'hOld', stored);
      if (!this.scales) this.begin(hNew, hOld, fresh, stored);
      let last = Number.NaN;
      for (let step = 1; step <= steps; step++) {
        signal?.throwIfAborted();
        last = await this.step(fresh, stored, labels, options);
        options.onStep?.({ step, total: steps, loss: last });
      }
      return last;
    } finally {
      this.fitting = false;
    }
  }

  /** What the first data decides: scales, and Procrustes' start. */
  private begin(
    hNew: Tensor,
    hOld: Tensor,
    fresh: ArrayLike<number>,
    stored: ArrayLike<number>,
  ): void {
    const { standardize = 'auto', init = 'identity' } = this.options;
    const [a, b] = [deviationOf(fresh), deviationOf(stored)];
    const apart = Math.max(a, b) > SCALE_RATIO * Math.min(a, b) && Math.min(a, b) > 0;
    this.scales =
      standardize === true || (standardize === 'auto' && apart) ? [a || 1, b || 1] : [1, 1];
    if (init !== 'procrustes') return;
    tidy(() => {
      const cut = (x: Tensor) => slice(x, [0, 0], [-1, this.features]);
      this.backwardMap.startFrom(procrustes(cut(hNew), cut(hOld)));
    });
  }

  private async step(
    fresh: ArrayLike<number>,
    stored: ArrayLike<number>,
    labels: ClassLabels | null,
    { batchSize = 256, learningRate = 1e-3, optimizer }: CompatibleFitOptions,
  ): Promise<number> {
    const { dNew, dOld } = this.options;
    const count = fresh.length / dNew;
    const batch = sample(this.random, count, batchSize);
    const rows = (values: ArrayLike<number>, width: number) => {
      const picked = new Float32Array(batch.length * width);
      batch.forEach((row, i) => {
        for (let j = 0; j < width; j++) picked[i * width + j] = values[row * width + j]!;
      });
      return tensor2d(picked, [batch.length, width]);
    };
    const [hNew, hOld] = [rows(fresh, dNew), rows(stored, dOld)];
    const own = labels && batch.map((row) => labels[row]!);
    const { value, grads } = variableGrads(
      () => this.loss(hNew, hOld, own),
      this.trainableVariables,
    );
    try {
      const loss = (await value.data())[0]!;
      if (!Number.isFinite(loss)) {
        throw new NonFiniteError(`fit: the loss must be finite, got ${loss}`);
      }
      if (optimizer) optimizer.applyGradients(grads);
      else this.adam.step(grads, learningRate);
      return loss;
    } finally {
      for (const x of [hNew, hOld, value, ...Object.values(grads)]) x.dispose();
    }
  }

  /**
   * `f = ‖W Wᵀ − I‖_F` of the backward map's matrix.
   * @throws (rejects with) Error for the form `'mlp'`, which has none
   */
  async deviation(): Promise<number> {
    this.checkAlive('deviation');
    if (this.backwardMap.form === 'mlp') {
      throw new Error('deviation: the backward map must be linear, got "mlp"');
    }
    const f = tidy(() => normOfDeviation(this.backwardMap.matrix(), 'rows'));
    const value = (await f.data())[0]!;
    f.dispose();
    return value;
  }

  /** All of it, Adam's state and that of random numbers included: restored training goes on bit for bit. */
  async toJSON(): Promise<CompatibleAdapterState> {
    this.checkAlive('toJSON');
    return {
      version: 1,
      options: this.options,
      backward: await this.backwardMap.values(),
      forward: this.forwardMap && (await this.forwardMap.values()),
      adam: await this.adam.state(),
      random: this.random.state(),
      scales: this.scales,
    };
  }

  /**
   * An adapter from the data of {@link CompatibleAdapter.toJSON}.
   * @throws CheckpointError if it is damaged
   */
  static fromJSON(state: CompatibleAdapterState): CompatibleAdapter {
    const fail = (what: string) =>
      new CheckpointError(`CompatibleAdapter.fromJSON: state must have ${what}`);
    if (state?.version !== 1) throw fail('version 1');
    let adapter: CompatibleAdapter;
    try {
      adapter = new CompatibleAdapter(state.options);
    } catch (cause) {
      throw new CheckpointError(`CompatibleAdapter.fromJSON: ${(cause as Error).message}`);
    }
    try {
      const { backward, forward, adam, random, scales } = state;
      const accepts = (map: EmbeddingMap | null, values: typeof forward) =>
        map ? isNumbers(values) && map.accepts(values) : values === null;
      if (!accepts(adapter.backwardMap, backward)) throw fail('numbers of the backward map');
      if (!accepts(adapter.forwardMap, forward)) throw fail('numbers of the forward map');
      if (!adapter.adam.accepts(adam)) throw fail("numbers of Adam's state");
      const positive = (x: unknown) => Number.isFinite(x) && (x as number) > 0;
      const paired = Array.isArray(scales) && scales.length === 2 && scales.every(positive);
      if (scales !== null && !paired) throw fail('two scales > 0, or null');
      adapter.random = restoreRandom(random);
      adapter.backwardMap.restore(backward);
      if (forward) adapter.forwardMap?.restore(forward);
      adapter.adam.restore(adam);
      adapter.scales = scales;
      return adapter;
    } catch (error) {
      adapter.dispose();
      throw error;
    }
  }

  /** Frees all parameters. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.backwardMap.dispose();
    this.forwardMap?.dispose();
    this.adam.dispose();
  }

  private checkAlive(caller: string): void {
    if (this.disposed) throw new Error(`${caller}: the adapter must not be disposed`);
  }

  private checkPairs(caller: string, hNew: Tensor, hOld: Tensor, labels: ClassLabels | null): void {
    const { dNew, dOld } = this.options;
    checkTensor(caller, 'hNew', hNew, { shape: [null, dNew] });
    checkTensor(caller, 'hOld', hOld, { shape: [hNew.shape[0]!, dOld] });
    checkLabels(caller, 'labels', labels, hNew.shape[0]!);
  }
}

/** Standard deviation of all numbers. */
function deviationOf(values: ArrayLike<number>): number {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / values.length;
  return Math.sqrt(Math.max(0, squares / values.length - mean * mean));
}

const isNumbers = (x: unknown): x is Record<string, number[]> =>
  typeof x === 'object' &&
  x !== null &&
  Object.values(x).every((list) => Array.isArray(list) && list.every(Number.isFinite));
