/** EE-Net's second network: how much more reward an action holds than the first network predicts, from its gradient. */
import type { Random } from '@orth/backend';
import type { Json } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import type { Mlp } from './mlp.js';

/** Kernel and stride of the convolution. */
const KERNEL = 100;
const STRIDE = 50;

/** Adam's constants: PyTorch's, with the weight decay of the EE-Net code added to the gradient. */
const ADAM = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 1e-4 };

/** Length of a gradient of `parameters` numbers after pooling. */
export const pooledLength = (parameters: number, pool: number) => Math.ceil(parameters / pool);

/**
 * Means over blocks of `pool` of the gradient of `net`, after its forward and `backward(1)`; the last block is padded
 * with zeros. The order is PyTorch's: weights `[out, in]` and biases of each layer.
 */
export function poolGradient(net: Mlp, block: number, pool: number, out: Float64Array): void {
  const { shape, layers, hidden, deltas } = net;
  out.fill(0);
  for (let l = 0; l < layers.length; l++) {
    const { inputs, outputs, weights, biases } = layers[l]!;
    const first = l === 0;
    const input = first ? net.input : hidden[l - 1]!;
    const rows = first ? shape.dim : inputs;
    const offset = first ? block * shape.dim : 0;
    for (let j = 0; j < outputs; j++) {
      const d = deltas[l]![j]!;
      if (d === 0) continue;
      const k = weights + j * inputs + offset;
      const v = (shape.scale * d) / pool;
      for (let i = 0; i < rows; i++) out[Math.floor((k + i) / pool)]! += v * input[i]!;
      out[Math.floor((biases + j) / pool)]! += d / pool;
    }
  }
}

/** Convolution (one channel, no activation) → hidden ReLU units → 1, trained by Adam on squared error. */
export class ExploreNetwork {
  /** Positions of the kernel. */
  readonly positions: number;
  /** Numbers that an input has; shorter pooled gradients are padded with zeros to the kernel. */
  readonly length: number;
  /** Kernel, its bias, first weights `[positions, hidden]`, biases, second weights, bias. */
  readonly theta: Float64Array;
  private readonly m: Float64Array;
  private readonly v: Float64Array;
  private readonly gradient: Float64Array;
  private readonly convolved: Float64Array;
  private readonly values: Float64Array;
  private steps = 0;

  constructor(
    inputs: number,
    readonly hidden: number,
  ) {
    this.length = Math.max(KERNEL, inputs);
    this.positions = Math.floor((this.length - KERNEL) / STRIDE) + 1;
    const count = KERNEL + 1 + this.positions * hidden + 2 * hidden + 1;
    this.theta = new Float64Array(count);
    this.m = new Float64Array(count);
    this.v = new Float64Array(count);
    this.gradient = new Float64Array(count);
    this.convolved = new Float64Array(this.positions);
    this.values = new Float64Array(hidden);
  }

  /** PyTorch's start, ±1/√inputs in each layer. */
  initialize(random: Random): void {
    const { theta, positions, hidden } = this;
    const fill = (from: number, to: number, inputs: number) => {
      for (let i = from; i < to; i++) theta[i] = (2 * random.uniform() - 1) / Math.sqrt(inputs);
    };
    const first = KERNEL + 1;
    const second = first + positions * hidden + hidden;
    fill(0, first, KERNEL);
    fill(first, second, positions);
    fill(second, theta.length, hidden);
  }

  /** Output for the pooled gradient at `at`. */
  forward(x: Float64Array, at: number): number {
    const { theta, positions, hidden, convolved, values } = this;
    for (let q = 0; q < positions; q++) {
      let sum = theta[KERNEL]!;
      const start = at + q * STRIDE;
      for (let i = 0; i < KERNEL; i++) sum += theta[i]! * x[start + i]!;
      convolved[q] = sum;
    }
    const w1 = KERNEL + 1;
    const b1 = w1 + positions * hidden;
    const w2 = b1 + hidden;
    let out = theta[w2 + hidden]!;
    for (let j = 0; j < hidden; j++) {
      let z = theta[b1 + j]!;
      for (let q = 0; q < positions; q++) z += convolved[q]! * theta[w1 + q * hidden + j]!;
      values[j] = Math.max(z, 0);
      out += values[j]! * theta[w2 + j]!;
    }
    return out;
  }

  /** One step of Adam on (output − target)² at the input of the last {@link forward}. */
  step(x: Float64Array, at: number, slope: number): void {
    const { theta, m, v, gradient, positions, hidden, convolved, values } = this;
    const w1 = KERNEL + 1;
    const b1 = w1 + positions * hidden;
    const w2 = b1 + hidden;
    gradient.fill(0);
    gradient[w2 + hidden] = slope;
    const back = new Float64Array(positions);
    for (let j = 0; j < hidden; j++) {
      gradient[w2 + j] = slope * values[j]!;
      if (!(values[j]! > 0)) continue;
      const d = slope * theta[w2 + j]!;
      gradient[b1 + j] = d;
      for (let q = 0; q < positions; q++) {
        gradient[w1 + q * hidden + j] = d * convolved[q]!;
        back[q]! += d * theta[w1 + q * hidden + j]!;
      }
    }
    for (let q = 0; q < positions; q++) {
      const start = at + q * STRIDE;
      gradient[KERNEL]! += back[q]!;
      for (let i = 0; i < KERNEL; i++) gradient[i]! += back[q]! * x[start + i]!;
    }
    this.steps++;
    const { learningRate, beta1, beta2, epsilon, decay } = ADAM;
    const c1 = 1 - beta1 ** this.steps;
    const c2 = 1 - beta2 ** this.steps;
    for (let k = 0; k < theta.length; k++) {
      const g = gradient[k]! + decay * theta[k]!;
      m[k] = beta1 * m[k]! + (1 - beta1) * g;
      v[k] = beta2 * v[k]! + (1 - beta2) * g * g;
      theta[k]! -= (learningRate * (m[k]! / c1)) / (Math.sqrt(v[k]! / c2) + epsilon);
    }
  }

  /** Everything that a failed training must give back. */
  snapshot(): { theta: Float64Array; m: Float64Array; v: Float64Array; steps: number } {
    const { theta, m, v, steps } = this;
    return { theta: theta.slice(), m: m.slice(), v: v.slice(), steps };
  }

  /** Returns to a {@link snapshot}. */
  return({ theta, m, v, steps }: ReturnType<ExploreNetwork['snapshot']>): void {
    this.theta.set(theta);
    this.m.set(m);
    this.v.set(v);
    this.steps = steps;
  }

  save(): { [key: string]: Json } {
    return {
      theta: encodeNumbers(this.theta),
      m: encodeNumbers(this.m),
      v: encodeNumbers(this.v),
      steps: this.steps,
    };
  }

  load(data: SavedData): void {
    const { length } = this.theta;
    this.theta.set(data.numbers('theta', length));
    this.m.set(data.numbers('m', length));
    this.v.set(data.numbers('v', length));
    this.steps = data.count('steps');
  }
}
