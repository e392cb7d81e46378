/** Gradient descent on an {@link Mlp}, one sample a step, with a pull to an anchor that costs nothing where x is 0. */
import type { Descent } from './kernels.js';
import type { Mlp } from './mlp.js';
import { lossAt, type RegressionLoss, slopeAt } from './regressionLoss.js';

/**
 * Steps `θ ← θ − η(ℓ'(f) ∇f + λ(θ − a))` with a the network's start, or 0.
 *
 * Rows of the first layer whose input is 0 have no gradient, only the pull, which is the same factor `1 − ηλ` each step:
 * it is applied when a row is next needed, or by {@link settle}.
 */
export class SgdSteps {
  private readonly keep: number;
  private readonly done: Int32Array;
  private readonly weights: readonly Descent[];
  private readonly biases: readonly Descent[];
  private readonly toStart: boolean;
  private step = 0;

  constructor(
    private readonly net: Mlp,
    learningRate: number,
    decay: number,
    anchor: 'start' | 'zero',
  ) {
    const { layers, shape, offsets } = net;
    this.keep = 1 - learningRate * decay;
    this.toStart = anchor === 'start';
    this.done = new Int32Array(this.keep === 1 ? 0 : layers[0]!.inputs);
    const at = (k: number) => (this.toStart ? offsets.start + k : -1);
    this.weights = layers.map(({ weights }, l) => ({
      rate: learningRate * shape.scale,
      keep: this.keep,
      skip: l === 0,
      anchor: at(weights),
    }));
    this.biases = layers.map(({ biases }) => ({
      rate: learningRate,
      keep: this.keep,
      skip: false,
      anchor: at(biases),
    }));
    this.first = this.weights[0]!;
  }

  private first: Descent;
  private firstBlock = 0;

  /** f at the sample, rows caught up. */
  forward(x: Float64Array, at: number, block: number): number {
    if (this.keep !== 1) {
      const { dim } = this.net.shape;
      const first = block * dim;
      for (let i = 0; i < dim; i++) {
        if (this.done[first + i] !== this.step && x[at + i] !== 0) this.catchUp(first + i);
      }
    }
    return this.net.forward(x, at, block);
  }

  /** Takes the step for ∂ℓ/∂f = `slope` at the last {@link forward}, whose input filled `block`. */
  apply(block: number, slope: number): void {
    const { net, keep, done, weights, biases } = this;
    const { layers, offsets, arena, shape, input } = net;
    const { kernels } = arena;
    const { theta, values, deltas } = offsets;
    net.backward(slope);
    this.step++;
    if (block !== this.firstBlock) this.turnTo(block);
    if (keep !== 1) {
      const row = block * shape.dim;
      for (let i = 0; i < shape.dim; i++) if (input[i] !== 0) done[row + i] = this.step;
    }
    const last = layers.length - 1;
    for (let l = 0; l <= last; l++) {
      const { inputs, outputs, weights: w, biases: b } = layers[l]!;
      const from = theta + w + (l === 0 ? block * shape.dim * outputs : 0);
      const rows = l === 0 ? shape.dim : inputs;
      const descent = l === 0 ? this.first : weights[l]!;
      // The output's column of weights is a row to the kernel.
      if (l === last) kernels.descend(from, deltas[l]!, 1, inputs, values[l]!, descent);
      else kernels.descend(from, values[l]!, rows, outputs, deltas[l]!, descent);
      kernels.descend(theta + b, offsets.one, 1, outputs, deltas[l]!, biases[l]!);
    }
  }

  /** Where the pull of the first layer goes to in this block. */
  private turnTo(block: number): void {
    const { weights, net, toStart } = this;
    const offset = block * net.shape.dim * net.layers[0]!.outputs;
    this.firstBlock = block;
    this.first = toStart ? { ...weights[0]!, anchor: weights[0]!.anchor + offset } : weights[0]!;
  }

  /** Brings every row up to date. */
  settle(): void {
    for (let row = 0; row < this.done.length; row++) {
      if (this.done[row] !== this.step) this.catchUp(row);
    }
    if (this.keep === 1 || this.toStart) return;
    const { arena, offsets, parameterCount } = this.net;
    arena.kernels.flush(offsets.theta, parameterCount);
  }

  private catchUp(row: number): void {
    const { net, keep, done, step, toStart } = this;
    const { offsets, arena, layers } = net;
    const { outputs, weights } = layers[0]!;
    const at = weights + row * outputs;
    const anchor = toStart ? offsets.start + at : -1;
    const descent = { rate: 0, keep: keep ** (step - done[row]!), skip: false, anchor };
    arena.kernels.descend(
      offsets.theta + at,
      offsets.zero,
      1,
      outputs,
      offsets.deltas[0]!,
      descent,
    );
    done[row] = step;
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
  /** What the pull is to. Default `'zero'` */
  readonly anchor?: 'start' | 'zero';
  readonly maxUpdates: number;
  /** Mean loss of an epoch at which training ends. */
  readonly tolerance: number;
}

/**
 * The training of the EE-Net and NeuralUCB codes: one order of the samples, repeated, a step a sample, until
 * `maxUpdates` steps or an epoch whose mean loss is at most `tolerance`.
 *
 * @returns whether predictions and parameters stayed finite; if not, the parameters are lost
 */
export function replay(
  net: Mlp,
  samples: Samples,
  order: ArrayLike<number>,
  settings: ReplaySettings,
): boolean {
  const { loss, learningRate, decay, anchor = 'zero', maxUpdates, tolerance } = settings;
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
      steps.apply(block[s]!, weight[s]! * slopeAt(loss, y[s]!, f));
    }
    finite = Number.isFinite(total);
    if (i === order.length && total / i <= tolerance) break;
  }
  steps.settle();
  return finite && parametersAreFinite(net);
}

/**
 * `steps` steps of gradient descent on the mean loss of all samples, with the same pull.
 *
 * @returns whether predictions and parameters stayed finite; if not, the parameters are lost
 */
export function fullBatch(
  net: Mlp,
  samples: Samples,
  size: number,
  settings: ReplaySettings,
): boolean {
  const { loss, learningRate, decay, anchor = 'zero', maxUpdates } = settings;
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
      net.addGradient(block[s]!, 1, gradient);
    }
    if (!Number.isFinite(total)) return false;
    for (let k = 0; k < gradient.length; k++) {
      const pull = decay * (net.theta[k]! - (anchor === 'start' ? net.start[k]! : 0));
      net.theta[k]! -= learningRate * (gradient[k]! + pull);
    }
  }
  return parametersAreFinite(net);
}

/** Whether all parameters are finite. */
export const parametersAreFinite = (net: Mlp) =>
  net.arena.kernels.isFinite(net.offsets.theta, net.parameterCount);
