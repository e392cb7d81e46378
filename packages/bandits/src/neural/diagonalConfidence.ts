/** The diagonal design matrix of NeuralUCB and NeuralTS: how well a network's gradient directions are known. */
import { Arena, type Block } from './arena.js';
import type { Mlp } from './mlp.js';

/**
 * `U = λ + Σ g²` over the gradients of f at what was played, and `Σ_k g_k²/U_k` of any input.
 *
 * The gradient of a layer is `h ⊗ δ`, so that the sum is `Σ_j (Σ_i h_i²/U_ij) δ_j²`: two passes over 1/U, no gradient is
 * ever stored. This replaces one backward pass and one vector of all parameters for each arm.
 */
export class DiagonalConfidence {
  /** U, in the order of the network's parameters. */
  readonly U: Float32Array;
  private readonly u: Block;
  private readonly inverse: Block;
  private readonly biasViews: readonly Float32Array[];
  private readonly squares: Block;
  private readonly columns: Block[];
  private readonly deltas: Block[];
  /** Factors of a gradient: layer l's is `values[l] ⊗ deltas[l]`. */
  private readonly captured: { block: number; values: Float32Array[]; deltas: Float32Array[] };

  /** @param net - made with {@link extraFloats} of room */
  constructor(
    private readonly net: Mlp,
    lambda: number,
  ) {
    const { arena, parameterCount, shape, layers } = net;
    this.u = arena.take(parameterCount);
    this.U = this.u.view.fill(lambda);
    this.inverse = arena.take(parameterCount);
    this.inverse.view.fill(1 / lambda);
    this.biasViews = layers.map(({ biases, outputs }) =>
      this.inverse.view.subarray(biases, biases + outputs),
    );
    this.squares = arena.take(Math.max(shape.dim, ...shape.hidden));
    this.columns = layers.slice(0, -1).map(({ outputs }) => arena.take(outputs));
    this.deltas = layers.map(({ outputs }) => arena.take(outputs));
    this.captured = {
      block: 0,
      values: [shape.dim, ...shape.hidden].map((n) => new Float32Array(n)),
      deltas: layers.map(({ outputs }) => new Float32Array(outputs)),
    };
  }

  /** Room in the arena of a network of this shape. */
  static extraFloats(dim: number, blocks: number, hidden: readonly number[]): number {
    const sizes = [dim * blocks, ...hidden, 1];
    const count = sizes.slice(1).reduce((sum, n, i) => sum + (sizes[i]! + 1) * n, 0);
    const units = hidden.reduce((sum, n) => sum + 2 * Arena.room(n), Arena.room(1));
    return 2 * Arena.room(count) + Arena.room(Math.max(dim, ...hidden)) + units;
  }

  /** Σ g²/U of the input of the network's last forward, in `block`, after `backward(1)`. */
  measure(block: number): number {
    const { net, inverse, squares, columns } = this;
    const { shape, layers, hidden, deltas, arena } = net;
    const s2 = shape.scale * shape.scale;
    const last = layers[hidden.length]!;
    let total = inverse.view[last.biases]!;
    const top = hidden[hidden.length - 1]!;
    total += s2 * weightedSquares(inverse.view, last.weights, top, last.inputs);
    for (let l = 0; l < hidden.length; l++) {
      const { inputs, outputs, weights } = layers[l]!;
      const input = l === 0 ? net.input : hidden[l - 1]!;
      const rows = l === 0 ? shape.dim : inputs;
      const from = l === 0 ? weights + block * shape.dim * outputs : weights;
      const { view } = squares;
      for (let i = 0; i < rows; i++) view[i] = s2 * input[i]! * input[i]!;
      const c = columns[l]!;
      c.view.set(this.biasViews[l]!);
      arena.kernels.addRows(inverse.at + from, squares.at, rows, outputs, c.at);
      total += weightedSquares(c.view, 0, deltas[l]!, outputs);
    }
    return total;
  }

  /** Keeps the gradient at the network's last forward, in `block`, after `backward(1)`, for {@link add}. */
  capture(block: number): void {
    const { net, captured } = this;
    captured.block = block;
    captured.values[0]!.set(net.input);
    for (let l = 0; l < net.hidden.length; l++) captured.values[l + 1]!.set(net.hidden[l]!);
    for (let l = 0; l < net.deltas.length; l++) captured.deltas[l]!.set(net.deltas[l]!);
  }

  /** U += g² of the gradient that was captured. */
  add(): void {
    const { block, values, deltas } = this.captured;
    const { net, u, inverse, squares, deltas: scratch } = this;
    const { shape, layers, arena, offsets } = net;
    const s2 = shape.scale * shape.scale;
    for (let l = 0; l < layers.length; l++) {
      const { outputs, weights, biases } = layers[l]!;
      const input = values[l]!;
      const rows = input.length;
      const d = scratch[l]!;
      const { view } = squares;
      for (let i = 0; i < rows; i++) view[i] = s2 * input[i]! * input[i]!;
      const delta = deltas[l]!;
      for (let j = 0; j < outputs; j++) d.view[j] = delta[j]! * delta[j]!;
      const from = l === 0 ? weights + block * shape.dim * outputs : weights;
      const [x, m, y, n] =
        outputs === 1 ? [d.at, 1, squares.at, rows] : [squares.at, rows, d.at, outputs];
      arena.kernels.raise(u.at + from, inverse.at + from, x, m, n, y);
      arena.kernels.raise(u.at + biases, inverse.at + biases, offsets.one, 1, outputs, d.at);
    }
  }

  /** Takes over a saved U. */
  load(U: Float64Array): void {
    this.U.set(U);
    for (let k = 0; k < U.length; k++) this.inverse.view[k] = 1 / this.U[k]!;
  }
}

/** Σ c[at + i] x[i]², in two sums. */
function weightedSquares(c: Float32Array, at: number, x: Float32Array, n: number): number {
  let even = 0;
  let odd = 0;
  let i = 0;
  for (; i + 1 < n; i += 2) {
    even += c[at + i]! * x[i]! * x[i]!;
    odd += c[at + i + 1]! * x[i + 1]! * x[i + 1]!;
  }
  if (i < n) even += c[at + i]! * x[i]! * x[i]!;
  return even + odd;
}
