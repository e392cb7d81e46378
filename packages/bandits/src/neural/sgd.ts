/** Gradient descent on an {@link Mlp}, one sample a step, with a pull to an anchor that costs nothing where x is 0. */
import type { Mlp } from './mlp.js';
import { lossAt, type RegressionLoss, slopeAt } from './regressionLoss.js';

/**
 * Steps `θ ← θ − η(ℓ'(f) ∇f + λ(θ − a))` with a the anchor, or 0.
 *
 * Rows of the first layer whose input is 0 have no gradient, only the pull, which is the same factor `1 − ηλ` each step:
 * it is applied when a row is next needed, or by {@link settle}.
 */
export class SgdSteps {
  private readonly keep: number;
  private readonly done: Int32Array;
  private step = 0;
  private powerGap = 1;
  private power: number;

  constructor(
    private readonly net: Mlp,
    private readonly learningRate: number,
    decay: number,
    private readonly anchor: Float64Array | undefined,
  ) {
    this.keep = 1 - learningRate * decay;
    this.power = this.keep;
    this.done = new Int32Array(net.layers[0]!.inputs);
  }

  /** f at the sample, rows caught up. */
  forward(x: Float64Array, at: number, block: number): number {
    if (this.keep !== 1) {
      const { dim } = this.net.shape;
      const first = block * dim;
      for (let i = 0; i < dim; i++) if (x[at + i] !== 0) this.catchUp(first + i);
    }
    return this.net.forward(x, at, block);
  }

  /** Takes the step for ∂ℓ/∂f = `slope` at the last {@link forward}. */
  apply(x: Float64Array, at: number, block: number, slope: number): void {
    const { net, keep, anchor, learningRate, done } = this;
    const { theta, shape, layers, hidden, deltas } = net;
    net.backward(slope);
    this.step++;
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const delta = deltas[l]!;
      const first = l === 0;
      const input = first ? x : hidden[l - 1]!;
      const start = first ? at : 0;
      const rows = first ? shape.dim : inputs;
      const row = first ? block * shape.dim : 0;
      for (let i = 0; i < rows; i++) {
        const v = learningRate * shape.scale * input[start + i]!;
        if (first) {
          if (v === 0) continue;
          done[row + i] = this.step;
        } else if (v === 0 && keep === 1) continue;
        descend(theta, weights + (row + i) * outputs, outputs, delta, v, keep, anchor);
      }
      descend(theta, biases, outputs, delta, learningRate, keep, anchor);
    }
  }

  /** Brings every row up to date. */
  settle(): void {
    if (this.keep !== 1) for (let row = 0; row < this.done.length; row++) this.catchUp(row);
  }

  private catchUp(row: number): void {
    const gap = this.step - this.done[row]!;
    if (gap === 0) return;
    if (gap !== this.powerGap) {
      this.powerGap = gap;
      this.power = this.keep ** gap;
    }
    const { net, anchor, power } = this;
    const { outputs, weights } = net.layers[0]!;
    const start = weights + row * outputs;
    const { theta } = net;
    if (anchor) {
      for (let k = start; k < start + outputs; k++) {
        theta[k] = anchor[k]! + power * (theta[k]! - anchor[k]!);
      }
    } else for (let k = start; k < start + outputs; k++) theta[k]! *= power;
    this.done[row] = this.step;
  }
}

/** `w ← a + keep (w − a) − v δ` on n weights at `k`. */
function descend(
  theta: Float64Array,
  k: number,
  n: number,
  delta: Float64Array,
  v: number,
  keep: number,
  anchor: Float64Array | undefined,
): void {
  if (keep === 1) for (let j = 0; j < n; j++) theta[k + j]! -= v * delta[j]!;
  else if (!anchor) {
    for (let j = 0; j < n; j++) theta[k + j] = keep * theta[k + j]! - v * delta[j]!;
  } else {
    for (let j = 0; j < n; j++) {
      const a = anchor[k + j]!;
      theta[k + j] = a + keep * (theta[k + j]! - a) - v * delta[j]!;
    }
  }
}

/** Samples to train on. */
export interface Samples {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly weight: Float64Array;
  readonly block: Int32Array;
}

/** How {@link replay} trains. */
export interface ReplaySettings {
  readonly loss: RegressionLoss;
  readonly learningRate: number;
  /** λ of the pull. */
  readonly decay: number;
  /** What the pull is to. Default 0 */
  readonly anchor?: Float64Array;
  readonly maxUpdates: number;
  /** Mean loss of an epoch at which training ends. */
  readonly tolerance: number;
}

/**
 * The training of the EE-Net and NeuralUCB codes: one order of the samples, repeated, a step a sample, until
 * `maxUpdates` steps or an epoch whose mean loss is at most `tolerance`.
 *
 * @returns whether all predictions were finite; if not, the parameters are lost
 */
export function replay(
  net: Mlp,
  samples: Samples,
  order: ArrayLike<number>,
  settings: ReplaySettings,
): boolean {
  const { loss, learningRate, decay, anchor, maxUpdates, tolerance } = settings;
  const steps = new SgdSteps(net, learningRate, decay, anchor);
  const { x, y, weight, block } = samples;
  const { dim } = net.shape;
  let taken = 0;
  let finite = true;
  while (finite && taken < maxUpdates) {
    let total = 0;
    let i = 0;
    for (; i < order.length && taken < maxUpdates; i++, taken++) {
      const s = order[i]!;
      const f = steps.forward(x, s * dim, block[s]!);
      total += lossAt(loss, y[s]!, f);
      steps.apply(x, s * dim, block[s]!, weight[s]! * slopeAt(loss, y[s]!, f));
    }
    finite = Number.isFinite(total);
    if (i === order.length && total / i <= tolerance) break;
  }
  steps.settle();
  return finite;
}

/**
 * `steps` steps of gradient descent on the mean loss of all samples, with the same pull.
 *
 * @returns whether all predictions were finite; if not, the parameters are lost
 */
export function fullBatch(
  net: Mlp,
  samples: Samples,
  size: number,
  settings: ReplaySettings,
): boolean {
  const { loss, learningRate, decay, anchor, maxUpdates } = settings;
  const { x, y, weight, block } = samples;
  const { dim } = net.shape;
  const gradient = new Float64Array(net.parameterCount);
  for (let step = 0; step < maxUpdates; step++) {
    gradient.fill(0);
    let total = 0;
    for (let s = 0; s < size; s++) {
      const f = net.forward(x, s * dim, block[s]!);
      total += lossAt(loss, y[s]!, f);
      net.backward((weight[s]! * slopeAt(loss, y[s]!, f)) / size);
      net.addGradient(x, s * dim, block[s]!, 1, gradient);
    }
    if (!Number.isFinite(total)) return false;
    for (let k = 0; k < gradient.length; k++) {
      const pull = decay * (net.theta[k]! - (anchor ? anchor[k]! : 0));
      net.theta[k]! -= learningRate * (gradient[k]! + pull);
    }
  }
  return true;
}
