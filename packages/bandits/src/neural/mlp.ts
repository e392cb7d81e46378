/** A small perceptron on the host: forward and backward for one input at a time, all parameters in one flat array,
 * float32. */
import type { Random } from '@orth/backend';
import { type Activation, activate, applyDerivative } from './activations.js';
import { Arena, type Block } from './arena.js';

/** Shape of an {@link Mlp}. */
export interface MlpShape {
  /** Inputs that are given at once: a row of features. */
  readonly dim: number;
  /**
   * Blocks of the input layer, of which an input fills one and leaves the others 0: the block contexts
   * `(0, …, x, …, 0)` of K arms without their zeros. 1 for plain inputs.
   */
  readonly blocks: number;
  /** Units of each hidden layer. */
  readonly hidden: readonly number[];
  readonly activation: Activation;
  /** Factor of every product with weights: 1, or width^(−1/2) for the network of the theory. */
  readonly scale: number;
}

/** Where a layer's parameters lie. */
export interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  /** Offset of the weights `[inputs, outputs]`. */
  readonly weights: number;
  /** Offset of the biases `[outputs]`. */
  readonly biases: number;
}

/**
 * `f(x) = v·φ(… φ(x W1 + b1) …) + c`. The order of the parameters is W1 `[in, out]` row-major, b1, W2, b2, ….
 */
export class Mlp {
  readonly layers: readonly Layer[];
  readonly parameterCount: number;
  readonly arena: Arena;
  /** All parameters. */
  readonly theta: Float32Array;
  /** θ₀, what descent may be pulled to; zeros until it is filled. */
  readonly start: Float32Array;
  /** Values of the hidden layers at the last {@link forward}. */
  readonly hidden: readonly Float32Array[];
  /** ∂/∂z of each layer, the output last, at the last {@link backward}. */
  readonly deltas: readonly Float32Array[];
  /** Offsets in the heap. */
  readonly offsets: {
    readonly theta: number;
    readonly start: number;
    /** The input of the last {@link forward}, then the values of each hidden layer. */
    readonly values: readonly number[];
    readonly deltas: readonly number[];
    readonly one: number;
    readonly zero: number;
  };
  /** The input of the last {@link forward}. */
  readonly input: Float32Array;
  private readonly output: Block;
  private readonly biasViews: readonly Float32Array[];
  private kept: Float32Array | undefined;

  /**
   * @param extraFloats - room in the arena for others
   * @param simd - see {@link Arena}
   */
  constructor(
    readonly shape: MlpShape,
    extraFloats = 0,
    simd = true,
  ) {
    const sizes = [shape.dim * shape.blocks, ...shape.hidden, 1];
    let at = 0;
    this.layers = sizes.slice(1).map((outputs, i) => {
      const inputs = sizes[i]!;
      const layer = { inputs, outputs, weights: at, biases: at + inputs * outputs };
      at = layer.biases + outputs;
      return layer;
    });
    this.parameterCount = at;
    const units = shape.hidden.reduce((sum, n) => sum + 2 * Arena.room(n), 0);
    const own = 2 * Arena.room(at) + Arena.room(shape.dim) + units + 4 * Arena.room(1);
    this.arena = new Arena(own + extraFloats, simd);
    const take = (n: number) => this.arena.take(n);
    const theta = take(at);
    const start = take(at);
    const input = take(shape.dim);
    const hidden = shape.hidden.map(take);
    const deltas = [...shape.hidden, 1].map(take);
    this.output = take(1);
    const one = take(1);
    one.view[0] = 1;
    const zero = take(1);
    this.theta = theta.view;
    this.start = start.view;
    this.biasViews = this.layers.map(({ biases, outputs }) =>
      this.theta.subarray(biases, biases + outputs),
    );
    this.input = input.view;
    this.hidden = hidden.map(({ view }) => view);
    this.deltas = deltas.map(({ view }) => view);
    this.offsets = {
      theta: theta.at,
      start: start.at,
      values: [input.at, ...hidden.map((block) => block.at)],
      deltas: deltas.map((block) => block.at),
      one: one.at,
      zero: zero.at,
    };
  }

  /** Keeps the parameters for {@link rollback}. */
  snapshot(): void {
    this.kept ??= new Float32Array(this.parameterCount);
    this.kept.set(this.theta);
  }

  /** Returns to the last {@link snapshot}. */
  rollback(): void {
    if (this.kept) this.theta.set(this.kept);
  }

