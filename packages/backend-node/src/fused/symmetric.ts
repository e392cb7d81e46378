/**
 * Symmetric matrices as the blocks on and below their diagonal. A product of two that commute is symmetric again, so only
 * those blocks of it are computed: with `p` block rows `(p + 1) / 2p` of the operations of a general product, without a
 * copy, since a block above the diagonal is a transposed factor. Blocks also fit the cache where whole matrices do not.
 */
import type { GraphBuilder, Value } from '../native/graphBuilder.js';

/** `blocks[i][j]` for `j <= i`. */
export type Symmetric = readonly (readonly Value[])[];

/** Least rows of a block for one or two threads: smaller ones are multiplied more slowly than they save. */
const LEAST_BLOCK = 192;
/** More block rows would save little and make graphs of thousands of nodes. */
const MOST_BLOCKS = 4;

/** Sizes of the block rows of a `k × k` matrix. */
export function blockSizes(k: number, threads: number): number[] {
  // Many threads need large blocks to share.
  const least = LEAST_BLOCK * Math.max(1, threads / 4);
  const count = Math.max(1, Math.min(MOST_BLOCKS, Math.floor(k / least)));
  return Array.from({ length: count }, (_, i) => Math.floor((k + i) / count));
}

/** The part of a general product's operations that a symmetric one takes. */
export const symmetricShare = (blocks: number): number => (blocks + 1) / (2 * blocks);

/** Applies `f` to every block; `diagonal` says whether it lies on the diagonal. */
export function mapBlocks(A: Symmetric, f: (block: Value, diagonal: boolean) => Value): Symmetric {
  return A.map((row, i) => row.map((block, j) => f(block, i === j)));
}

/** The block `(i, j)` and whether it is kept transposed. */
function blockAt(A: Symmetric, i: number, j: number): { value: Value; transposed: boolean } {
  return j <= i ? { value: A[i]![j]!, transposed: false } : { value: A[j]![i]!, transposed: true };
}

/** `alpha · A B + beta · add`, for `A` and `B` that commute. */
export function product(
  g: GraphBuilder,
  A: Symmetric,
  B: Symmetric,
  { alpha = 1, add, beta = 1 }: { alpha?: number; add?: Symmetric; beta?: number } = {},
): Symmetric {
  return A.map((row, i) =>
    row.map((_, j) => {
      let sum = add ? add[i]![j]! : undefined;
      A.forEach((_, k) => {
        const [a, b] = [blockAt(A, i, k), blockAt(B, k, j)];
        sum = g.gemm(a.value, b.value, {
          transposeA: a.transposed,
          transposeB: b.transposed,
          alpha,
          ...(sum !== undefined && { add: sum, beta: k === 0 ? beta : 1 }),
        });
      });
      return sum!;
    }),
  );
}

/** `X Xᵀ` of a wide matrix, `Xᵀ X` of a tall one. */
export function gram(
  g: GraphBuilder,
  X: Value,
  tall: boolean,
  sizes: readonly number[],
): Symmetric {
  const parts = g.split(X, tall ? 1 : 0, sizes);
  const flags = tall ? { transposeA: true } : { transposeB: true };
  return parts.map((part, i) => parts.slice(0, i + 1).map((other) => g.gemm(part, other, flags)));
}

/** The blocks of a whole matrix. */
export function fromMatrix(g: GraphBuilder, A: Value, sizes: readonly number[]): Symmetric {
  return g.split(A, 0, sizes).map((row, i) => g.split(row, 1, sizes).slice(0, i + 1));
}

/** The whole matrix. */
export function toMatrix(g: GraphBuilder, A: Symmetric): Value {
  if (A.length === 1) return A[0]![0]!;
  const rows = A.map((_, i) =>
    g.op(
      'Concat',
      A.map((_, j) => {
        const { value, transposed } = blockAt(A, i, j);
        return transposed ? g.op('Transpose', [value], { perm: [1, 0] }) : value;
      }),
      { axis: 1 },
    ),
  );
  return g.op('Concat', rows, { axis: 0 });
}
