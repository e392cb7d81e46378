import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { CsrMatrix } from './csrMatrix.js';

/** Options of {@link poisson2d} and {@link poisson3d}. */
export interface PoissonOptions {
  /** Boundary values: `'dirichlet'` (0 outside the grid) keeps the matrix positive definite. Default `'dirichlet'` */
  readonly bc?: 'dirichlet';
}

/** −Δ on a grid without the factor 1/h²: twice the number of axes on the diagonal, −1 for each neighbour. */
function laplacian(grid: readonly number[]): CsrMatrix {
  const n = grid.reduce((size, length) => size * length, 1);
  const strides = grid.map((_, axis) => grid.slice(axis + 1).reduce((size, m) => size * m, 1));
  const rowPointers = new Int32Array(n + 1);
  const columnIndices = new Int32Array(n * (2 * grid.length + 1));
  const values = new Float64Array(columnIndices.length);
  let at = 0;
  const put = (column: number, value: number) => {
    columnIndices[at] = column;
    values[at++] = value;
  };
  for (let i = 0; i < n; i++) {
    const position = (axis: number) => Math.floor(i / strides[axis]!) % grid[axis]!;
    for (const [axis, stride] of strides.entries()) if (position(axis) > 0) put(i - stride, -1);
    put(i, 2 * grid.length);
    for (let axis = grid.length - 1; axis >= 0; axis--) {
      if (position(axis) < grid[axis]! - 1) put(i + strides[axis]!, -1);
    }
    rowPointers[i + 1] = at;
  }
  return new CsrMatrix({
    rows: n,
    rowPointers,
    columnIndices: columnIndices.subarray(0, at),
    values: values.subarray(0, at),
    grid,
  });
}

function check(caller: string, grid: readonly number[], options: PoissonOptions): void {
  for (const length of grid) checkInteger(caller, 'grid length', length, { min: 1 });
  checkOptions(caller, options, ['bc']);
  checkOneOf(caller, 'bc', options.bc ?? 'dirichlet', ['dirichlet']);
}

/**
 * −Δ on a grid of `height × width` inner points: the 5-point stencil 4, −1 (no 1/h²), symmetric positive definite.
 * Unknown `(row, column)` is at `row · width + column`.
 *
 * @param width - default `height`
 * @throws TypeError or RangeError for lengths that are not integers >= 1, or an unknown option
 */
export function poisson2d(height: number, width = height, options: PoissonOptions = {}): CsrMatrix {
  check('poisson2d', [height, width], options);
  return laplacian([height, width]);
}

/**
 * −Δ on a grid of `depth × height × width` inner points: the 7-point stencil 6, −1 (no 1/h²).
 *
 * @param size - points along every axis, or along each: `[depth, height, width]`
 * @throws TypeError or RangeError for lengths that are not integers >= 1, or an unknown option
 */
export function poisson3d(
  size: number | readonly [number, number, number],
  options: PoissonOptions = {},
): CsrMatrix {
  const grid = typeof size === 'number' ? [size, size, size] : [...size];
  if (grid.length !== 3) {
    throw new RangeError(`poisson3d: size must be a number or three, got ${grid.length} numbers`);
  }
  check('poisson3d', grid, options);
  return laplacian(grid);
}
