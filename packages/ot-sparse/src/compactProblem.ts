import type { TransportProblem } from './transportArguments.js';

/**
 * A problem without its zero masses, as the solvers work on it: costs column by column, so that a column is a contiguous
 * run of memory.
 */
export interface CompactProblem {
  readonly m: number;
  readonly n: number;
  /** Costs, `n × m`: column j of the cost is the run that begins at j·m. `Infinity` forbids. */
  readonly columns: Float64Array;
  /** Masses > 0. */
  readonly a: Float64Array;
  readonly b: Float64Array;
  /** Σa = Σb. */
  readonly mass: number;
  /** Row of the original problem that row i here is; likewise for columns. */
  readonly rowIndex: Int32Array;
  readonly columnIndex: Int32Array;
  readonly original: TransportProblem;
}

const kept = (weights: Float64Array, all: boolean): Int32Array => {
  const indices: number[] = [];
  for (let i = 0; i < weights.length; i++) if (all || weights[i]! > 0) indices.push(i);
  return Int32Array.from(indices);
};

/** Side of the blocks in which the cost is transposed: two cache lines of float64. */
const BLOCK = 16;

/**
 * Drops rows and columns without mass and lays the cost out by columns.
 * @param all - keep them after all
 */
export function compact(problem: TransportProblem, all = false): CompactProblem {
  const rowIndex = kept(problem.a, all);
  const columnIndex = kept(problem.b, all);
  const [m, n] = [rowIndex.length, columnIndex.length];
  const columns = new Float64Array(m * n);
  for (let i0 = 0; i0 < m; i0 += BLOCK) {
    const i1 = Math.min(m, i0 + BLOCK);
    for (let j0 = 0; j0 < n; j0 += BLOCK) {
      const j1 = Math.min(n, j0 + BLOCK);
      for (let j = j0; j < j1; j++) {
        const from = columnIndex[j]!;
        for (let i = i0; i < i1; i++) {
          columns[j * m + i] = problem.cost[rowIndex[i]! * problem.n + from]!;
        }
      }
    }
  }
  const a = Float64Array.from(rowIndex, (i) => problem.a[i]!);
  const b = Float64Array.from(columnIndex, (j) => problem.b[j]!);
  const mass = a.reduce((total, value) => total + value, 0);
  return { m, n, columns, a, b, mass, rowIndex, columnIndex, original: problem };
}

/**
 * Potentials of the original problem: those of rows and columns without mass are the largest that leave them empty,
 * which is the derivative of the objective towards giving them some; 0 where all their pairs are forbidden.
 */
export function expandPotentials(
  { original, rowIndex, columnIndex }: CompactProblem,
  alpha: Float64Array,
  beta: Float64Array,
): { alpha: Float64Array; beta: Float64Array } {
  const { m, n, cost } = original;
  const fullAlpha = new Float64Array(m).fill(Number.NaN);
  const fullBeta = new Float64Array(n).fill(Number.NaN);
  rowIndex.forEach((row, i) => {
    fullAlpha[row] = alpha[i]!;
  });
  columnIndex.forEach((column, j) => {
    fullBeta[column] = beta[j]!;
  });
  const least = (count: number, value: (index: number) => number) => {
    let most = Infinity;
    for (let index = 0; index < count; index++) most = Math.min(most, value(index));
    return most === Infinity ? 0 : most;
  };
  if (rowIndex.length < m) {
    for (let i = 0; i < m; i++) {
      if (!Number.isNaN(fullAlpha[i]!)) continue;
      fullAlpha[i] = least(columnIndex.length, (j) => cost[i * n + columnIndex[j]!]! - beta[j]!);
    }
  }
  if (columnIndex.length < n) {
    for (let j = 0; j < n; j++) {
      if (!Number.isNaN(fullBeta[j]!)) continue;
      fullBeta[j] = least(rowIndex.length, (i) => cost[rowIndex[i]! * n + j]! - alpha[i]!);
    }
  }
  return { alpha: fullAlpha, beta: fullBeta };
}
