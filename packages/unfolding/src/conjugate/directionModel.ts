import { reshape, Tensor, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';
import type { Preconditioner } from './preconditioner.js';

/**
 * What proposes directions: f(r) ≈ c A⁻¹ r for an unknown constant c.
 *
 * - a function of residuals `[batch, n]`, float32, that gives directions of the same shape, on tensors;
 * - a network with `predict` on grids, `[batch, …grid]` to the same shape, as {@link DirectionNet} is;
 * - a {@link Preconditioner}, on the host in float64.
 */
export type DirectionModel =
  | ((residuals: Tensor2D) => Tensor)
  | { predict(residuals: Tensor): Tensor }
  | Preconditioner;

/** Directions for a batch of residuals. */
export type Propose = (residuals: readonly Float64Array[]) => Promise<readonly ArrayLike<number>[]>;

/**
 * A model as a function on the host.
 * @throws TypeError or RangeError for a model of another kind, or a grid of another size
 */
export function checkModel(
  caller: string,
  model: unknown,
  n: number,
  grid: readonly number[] | undefined,
): Propose {
  if (typeof model === 'function') return onTensors(caller, n, model as (x: Tensor2D) => Tensor);
  const object = (typeof model === 'object' && model !== null ? model : {}) as Record<
    string,
    unknown
  >;
  if (typeof object.solve === 'function') {
    const { solve } = model as Preconditioner;
    return async (residuals) => residuals.map((r) => solve.call(model, r));
  }
  if (typeof object.predict === 'function') {
    const net = model as { predict(x: Tensor): Tensor };
    const shape = grid ?? squareGrid(n);
    if (shape?.reduce((size, length) => size * length, 1) !== n) {
      throw new RangeError(
        `${caller}: grid must have ${n} points, got ${shape ? `[${shape}]` : 'none'}`,
      );
    }
    return onTensors(caller, n, (x) => net.predict(reshape(x, [x.shape[0], ...shape])));
  }
  throw new TypeError(
    `${caller}: model must be a function, a network with predict, or a preconditioner with solve, got ${typeof model}`,
  );
}

function squareGrid(n: number): readonly number[] | undefined {
  const side = Math.round(Math.sqrt(n));
  return side * side === n ? [side, side] : undefined;
}

function onTensors(caller: string, n: number, model: (x: Tensor2D) => Tensor): Propose {
  return async (residuals) => {
    const batch = residuals.length;
    const flat = new Float32Array(batch * n);
    for (const [i, r] of residuals.entries()) flat.set(r, i * n);
    const output = tidy(() => {
      const q: unknown = model(tensor2d(flat, [batch, n]));
      if (!(q instanceof Tensor)) {
        throw new TypeError(`${caller}: model must give a tensor, got ${typeof q}`);
      }
      if (q.size !== batch * n || q.shape[0] !== batch) {
        throw new RangeError(`${caller}: model must give shape [${batch},${n}], got [${q.shape}]`);
      }
      return q;
    });
    try {
      const values = await output.data();
      return residuals.map((_, i) => values.subarray(i * n, (i + 1) * n));
    } finally {
      output.dispose();
    }
  };
}
