import { type OrthogonalizeOptions, orthogonalize } from '@orth/newton-schulz';
import { concat, split, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';

/** Equal matrices, and how they are to be orthogonalised. */
export interface MatrixBatch {
  readonly matrices: Tensor3D;
  readonly orthogonalization: OrthogonalizeOptions;
}

/**
 * Orthogonalises several batches; all matrices of one shape and with the same options go through one call, whatever
 * variables and blocks they come from.
 * @returns batches in the order and with the shapes given
 */
export function orthogonalizeTogether(batches: readonly MatrixBatch[]): Tensor3D[] {
  const results: Tensor3D[] = [];
  const groups = new Map<string, number[]>();
  batches.forEach(({ matrices, orthogonalization }, i) => {
    const key = `${matrices.shape.slice(1)} ${JSON.stringify(orthogonalization)}`;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(i);
  });
  for (const group of groups.values()) {
    const own = group.map((i) => batches[i]!.matrices);
    const together = own.length === 1 ? own[0]! : concat(own, 0);
    const done = orthogonalize(together, batches[group[0]!]!.orthogonalization);
    const sizes = own.map((batch) => batch.shape[0]);
    const parts: Tensor[] = sizes.length === 1 ? [done] : split(done, sizes, 0);
    group.forEach((i, part) => {
      results[i] = parts[part] as Tensor3D;
    });
  }
  return results;
}
