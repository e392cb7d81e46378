import { checkTensor } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import { readNow } from './transportArguments.js';
import type { SparsePlan } from './transportResult.js';

/**
 * The non-zeros of a dense plan. Reads it back; results of solvers have `sparsePlan()`, which needs no dense plan.
 *
 * @param plan - `[…, m, n]` float32
 * @returns indices `[count, rank]` and values `[count]`, row-major order; the caller disposes both
 * @throws Error where the backend cannot be read synchronously: use {@link toSparseAsync}
 */
export function toSparse(plan: Tensor): SparsePlan {
  checkTensor('toSparse', 'plan', plan, { minRank: 2 });
  return nonzeros(readNow('toSparse', plan), plan.shape);
}

/** {@link toSparse} for backends that cannot be read synchronously. */
export async function toSparseAsync(plan: Tensor): Promise<SparsePlan> {
  checkTensor('toSparseAsync', 'plan', plan, { minRank: 2 });
  return nonzeros(await plan.data(), plan.shape);
}

function nonzeros(data: ArrayLike<number>, shape: readonly number[]): SparsePlan {
  const at: number[] = [];
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) at.push(i);
  const rank = shape.length;
  const indices = new Int32Array(at.length * rank);
  at.forEach((flat, e) => {
    for (let axis = rank - 1, rest = flat; axis >= 0; axis--) {
      indices[e * rank + axis] = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
  });
  return {
    indices: tensor(indices, [at.length, rank], 'int32'),
    values: tensor(
      Float32Array.from(at, (i) => data[i]!),
      [at.length],
      'float32',
    ),
    shape: [...shape],
  };
}