  /** f of the row of `x` at `at`, which fills `block` of the input layer. */
  forward(x: Float64Array, at: number, block: number): number {
    const { theta, shape, layers, hidden, input, output, offsets, arena } = this;
    const { dim, scale, activation } = shape;
    const { kernels } = arena;
    for (let i = 0; i < dim; i++) input[i] = x[at + i]!;
    for (let l = 0; l < hidden.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const z = hidden[l]!;
      if (scale === 1) z.set(this.biasViews[l]!);
      else z.fill(0);
      const from = l === 0 ? weights + block * dim * outputs : weights;
      const rows = l === 0 ? dim : inputs;
      kernels.addRows(
        offsets.theta + from,
        offsets.values[l]!,
        rows,
        outputs,
        offsets.values[l + 1]!,
      );
      if (scale !== 1) for (let j = 0; j < outputs; j++) z[j] = scale * z[j]! + theta[biases + j]!;
      activate(activation, z);
    }
    const last = layers[hidden.length]!;
    const { inputs, weights, biases } = last;
    kernels.dotRows(offsets.theta + weights, offsets.values[hidden.length]!, 1, inputs, output.at);
    return scale * output.view[0]! + theta[biases]!;
  }

  /** Fills {@link deltas} for ∂/∂f = `g`, at the input of the last {@link forward}. */
  backward(g: number): void {
    const { theta, shape, layers, hidden, deltas, offsets, arena } = this;
    deltas[hidden.length]![0] = g;
    for (let l = hidden.length - 1; l >= 0; l--) {
      const { inputs, outputs, weights } = layers[l + 1]!;
      const delta = deltas[l]!;
      if (l === hidden.length - 1) {
        const factor = shape.scale * g;
        if (shape.activation === 'relu') {
          const h = hidden[l]!;
          for (let i = 0; i < inputs; i++) delta[i] = h[i]! > 0 ? factor * theta[weights + i]! : 0;
          continue;
        }
        for (let i = 0; i < inputs; i++) delta[i] = factor * theta[weights + i]!;
      } else {
        const from = offsets.theta + weights;
        arena.kernels.dotRows(from, offsets.deltas[l + 1]!, inputs, outputs, offsets.deltas[l]!);
        if (shape.scale !== 1) for (let i = 0; i < inputs; i++) delta[i]! *= shape.scale;
      }
      applyDerivative(shape.activation, hidden[l]!, delta);
    }
  }

  /** Adds `factor · ∂/∂θ` to `out`, after {@link forward} of an input in `block` and {@link backward}. */
  addGradient(block: number, factor: number, out: Float64Array): void {
    const { shape, layers, hidden, deltas } = this;
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const delta = deltas[l]!;
      const input = l === 0 ? this.input : hidden[l - 1]!;
      const rows = l === 0 ? shape.dim : inputs;
      let k = l === 0 ? weights + block * shape.dim * outputs : weights;
      for (let i = 0; i < rows; i++, k += outputs) {
        const v = factor * shape.scale * input[i]!;
        if (v !== 0) for (let j = 0; j < outputs; j++) out[k + j]! += v * delta[j]!;
      }
      for (let j = 0; j < outputs; j++) out[biases + j]! += factor * delta[j]!;
    }
  }
}

/**
 * PyTorch's initial values: uniform within ±1/√inputs, biases too. With blocks the inputs are those of the whole layer.
 */
export function uniformInitialization(net: Mlp, random: Random): void {
  for (const { inputs, outputs, weights } of net.layers) {
    const bound = 1 / Math.sqrt(inputs);
    const end = weights + inputs * outputs + outputs;
    for (let i = weights; i < end; i++) net.theta[i] = bound * (2 * random.uniform() - 1);
  }
}

/**
 * Initial values of the theory: hidden weights N(0, σ₀²), σ₀ = σ₁/(2(1 + √(log m)/√(2m))), last layer uniform on the
 * unit sphere, biases 0.
 * @see Deb et al. 2024, arXiv:2312.07145
 */
export function theoryInitialization(net: Mlp, random: Random, sigma1: number): void {
  net.theta.fill(0);
  for (const [l, { inputs, outputs, weights }] of net.layers.entries()) {
    const last = l === net.layers.length - 1;
    const spread = last ? 1 : sigma1 / (2 * (1 + Math.sqrt(Math.log(outputs) / (2 * outputs))));
    let square = 0;
    for (let i = weights; i < weights + inputs * outputs; i++) {
      net.theta[i] = random.normal(0, spread);
      square += net.theta[i]! ** 2;
    }
    if (!last) continue;
    for (let i = weights; i < weights + inputs; i++) net.theta[i]! /= Math.sqrt(square);
  }
}
