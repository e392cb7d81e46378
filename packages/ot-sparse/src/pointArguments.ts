/** Clouds of points: what the functions between two of them accept, check and read. */
import { checkTensor } from '@orth/backend';
import { Tensor } from '@tensorflow/tfjs-core';
import {
  type CostInput,
  checkArrayInput,
  checkWeights,
  type HostArray,
  readLater,
  readNow,
  sumOf,
  toFloat64,
  type Weights,
  type WeightsInput,
} from './transportArguments.js';

/** Points, shape `[…, count, d]`: a float32 or int32 tensor, or numbers on the host. */
export type PointsInput = CostInput;

/** Arguments whose kinds and shapes are good; their values are still to be read. */
export interface PointRequest {
  readonly caller: string;
  readonly x: Tensor | HostArray | ArrayLike<number>;
  readonly y: Tensor | HostArray | ArrayLike<number>;
  readonly weights: Weights;
  readonly batchShape: readonly number[];
  readonly count: number;
  readonly m: number;
  readonly n: number;
  readonly d: number;
}

/** Two clouds on the host, checked. */
export interface PointProblem {
  readonly m: number;
  readonly n: number;
  readonly d: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly a: Float64Array;
  readonly b: Float64Array;
}

/**
 * Checks kinds and shapes of two clouds; reads nothing.
 * @throws TypeError or RangeError naming the argument
 */
export function checkPoints(
  caller: string,
  x: PointsInput,
  y: PointsInput,
  { a, b }: Weights,
): PointRequest {
  const shape = checkArrayInput(caller, 'x', x);
  const other = checkArrayInput(caller, 'y', y);
  const batchShape = shape.slice(0, -2);
  const [m, d] = shape.slice(-2) as [number, number];
  const n = other.at(-2)!;
  const want = [...batchShape, n, d];
  if (`${want}` !== `${other}`) {
    const rule = `y must have shape [${[...batchShape, '*', d]}], as x, got shape [${other}]`;
    throw new RangeError(`${caller}: ${rule}`);
  }
  return request(caller, x, y, { a, b }, batchShape, m, n, d);
}

/** Numbers on a line, shape `[…, count]`. */
export type LineInput = WeightsInput;

function lineShape(caller: string, argument: string, x: LineInput): readonly number[] {
  if (x instanceof Tensor) {
    checkTensor(caller, argument, x, { minRank: 1, dtype: ['float32', 'int32'] });
    return x.shape;
  }
  const lengths = 'shape' in x ? x.shape : [x.length];
  const size = lengths.reduce((product, length) => product * length, 1);
  const numbers = 'shape' in x ? x.data.length : x.length;
  if (lengths.length === 0 || size === 0 || numbers !== size) {
    const got = `${numbers} numbers for shape [${lengths}]`;
    throw new RangeError(`${caller}: ${argument} must be numbers along an axis, got ${got}`);
  }
  return lengths;
}

/** As {@link checkPoints}, for numbers on a line. */
export function checkLine(
  caller: string,
  x: LineInput,
  y: LineInput,
  { a, b }: Weights,
): PointRequest {
  for (const [argument, value] of [
    ['x', x],
    ['y', y],
  ] as const) {
    if (typeof value === 'object' && value !== null) continue;
    throw new TypeError(`${caller}: ${argument} must be a tensor or an array, got ${value}`);
  }
  const shape = lineShape(caller, 'x', x);
  const other = lineShape(caller, 'y', y);
  const batchShape = shape.slice(0, -1);
  if (`${batchShape}` !== `${other.slice(0, -1)}`) {
    const rule = `y must have shape [${[...batchShape, '*']}], as x, got shape [${other}]`;
    throw new RangeError(`${caller}: ${rule}`);
  }
  return request(caller, x, y, { a, b }, batchShape, shape.at(-1)!, other.at(-1)!, 1);
}

