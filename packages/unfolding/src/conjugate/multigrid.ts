import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { CsrMatrix, type Triplet } from './csrMatrix.js';
import { incompleteCholesky } from './incompleteCholesky.js';
import { checkMatrix } from './operator.js';
import { checkSquareMatrix, jacobi, type Preconditioner } from './preconditioner.js';
import { sparseProduct } from './sparseProduct.js';
import { addScaled, difference } from './vectors.js';

/** Options of {@link multigrid}. */
export interface MultigridOptions {
  /** Points along each axis, row-major. Default those of `A`, as {@link poisson2d} sets them */
  readonly grid?: readonly number[];
  /** Steps of damped Jacobi before and after the coarse grid, integer >= 1. Default 1: a V(1,1) cycle */
  readonly smoothingSteps?: number;
  /** Factor of each Jacobi step, in (0, 1]. Default 0.8 */
  readonly damping?: number;
  /** Unknowns that are solved for directly, integer >= 1. Default 64 */
  readonly coarsest?: number;
}

interface Level {
  readonly A: CsrMatrix;
  readonly smoother: Preconditioner;
  /** From the next coarser grid, and its transpose. */
  readonly P: CsrMatrix;
  readonly R: CsrMatrix;
}

/**
 * A geometric multigrid V-cycle as a preconditioner: for Poisson-like problems on a grid the honest bar of every learned
 * solver, since iterations hardly depend on the size and nothing is trained.
 *
 * Coarse grids keep every second point along each axis, interpolation is multilinear with 0 beyond the boundary, coarse
 * matrices are `Pᵀ A P`, so that any grid length and variable coefficients will do.
 *
 * @param A - symmetric positive definite, on a grid
 * @throws TypeError or RangeError for a matrix without grid or of another size, or an option out of range
 * @example
 * pcg(A, b, { preconditioner: multigrid(poisson2d(63)) }); // 5 iterations to 1e-4
 */
export function multigrid(A: CsrMatrix, options: MultigridOptions = {}): Preconditioner {
  const caller = 'multigrid';
  checkSquareMatrix(caller, A);
  checkMatrix(caller, A);
  checkOptions(caller, options, ['grid', 'smoothingSteps', 'damping', 'coarsest']);
  const { grid = A.grid, smoothingSteps = 1, damping = 0.8, coarsest = 64 } = options;
  if (!Array.isArray(grid) || grid.reduce((size, n) => size * n, 1) !== A.rows) {
    throw new RangeError(`${caller}: grid must have ${A.rows} points, got ${grid && `[${grid}]`}`);
  }
  checkInteger(caller, 'smoothingSteps', smoothingSteps, { min: 1 });
  checkNumber(caller, 'damping', damping, { above: 0, max: 1 });
  checkInteger(caller, 'coarsest', coarsest, { min: 1 });

  const levels: Level[] = [];
  let shape = grid;
  let matrix = A;
  while (matrix.rows > coarsest && shape.some((length) => length > 1)) {
    const P = interpolation(shape);
    const R = P.transpose();
    levels.push({ A: matrix, smoother: jacobi(matrix), P, R });
    matrix = sparseProduct(R, sparseProduct(matrix, P));
    shape = shape.map(coarseLength);
  }
  // IC(0) of a matrix without zeros in its pattern is its Cholesky factorisation.
  const direct = incompleteCholesky(full(matrix));

  const cycle = (depth: number, b: Float64Array): Float64Array => {
    const level = levels[depth];
    if (!level) return direct.solve(b);
    const { A: fine, smoother, P, R } = level;
    const x = smoother.solve(b).map((value) => damping * value);
    const smooth = () => addScaled(x, damping, smoother.solve(difference(b, fine.multiply(x))));
    for (let step = 1; step < smoothingSteps; step++) smooth();
    const coarse = cycle(depth + 1, R.multiply(difference(b, fine.multiply(x))));
    addScaled(x, 1, P.multiply(coarse));
    for (let step = 0; step < smoothingSteps; step++) smooth();
    return x;
  };
  return { solve: (r) => cycle(0, r) };
}

const coarseLength = (length: number): number => (length > 1 ? Math.floor(length / 2) : 1);

/** Weights of the coarse points for each point of an axis: coarse point k lies at 2k + 1. */
function axisWeights(length: number): (readonly [coarse: number, weight: number])[][] {
  if (length === 1) return [[[0, 1]]];
  const coarse = coarseLength(length);
  return Array.from({ length }, (_, i) => {
    if (i % 2 === 1) return [[(i - 1) / 2, 1]];
    return ([i / 2 - 1, i / 2] as const)
      .filter((k) => k >= 0 && k < coarse)
      .map((k) => [k, 0.5] as const);
  });
}

function interpolation(shape: readonly number[]): CsrMatrix {
  let rows: (readonly [number, number])[][] = [[[0, 1]]];
  for (const length of shape) {
    const weights = axisWeights(length);
    const coarse = coarseLength(length);
    rows = rows.flatMap((outer) =>
      weights.map((inner) =>
        outer.flatMap(([j, u]) => inner.map(([k, w]) => [j * coarse + k, u * w] as const)),
      ),
    );
  }
  const columns = shape.map(coarseLength).reduce((size, n) => size * n, 1);
  const triplets = rows.flatMap((row, i) => row.map(([j, w]): Triplet => [i, j, w]));
  return CsrMatrix.fromTriplets(rows.length, columns, triplets);
}

/** The same matrix with every entry stored. */
function full(A: CsrMatrix): CsrMatrix {
  const n = A.rows;
  return new CsrMatrix({
    rows: n,
    rowPointers: Int32Array.from({ length: n + 1 }, (_, i) => i * n),
    columnIndices: Int32Array.from({ length: n * n }, (_, e) => e % n),
    values: A.toDense(),
  });
}
