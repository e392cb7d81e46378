import { CheckpointError, checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import {
  keep,
  matMul,
  mul,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { freeName } from '../adapters/target.js';
import { transposeRows } from '../lora/hostMatrices.js';
import { haarRows } from './haar.js';
import { defaultMap, ORTHOGONAL_MAPS, type OrthogonalMap, orthogonal } from './orthogonal.js';
import { completed, reflectionsOf } from './orthogonalStart.js';

/** Options of {@link orthogonalVariable}. */
export interface OrthogonalVariableOptions {
  /** Any but `'blockReflector'`. Default: `'matrixExp'` for a square shape, `'householder'` for others, as torch's */
  readonly map?: OrthogonalMap;
  /**
   * `'haar'`: a random orthogonal matrix; `'identity'`: ones on the diagonal; or the numbers, row by row, of a matrix with
   * orthonormal columns (rows, if fewer). Default `'haar'`
   */
  readonly init?: 'identity' | 'haar' | ArrayLike<number>;
  /** Seed of `'haar'`. Default 0 */
  readonly seed?: number;
  /** Steps of `'bjorck'`. Default 12 */
  readonly steps?: number;
  /** Name of the parameters. Default `'orthogonal'`; a number is added if it is taken */
  readonly name?: string;
}

/** An {@link OrthogonalVariable} as plain data, fit for JSON. */
export interface OrthogonalVariableState {
  readonly shape: readonly [number, number];
  readonly map: OrthogonalMap;
  readonly steps: number;
  readonly params: readonly number[];
  /** What the map's result is multiplied by: the start of rotations, signs of reflections, or null. */
  readonly start: readonly number[] | null;
}

const OPTIONS = ['map', 'init', 'seed', 'steps', 'name'];

/** How far from orthonormal a start may be, per entry of its Gram matrix. */
const START_ERROR = 1e-3;

/** A trainable matrix that stays orthogonal; make it by {@link orthogonalVariable}. */
export class OrthogonalVariable {
  /** Use {@link orthogonalVariable}. */
  constructor(
    /** What to train, of the matrix' shape; give it to an optimizer. */
    readonly params: Variable,
    readonly map: OrthogonalMap,
    private readonly steps: number,
    private readonly start: Tensor | null,
  ) {}

  /** Shape `[m, n]`. */
  get shape(): [number, number] {
    return this.params.shape as [number, number];
  }

  /** The matrix, with orthonormal columns (rows, if fewer); differentiable with respect to `params`. */
  value(): Tensor2D {
    const { params, start, map, steps } = this;
    return tidy(() => {
      const Q = orthogonal(params, { map, steps });
      if (!start) return Q;
      if (map === 'householder') return mul(Q, start) as Tensor2D;
      // A wide matrix is the transpose of a tall one that turns on its left.
      const wide = params.shape[0]! < params.shape[1]!;
      return (wide ? matMul(Q, start, false, true) : matMul(start, Q)) as Tensor2D;
    });
  }

  /** All of it as plain data; {@link restoreOrthogonalVariable} makes the same matrix of it, bit for bit. */
  async toJSON(): Promise<OrthogonalVariableState> {
    const { map, steps, shape } = this;
    const start = this.start && [...(await this.start.data())];
    return { shape, map, steps, params: [...(await this.params.data())], start };
  }

  /** Frees the parameters. */
  dispose(): void {
    this.params.dispose();
    this.start?.dispose();
  }
}

/**
 * A trainable matrix that is orthogonal at every step, for any optimizer. The exponential and the Cayley map turn a fixed
 * start by a rotation that begins at the identity (a static trivialization), so that any start can be theirs.
 *
 * @param shape - `[m, n]`
 * @throws TypeError or RangeError for a wrong shape, option, or start
 * @example
 * const W = orthogonalVariable([64, 64], { map: 'cayley', seed: 1 });
 * optimizer.minimize(() => loss(matMul(x, W.value())), false, [W.params]);
 * @see `torch.nn.utils.parametrizations.orthogonal`, whose defaults these are
 */
export function orthogonalVariable(
  shape: readonly [number, number],
  options: OrthogonalVariableOptions = {},
): OrthogonalVariable {
  const caller = 'orthogonalVariable';
  checkOptions(caller, options, OPTIONS);
  if (!Array.isArray(shape) || shape.length !== 2) {
    throw new TypeError(`${caller}: shape must be [rows, columns], got ${JSON.stringify(shape)}`);
  }
  for (const size of shape) checkInteger(caller, 'shape', size, { min: 1 });
  const { map = defaultMap(shape), init = 'haar', seed = 0, steps = 12 } = options;
  checkOneOf(caller, 'map', map, usable);
  checkInteger(caller, 'seed', seed);
  checkInteger(caller, 'steps', steps, { min: 1 });
  const [rows, columns] = shape as [number, number];
  const first = firstColumns(caller, rows, columns, init, seed);
  const { params, start } = startOf(rows, columns, map, first);
  return assemble([rows, columns], map, steps, params, start, options.name);
}

const usable: readonly OrthogonalMap[] = ORTHOGONAL_MAPS.filter((map) => map !== 'blockReflector');

/** Columns of the tall one of the matrix and its transpose. */
function firstColumns(
  caller: string,
  rows: number,
  columns: number,
  init: 'identity' | 'haar' | ArrayLike<number>,
  seed: number,
): Float64Array[] {
  const [n, m] = [Math.min(rows, columns), Math.max(rows, columns)];
  if (init === 'haar') return haarRows(n, m, seed);
  if (init === 'identity') {
    return Array.from({ length: n }, (_, i) => {
      const column = new Float64Array(m);
      column[i] = 1;
      return column;
    });
  }
  if (typeof init !== 'object' || init === null || init.length !== rows * columns) {
    const got = typeof init === 'object' ? `${init?.length} numbers` : JSON.stringify(init);
    throw new RangeError(
      `${caller}: init must be "identity", "haar" or ${rows * columns} numbers, got ${got}`,
    );
  }
  const values = Array.from({ length: rows }, (_, i) =>
    Float64Array.from({ length: columns }, (_, j) => init[i * columns + j]!),
  );
  const found = rows < columns ? values : transposeRows(values);
  found.forEach((a, i) => {
    found.slice(0, i + 1).forEach((b, j) => {
      const error = a.reduce((sum, x, k) => sum + x * b[k]!, i === j ? -1 : 0);
      if (Math.abs(error) <= START_ERROR) return;
      throw new RangeError(
        `${caller}: init must have orthonormal ${rows < columns ? 'rows' : 'columns'}, got an error of ${error}`,
      );
    });
  });
  return found;
}

interface Start {
  readonly params: ArrayLike<number>;
  readonly start: ArrayLike<number> | null;
}

function startOf(rows: number, columns: number, map: OrthogonalMap, first: Float64Array[]): Start {
  const wide = rows < columns;
  const [n, m] = [first.length, first[0]!.length];
  if (map === 'matrixExp' || map === 'cayley') {
    return { params: new Float32Array(rows * columns), start: completed(first) };
  }
  if (map === 'householder') {
    const { h, signs } = reflectionsOf(first.map((column) => column.slice()));
    const at = (i: number, j: number) => h[i * n + j]!;
    return { params: wide ? fill(n, m, (i, j) => at(j, i)) : h, start: signs };
  }
  const at = (i: number, j: number) => first[j]![i]!;
  return { params: wide ? fill(n, m, (i, j) => at(j, i)) : fill(m, n, at), start: null };
}

const fill = (rows: number, columns: number, at: (i: number, j: number) => number) =>
  Float32Array.from({ length: rows * columns }, (_, ij) =>
    at(Math.floor(ij / columns), ij % columns),
  );

/** Shape of what the map's result is multiplied by. */
function startShape([rows, columns]: readonly [number, number], map: OrthogonalMap) {
  const size = Math.max(rows, columns);
  if (map !== 'householder') return [size, size] as const;
  return rows < columns ? ([rows, 1] as const) : ([1, columns] as const);
}

function assemble(
  shape: readonly [number, number],
  map: OrthogonalMap,
  steps: number,
  params: ArrayLike<number>,
  start: ArrayLike<number> | null,
  name = 'orthogonal',
): OrthogonalVariable {
  const [rows, columns] = startShape(shape, map);
  const base = start && tensor2d(Float32Array.from(start), [rows, columns]);
  const values = tensor2d(Float32Array.from(params), [...shape]);
  const free = variable(values, true, freeName(name));
  values.dispose();
  return new OrthogonalVariable(free, map, steps, base && keep(base));
}

/**
 * A variable from the data of {@link OrthogonalVariable.toJSON}.
 * @throws CheckpointError if it is damaged
 */
export function restoreOrthogonalVariable(
  state: OrthogonalVariableState,
  name?: string,
): OrthogonalVariable {
  const fail = (what: string): never => {
    throw new CheckpointError(`restoreOrthogonalVariable: state must have ${what}`);
  };
  const { shape, map, steps, params, start } = (state ?? {}) as OrthogonalVariableState;
  const isSize = (x: unknown) => Number.isInteger(x) && (x as number) > 0;
  if (!Array.isArray(shape) || shape.length !== 2 || !shape.every(isSize)) fail('a shape');
  if (!usable.includes(map)) fail('a known map');
  if (!isSize(steps)) fail('steps');
  const isList = (x: unknown, length: number) =>
    Array.isArray(x) && x.length === length && x.every(Number.isFinite);
  if (!isList(params, shape[0] * shape[1])) fail(`${shape[0] * shape[1]} params`);
  const startSize = startShape(shape, map).reduce((product, size) => product * size, 1);
  if (start !== null && !isList(start, startSize)) fail(`a start of ${startSize} numbers`);
  return assemble(shape, map, steps, params, start, name);
}
