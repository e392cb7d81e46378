import { checkInteger, checkOneOf } from '@orth/backend';
import { newtonSchulzFlops } from '@orth/newton-schulz';

/** How matrices are shared out among workers. */
export type AssignmentScheme = 'roundRobin' | 'megaBatch' | 'longestFirst';

/** Who orthogonalises what. */
export interface OrthogonalizationPlan {
  /** Worker of each matrix, in the order given. */
  readonly owner: readonly number[];
  /** Order in which the scheme visits the matrices: indices. */
  readonly order: readonly number[];
  /** Operations of one Newton–Schulz step that each worker has. */
  readonly load: readonly number[];
}

/**
 * Shares out the orthogonalisation of matrices among workers.
 *
 * - `'roundRobin'`: sorted by shape, largest first, then one by one (the NorMuon author's code)
 * - `'megaBatch'`: matrices of one shape in contiguous runs, so that each worker has one batched call a shape (dion)
 * - `'longestFirst'`: by operations, the most expensive first, always to the worker with the least so far; at most 4/3
 *   of the best possible load (Graham 1969)
 *
 * @param shapes - `[rows, columns]` of each matrix
 * @param workers - integer >= 1
 * @throws TypeError or RangeError for a bad argument
 * @example
 * planOrthogonalization([[64, 64], [64, 256]], 2, 'longestFirst').owner; // [1, 0]
 * @see Li et al. 2025, "NorMuon", arXiv 2510.05491, algorithm 2; microsoft/dion
 */
export function planOrthogonalization(
  shapes: readonly (readonly [number, number])[],
  workers: number,
  scheme: AssignmentScheme = 'longestFirst',
): OrthogonalizationPlan {
  const caller = 'planOrthogonalization';
  checkInteger(caller, 'workers', workers, { min: 1 });
  checkOneOf(caller, 'scheme', scheme, ['roundRobin', 'megaBatch', 'longestFirst']);
  const costs = shapes.map((shape, i) => {
    if (shape.length !== 2) {
      throw new RangeError(`${caller}: shapes[${i}] must have two sides, got [${shape}]`);
    }
    for (const side of shape) checkInteger(caller, `shapes[${i}]`, side, { min: 1 });
    return newtonSchulzFlops(shape[0], shape[1], { steps: 1 });
  });
  const owner = new Array<number>(shapes.length).fill(0);
  const order = shapes.map((_, i) => i);
  const load = new Array<number>(workers).fill(0);
  const give = (matrix: number, worker: number) => {
    owner[matrix] = worker;
    load[worker]! += costs[matrix]!;
  };
  if (scheme === 'roundRobin') {
    order.sort((i, j) => shapes[j]![0] - shapes[i]![0] || shapes[j]![1] - shapes[i]![1]);
    for (const [i, matrix] of order.entries()) give(matrix, i % workers);
  } else if (scheme === 'megaBatch') {
    const keys = shapes.map(String);
    order.sort((i, j) => keys.indexOf(keys[i]!) - keys.indexOf(keys[j]!));
    for (const key of new Set(keys)) {
      const equal = order.filter((i) => keys[i] === key);
      const each = Math.ceil(equal.length / workers);
      for (const [i, matrix] of equal.entries()) give(matrix, Math.floor(i / each));
    }
  } else {
    order.sort((i, j) => costs[j]! - costs[i]!);
    for (const matrix of order) give(matrix, load.indexOf(Math.min(...load)));
  }
  return { owner, order, load };
}
