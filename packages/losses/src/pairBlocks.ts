import {
  add,
  concat,
  expandDims,
  mul,
  neg,
  scalar,
  sigmoid,
  slice,
  softplus,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tensor2d,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';

/** Negative scores, and which of them count. */
export interface Negatives {
  /** `[N]`, float32 */
  readonly scores: Tensor1D;
  /** `[N]`, float32: 1 for those that count and 0 for others; all count without. */
  readonly counts?: Tensor1D | undefined;
  /** Scores at multiples of this index do not count: the diagonal of a matrix with one column less. */
  readonly skipEvery?: number | undefined;
}

/** A block of `(t − s) / τ` for some negatives t (columns) and positives s (rows). */
function block(
  positives: Tensor1D,
  { scores }: Negatives,
  temperature: number,
  [first, rows]: readonly [number, number],
  [start, columns]: readonly [number, number],
): Tensor {
  const t = expandDims(slice(scores, start, columns), 0);
  const s = expandDims(slice(positives, first, rows), 1);
  return mul(sub(t, s), 1 / temperature);
}

/** With zeros where negatives do not count. */
function weighted(
  x: Tensor,
  { counts, skipEvery }: Negatives,
  start: number,
  columns: number,
): Tensor {
  let result = counts ? mul(x, expandDims(slice(counts, start, columns), 0)) : x;
  if (skipEvery !== undefined) {
    const first = Math.ceil(start / skipEvery) * skipEvery - start;
    const mask = new Float32Array(columns).fill(1);
    for (let i = first; i < columns; i += skipEvery) mask[i] = 0;
    result = mul(result, tensor2d(mask, [1, columns]));
  }
  return result;
}

/** `[from, length]` of the pieces of a whole. */
function pieces(whole: number, length: number): [number, number][] {
  const count = Math.ceil(whole / length);
  return Array.from({ length: count }, (_, i) => [
    i * length,
    Math.min(length, whole - i * length),
  ]);
}

function layout(P: number, N: number, maxPairs: number) {
  const rows = Math.min(P, maxPairs);
  const columns = Math.min(N, Math.max(1, Math.floor(maxPairs / rows)));
  return { rows: pieces(P, rows), columns: pieces(N, columns) };
}

/**
 * `Σ softplus((t − s) / τ)` over positives s and negatives t that count, from blocks of at most `maxPairs` pairs, of
 * which one at a time is in memory, a few times over. O(P N).
 */
export function sumOverBlocks(
  positives: Tensor1D,
  negatives: Negatives,
  temperature: number,
  maxPairs: number,
): Tensor {
  const { rows, columns } = layout(positives.size, negatives.scores.size, maxPairs);
  let total: Tensor = scalar(0);
  for (const column of columns) {
    for (const row of rows) {
      const next = tidy(() => {
        const x = softplus(block(positives, negatives, temperature, row, column));
        // Rows first: one long sum in float32 would lose digits.
        return add(total, sum(sum(weighted(x, negatives, ...column), 1)));
      });
      total.dispose();
      total = next;
    }
  }
  return total;
}

/** Gradient of {@link sumOverBlocks}, block by block too. */
export function slopesOverBlocks(
  positives: Tensor1D,
  negatives: Negatives,
  temperature: number,
  maxPairs: number,
): { positives: Tensor; negatives: Tensor } {
  const { rows, columns } = layout(positives.size, negatives.scores.size, maxPairs);
  let byRow: Tensor[] = rows.map(([, length]) => zeros([length]));
  const byColumn: Tensor[] = [];
  for (const column of columns) {
    let own: Tensor | undefined;
    const nextByRow = rows.map((row, i) => {
      const { positive, negative } = tidy(() => {
        const x = sigmoid(block(positives, negatives, temperature, row, column));
        const slope = weighted(x, negatives, ...column);
        const columnSum = sum(slope, 0);
        return {
          positive: add(byRow[i]!, sum(slope, 1)),
          negative: own ? add(own, columnSum) : columnSum,
        };
      });
      own?.dispose();
      own = negative;
      return positive;
    });
    for (const x of byRow) x.dispose();
    byRow = nextByRow;
    byColumn.push(own!);
  }
  const result = tidy(() => ({
    positives: mul(neg(concat(byRow)), 1 / temperature),
    negatives: mul(concat(byColumn), 1 / temperature),
  }));
  for (const x of [...byRow, ...byColumn]) x.dispose();
  return result;
}
