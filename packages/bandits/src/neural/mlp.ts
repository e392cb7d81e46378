/** A small perceptron on the host: forward and backward for one input at a time, all parameters in one flat array. */
import type { Random } from '@orth/backend';
import { type Activation, activate, applyDerivative } from './activations.js';
import { addRows, dotRows } from './kernels.js';

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
  readonly theta: Float64Array;
  /** Values of the hidden layers at the last {@link forward}. */
  readonly hidden: readonly Float64Array[];
  /** ∂/∂z of each layer, the output last, at the last {@link backward}. */
  readonly deltas: readonly Float64Array[];
  private readonly output = new Float64Array(1);

  constructor(readonly shape: MlpShape) {
    const sizes = [shape.dim * shape.blocks, ...shape.hidden, 1];
    let at = 0;
    this.layers = sizes.slice(1).map((outputs, i) => {
      const inputs = sizes[i]!;
      const layer = { inputs, outputs, weights: at, biases: at + inputs * outputs };
      at = layer.biases + outputs;
      return layer;
    });
    this.parameterCount = at;
    this.theta = new Float64Array(at);
    this.hidden = shape.hidden.map((n) => new Float64Array(n));
    this.deltas = [...shape.hidden, 1].map((n) => new Float64Array(n));
  }

  /** f of the row of `x` at `at`, which fills `block` of the input layer. */
  forward(x: Float64Array, at: number, block: number): number {
    const { theta, shape, layers, hidden, output } = this;
    const { dim, scale, activation } = shape;
    let input = x;
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const z = l < hidden.length ? hidden[l]! : output;
      if (scale === 1) for (let j = 0; j < outputs; j++) z[j] = theta[biases + j]!;
      else z.fill(0);
      if (outputs === 1 && l > 0) {
        let sum = 0;
        for (let i = 0; i < inputs; i++) sum += input[i]! * theta[weights + i]!;
        z[0]! += sum;
      } else if (l === 0) {
        addRows(theta, weights + block * dim * outputs, outputs, x, at, dim, z);
      } else {
        addRows(theta, weights, outputs, input, 0, inputs, z);
      }
      if (scale !== 1) for (let j = 0; j < outputs; j++) z[j] = scale * z[j]! + theta[biases + j]!;
      if (l < hidden.length) activate(activation, z);
      input = z;
    }
    return output[0]!;
  }

  /** Fills {@link deltas} for ∂/∂f = `g`, at the input of the last {@link forward}. */
  backward(g: number): void {
    const { theta, shape, layers, hidden, deltas } = this;
    deltas[hidden.length]![0] = g;
    for (let l = hidden.length - 1; l >= 0; l--) {
      const { inputs, outputs, weights } = layers[l + 1]!;
      const delta = deltas[l]!;
      const above = deltas[l + 1]!;
      if (outputs === 1) {
        const factor = shape.scale * above[0]!;
        for (let i = 0; i < inputs; i++) delta[i] = factor * theta[weights + i]!;
      } else {
        dotRows(theta, weights, outputs, above, inputs, delta);
        if (shape.scale !== 1) for (let i = 0; i < inputs; i++) delta[i]! *= shape.scale;
      }
      applyDerivative(shape.activation, hidden[l]!, delta);
    }
  }

  /** Adds `factor · ∂/∂θ` to `out`, after {@link backward}. */
  addGradient(x: Float64Array, at: number, block: number, factor: number, out: Float64Array): void {
    const { shape, layers, hidden, deltas } = this;
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const delta = deltas[l]!;
      const first = l === 0;
      const input = first ? x : hidden[l - 1]!;
      const start = first ? at : 0;
      const rows = first ? shape.dim : inputs;
      let k = first ? weights + block * shape.dim * outputs : weights;
      for (let i = 0; i < rows; i++, k += outputs) {
        const v = factor * shape.scale * input[start + i]!;
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
