/** The diagonal design matrix of NeuralUCB and NeuralTS: how well a network's gradient directions are known. */
import { addRows } from './kernels.js';
import type { Mlp } from './mlp.js';

/**
 * `U = λ + Σ g²` over the gradients of f at what was played, and `Σ_k g_k²/U_k` of any input.
 *
 * The gradient of a layer is `h ⊗ δ`, so that the sum is `Σ_j (Σ_i h_i²/U_ij) δ_j²`: two passes over 1/U, no gradient is
 * ever stored. This replaces one backward pass and one vector of all parameters for each arm.
 */
export class DiagonalConfidence {
  /** U, in the order of the network's parameters. */
  readonly U: Float64Array;
  private readonly inverse: Float64Array;
  private readonly squares: Float64Array;
  private readonly column: Float64Array[];

  constructor(
    private readonly net: Mlp,
    lambda: number,
  ) {
    this.U = new Float64Array(net.parameterCount).fill(lambda);
    this.inverse = this.U.map((u) => 1 / u);
    this.squares = new Float64Array(Math.max(net.shape.dim, ...net.shape.hidden));
    this.column = net.layers.map(({ outputs }) => new Float64Array(outputs));
  }

  /** Σ g²/U of the input, after the network's forward and `backward(1)` there. */
  measure(x: Float64Array, at: number, block: number): number {
    const { net, inverse, squares, column } = this;
    const { shape, layers, hidden, deltas } = net;
    const s2 = shape.scale * shape.scale;
    let total = 0;
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const first = l === 0;
      const input = first ? x : hidden[l - 1]!;
      const start = first ? at : 0;
      const rows = first ? shape.dim : inputs;
      const offset = first ? weights + block * shape.dim * outputs : weights;
      for (let i = 0; i < rows; i++) squares[i] = s2 * input[start + i]! * input[start + i]!;
      const c = column[l]!;
      for (let j = 0; j < outputs; j++) c[j] = inverse[biases + j]!;
      addRows(inverse, offset, outputs, squares, 0, rows, c);
      const delta = deltas[l]!;
      for (let j = 0; j < outputs; j++) total += c[j]! * delta[j]! * delta[j]!;
    }
    return total;
  }

  /** U += weight · g² at the input, after the network's forward and `backward(1)` there. */
  add(x: Float64Array, at: number, block: number, weight = 1): void {
    const { net, U, inverse } = this;
    const { shape, layers, hidden, deltas } = net;
    const s2 = weight * shape.scale * shape.scale;
    const raise = (k: number, n: number, v: number, delta: Float64Array) => {
      for (let j = 0; j < n; j++) {
        const d = delta[j]!;
        if (d === 0) continue;
        U[k + j]! += v * d * d;
        inverse[k + j] = 1 / U[k + j]!;
      }
    };
    for (let l = 0; l < layers.length; l++) {
      const { inputs, outputs, weights, biases } = layers[l]!;
      const first = l === 0;
      const input = first ? x : hidden[l - 1]!;
      const start = first ? at : 0;
      const rows = first ? shape.dim : inputs;
      const offset = first ? weights + block * shape.dim * outputs : weights;
      for (let i = 0; i < rows; i++) {
        const v = s2 * input[start + i]! * input[start + i]!;
        if (v !== 0) raise(offset + i * outputs, outputs, v, deltas[l]!);
      }
      raise(biases, outputs, weight, deltas[l]!);
    }
  }

  /** Takes over a saved U. */
  load(U: Float64Array): void {
    this.U.set(U);
    for (let k = 0; k < U.length; k++) this.inverse[k] = 1 / U[k]!;
  }
}