function request(
  caller: string,
  x: PointRequest['x'],
  y: PointRequest['y'],
  { a, b }: Weights,
  batchShape: readonly number[],
  m: number,
  n: number,
  d: number,
): PointRequest {
  checkWeights(caller, 'a', a, batchShape, m);
  checkWeights(caller, 'b', b, batchShape, n);
  const count = batchShape.reduce((product, length) => product * length, 1);
  return { caller, x, y, weights: { a, b }, batchShape, count, m, n, d };
}

/** What {@link readPoints} demands of masses. */
export interface PointRules {
  /** Whether both sides must have one mass. Default true */
  readonly balanced?: boolean;
}

/** Greatest relative difference of the masses: float32 sums up to rounding. */
const MASS_TOLERANCE = 1e-5;

type Data = ArrayLike<number>;

/**
 * Reads and checks values, synchronously.
 * @throws RangeError for points that are not finite, weights that are negative, or masses that do not match
 */
export function readPoints(points: PointRequest, rules: PointRules = {}): PointProblem[] {
  const { caller, x, y, weights } = points;
  const read = (w: WeightsInput | undefined) => (w === undefined ? w : readNow(caller, w));
  return problems(
    points,
    rules,
    readNow(caller, x),
    readNow(caller, y),
    read(weights.a),
    read(weights.b),
  );
}

/** {@link readPoints} for backends that cannot be read synchronously. */
export async function readPointsAsync(
  points: PointRequest,
  rules: PointRules = {},
): Promise<PointProblem[]> {
  const { x, y, weights } = points;
  const read = async (w: WeightsInput | undefined) => (w === undefined ? w : readLater(w));
  const data = await Promise.all([
    readLater(x),
    readLater(y),
    read(weights.a),
    read(weights.b),
  ] as const);
  return problems(points, rules, ...data);
}

function problems(
  { caller, count, m, n, d }: PointRequest,
  { balanced = true }: PointRules,
  xData: Data,
  yData: Data,
  aData: Data | undefined,
  bData: Data | undefined,
): PointProblem[] {
  const x = finite(caller, 'x', xData);
  const y = finite(caller, 'y', yData);
  const a = masses(caller, 'a', aData, m);
  const b = masses(caller, 'b', bData, n);
  return Array.from({ length: count }, (_, index) => {
    const at = count > 1 ? ` (problem ${index} of the batch)` : '';
    const part = (all: Float64Array, length: number) =>
      all.length === length ? all : all.subarray(index * length, (index + 1) * length);
    const rows = part(a, m);
    let columns = part(b, n);
    const [massA, massB] = [sumOf(rows), sumOf(columns)];
    if (!(massA > 0 && massB > 0)) {
      const [name, mass] = massA > 0 ? ['b', massB] : ['a', massA];
      throw new RangeError(`${caller}: ${name} must have a positive sum, got ${mass}${at}`);
    }
    if (balanced) {
      if (Math.abs(massA - massB) > MASS_TOLERANCE * massA) {
        throw new RangeError(
          `${caller}: a and b must have the same sum to ${MASS_TOLERANCE} of it, got ${massA} and ${massB}${at}`,
        );
      }
      if (massA !== massB) columns = columns.map((mass) => (mass * massA) / massB);
    }
    return { m, n, d, x: part(x, m * d), y: part(y, n * d), a: rows, b: columns };
  });
}

function finite(caller: string, argument: string, data: Data): Float64Array {
  const all = toFloat64(data);
  for (let i = 0; i < all.length; i++) {
    if (Number.isFinite(all[i]!)) continue;
    throw new RangeError(`${caller}: ${argument} must be finite, got ${all[i]} at index ${i}`);
  }
  return all;
}

function masses(
  caller: string,
  argument: string,
  data: Data | undefined,
  length: number,
): Float64Array {
  if (data === undefined) return new Float64Array(length).fill(1 / length);
  const all = finite(caller, argument, data);
  const bad = all.findIndex((mass) => mass < 0);
  if (bad < 0) return all;
  throw new RangeError(
    `${caller}: ${argument} must be finite and >= 0, got ${all[bad]} at index ${bad}`,
  );
}
