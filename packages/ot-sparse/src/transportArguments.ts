/**
 * Costs and weights: what every solver of this package accepts, checks and works on.
 *
 * **One pattern for the whole package.** Solvers are host code: plain float64 loops over {@link TransportProblem}s, since
 * they are sequential and small beside the products around them. Each public function therefore comes as a pair:
 *
 * - `solver(cost, options)` reads its tensors synchronously, so it works inside `tf.grads` and `optimizer.minimize`;
 * - `solverAsync(cost, options)` awaits them: for WebGPU outside a browser, where a synchronous read throws.
 *
 * Both are three lines: {@link checkTransport} (kinds, shapes and options; nothing is read), then {@link readTransport} or
 * {@link readTransportAsync} (values; nothing is computed before every value was found good), then one host function
 * for both. Whoever has the numbers on the host passes {@link HostArray}s or plain arrays: nothing is read then, the
 * synchronous function works on every backend, and float64 stays float64.
 */
import { checkTensor } from '@orth/backend';
import { getBackend, Tensor } from '@tensorflow/tfjs-core';

/** Numbers on the host with their shape, row-major. */
export interface HostArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Costs, shape `[…, m, n]`: a float32 or int32 tensor, or numbers on the host. */
export type CostInput = Tensor | HostArray;

/**
 * Masses, shape `[m]` (one for the whole batch) or `[…, m]`: a float32 or int32 tensor, numbers with a shape, or a plain
 * array of as many numbers.
 */
export type WeightsInput = Tensor | HostArray | ArrayLike<number>;

/** The two sides' masses. */
export interface Weights {
  /** Masses of the rows, >= 0. Default: uniform, sum 1 */
  readonly a?: WeightsInput | undefined;
  /** Masses of the columns, >= 0. Default: uniform, sum 1 */
  readonly b?: WeightsInput | undefined;
}

/** Arguments whose kinds and shapes are good; their values are still to be read. */
export interface TransportRequest {
  /** The function named in messages. */
  readonly caller: string;
  readonly cost: CostInput;
  readonly weights: Weights;
  /** Leading dimensions of the cost, `[]` for a single problem. */
  readonly batchShape: readonly number[];
  /** Problems in the batch, the product of `batchShape`. */
  readonly count: number;
  readonly m: number;
  readonly n: number;
}

/** One problem on the host, checked. Nothing in it may be changed: arrays may be shared or the caller's. */
export interface TransportProblem {
  readonly m: number;
  readonly n: number;
  /** Costs, `m × n` row-major; `Infinity` where transport is forbidden. */
  readonly cost: Float64Array;
  /** Masses of the rows, >= 0, sum > 0. */
  readonly a: Float64Array;
  /** Masses of the columns, >= 0; balanced problems: rescaled so that the sum is that of `a` to rounding. */
  readonly b: Float64Array;
  /** Whether some cost is `Infinity`. */
  readonly masked: boolean;
}

/** What {@link readTransport} demands of values. */
export interface TransportRules {
  /** Whether both sides must have one mass. Default true */
  readonly balanced?: boolean;
  /** Greatest relative difference of the masses of a balanced problem. Default 1e−3 */
  readonly massTolerance?: number;
  /** Whether `Infinity` may forbid pairs. Default true */
  readonly masks?: boolean;
}

const DTYPES = ['float32', 'int32'];

const isHostArray = (x: unknown): x is HostArray =>
  typeof x === 'object' && x !== null && 'shape' in x && 'data' in x && !(x instanceof Tensor);

function checkHostArray(caller: string, argument: string, x: HostArray): void {
  const { shape, data } = x;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isInteger(size) && size >= 0)) {
    throw new TypeError(`${caller}: ${argument} must have a shape of sizes, got [${shape}]`);
  }
  const size = shape.reduce((product, length) => product * length, 1);
  if (typeof data?.length !== 'number' || data.length !== size) {
    throw new RangeError(
      `${caller}: ${argument} must have ${size} numbers for shape [${shape}], got ${data?.length}`,
    );
  }
}

/** The shape of a cost or of points, given as a tensor or on the host, of rank >= 2 and not empty. */
export function checkArrayInput(caller: string, argument: string, x: unknown): readonly number[] {
  if (isHostArray(x)) {
    checkHostArray(caller, argument, x);
    if (x.shape.length < 2) {
      throw new RangeError(`${caller}: ${argument} must have rank >= 2, got shape [${x.shape}]`);
    }
    if (x.shape.includes(0)) {
      throw new RangeError(`${caller}: ${argument} must not be empty, got shape [${x.shape}]`);
    }
    return x.shape;
  }
  checkTensor(caller, argument, x, { minRank: 2, dtype: DTYPES });
  return x.shape;
}

/**
 * Demands weights of shape `[length]` or `[…batchShape, length]`.
 * @throws TypeError for another kind, RangeError for another shape
 */
export function checkWeights(
  caller: string,
  argument: string,
  weights: WeightsInput | undefined,
  batchShape: readonly number[],
  length: number,
): void {
  if (weights === undefined) return;
  const full = [...batchShape, length];
  const fail = (got: string): never => {
    const or = batchShape.length > 0 ? ` or [${full}]` : '';
    throw new RangeError(`${caller}: ${argument} must have shape [${length}]${or}, got ${got}`);
  };
  let shape: readonly number[];
  if (weights instanceof Tensor) {
    checkTensor(caller, argument, weights, { minRank: 1, dtype: DTYPES, allowEmpty: true });
    shape = weights.shape;
  } else if (isHostArray(weights)) {
    checkHostArray(caller, argument, weights);
    shape = weights.shape;
  } else if (Array.isArray(weights) || ArrayBuffer.isView(weights)) {
    const size = (weights as ArrayLike<number>).length;
    const count = batchShape.reduce((product, dimension) => product * dimension, 1);
    if (size !== length && size !== count * length) fail(`${size} numbers`);
    return;
  } else {
    throw new TypeError(`${caller}: ${argument} must be a tensor or an array, got ${weights}`);
  }
  if (`${shape}` !== `${[length]}` && `${shape}` !== `${full}`) fail(`shape [${shape}]`);
}

/**
 * Checks kinds and shapes; reads nothing.
 * @param caller - the public function, for messages
 * @throws TypeError or RangeError naming the argument
 */
export function checkTransport(
  caller: string,
  cost: CostInput,
  weights: Weights,
): TransportRequest {
  if (typeof weights !== 'object' || weights === null) {
    throw new TypeError(`${caller}: options must be an object, got ${weights}`);
  }
  const { a, b } = weights;
  const shape = checkArrayInput(caller, 'cost', cost);
  const batchShape = shape.slice(0, -2);
  const [m, n] = shape.slice(-2) as [number, number];
  checkWeights(caller, 'a', a, batchShape, m);
  checkWeights(caller, 'b', b, batchShape, n);
  const count = batchShape.reduce((product, length) => product * length, 1);
  return { caller, cost, weights: { a, b }, batchShape, count, m, n };
}

type Data = ArrayLike<number>;

const dataOf = (x: HostArray | ArrayLike<number>): Data => (isHostArray(x) ? x.data : x);

/** Reads a tensor or host array at once. */
export function readNow(caller: string, x: WeightsInput): Data {
  if (!(x instanceof Tensor)) return dataOf(x);
  try {
    return x.dataSync();
  } catch (cause) {
    const message = `${caller}: backend ${getBackend()} cannot be read synchronously here; use ${caller}Async`;
    throw new Error(message, { cause });
  }
}

/** Reads a tensor or host array when it is there. */
export async function readLater(x: WeightsInput): Promise<Data> {
  return x instanceof Tensor ? x.data() : dataOf(x);
}

/** The same numbers in float64; no copy where they are so already. */
export const toFloat64 = (data: Data): Float64Array =>
  data instanceof Float64Array ? data : new Float64Array(data);

/**
 * Reads and checks the values of a request.
 * @throws RangeError for NaN or −Infinity in the cost, a weight that is negative or not finite, a side without mass,
 *   masses that do not match (balanced problems), or a row or column with mass and without an allowed partner
 */
export function readTransport(
  request: TransportRequest,
  rules: TransportRules = {},
): TransportProblem[] {
  const { caller, cost, weights } = request;
  const read = (x: WeightsInput | undefined) => (x === undefined ? x : readNow(caller, x));
  return problemsOf(request, rules, readNow(caller, cost), read(weights.a), read(weights.b));
}

/** {@link readTransport} for backends that cannot be read synchronously. */
export async function readTransportAsync(
  request: TransportRequest,
  rules: TransportRules = {},
): Promise<TransportProblem[]> {
  const { cost, weights } = request;
  const read = async (x: WeightsInput | undefined) => (x === undefined ? x : readLater(x));
  const [C, a, b] = await Promise.all([readLater(cost), read(weights.a), read(weights.b)]);
  return problemsOf(request, rules, C, a, b);
}

function problemsOf(
  request: TransportRequest,
  { balanced = true, massTolerance = 1e-3, masks = true }: TransportRules,
  costData: Data,
  aData: Data | undefined,
  bData: Data | undefined,
): TransportProblem[] {
  const { caller, count, m, n } = request;
  const size = m * n;
  const costs = toFloat64(costData);
  const masked = checkCosts(caller, costs, masks, size, count);
  const a = weightsOf(caller, 'a', aData, m, count);
  const b = weightsOf(caller, 'b', bData, n, count);
  const problems: TransportProblem[] = [];
  for (let index = 0; index < count; index++) {
    const at = count > 1 ? ` (problem ${index} of the batch)` : '';
    const rows = a[index] ?? a[0]!;
    let columns = b[index] ?? b[0]!;
    const [massA, massB] = [sumOf(rows), sumOf(columns)];
    if (balanced) {
      if (!(Math.abs(massA - massB) <= massTolerance * massA)) {
        throw new RangeError(
          `${caller}: a and b must have the same sum to ${massTolerance} of it, got ${massA} and ${massB}${at}`,
        );
      }
      if (massA !== massB) columns = columns.map((mass) => (mass * massA) / massB);
    }
    const cost = count === 1 ? costs : costs.subarray(index * size, (index + 1) * size);
    if (masked[index]) checkPartners(caller, cost, rows, columns, at);
    problems.push({ m, n, cost, a: rows, b: columns, masked: masked[index]! });
  }
  return problems;
}

export const sumOf = (x: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]!;
  return total;
};

/** Whether each problem has forbidden pairs. */
function checkCosts(
  caller: string,
  costs: Float64Array,
  masks: boolean,
  size: number,
  count: number,
): boolean[] {
  const masked: boolean[] = [];
  for (let index = 0; index < count; index++) {
    let infinite = false;
    for (let i = index * size; i < (index + 1) * size; i++) {
      const c = costs[i]!;
      // One comparison for all that is finite: NaN and the infinities fail it.
      if (c - c === 0) continue;
      if (c !== Infinity || !masks) {
        const rule = masks ? 'finite, or Infinity where transport is forbidden' : 'finite';
        throw new RangeError(`${caller}: cost must be ${rule}, got ${c} at index ${i}`);
      }
      infinite = true;
    }
    masked.push(infinite);
  }
  return masked;
}

/** One array for the whole batch, or one a problem. */
function weightsOf(
  caller: string,
  argument: string,
  data: Data | undefined,
  length: number,
  count: number,
): Float64Array[] {
  if (data === undefined) return [new Float64Array(length).fill(1 / length)];
  const all = toFloat64(data);
  for (let i = 0; i < all.length; i++) {
    if (all[i]! >= 0 && all[i]! < Infinity) continue;
    throw new RangeError(
      `${caller}: ${argument} must be finite and >= 0, got ${all[i]} at index ${i}`,
    );
  }
  const each: Float64Array[] = [];
  const problems = all.length === length ? 1 : count;
  for (let index = 0; index < problems; index++) {
    const weights = all.subarray(index * length, (index + 1) * length);
    if (!(sumOf(weights) > 0)) {
      const at = problems > 1 ? ` in problem ${index} of the batch` : '';
      throw new RangeError(`${caller}: ${argument} must have a positive sum, got 0${at}`);
    }
    each.push(weights);
  }
  return each;
}

/** Every row and every column with mass needs somebody to exchange it with. */
function checkPartners(
  caller: string,
  cost: Float64Array,
  a: Float64Array,
  b: Float64Array,
  at: string,
): void {
  const [m, n] = [a.length, b.length];
  const rowHas = new Uint8Array(m);
  const columnHas = new Uint8Array(n);
  for (let i = 0; i < m; i++) {
    if (a[i] === 0) continue;
    for (let j = 0; j < n; j++) {
      if (b[j] === 0 || cost[i * n + j] === Infinity) continue;
      rowHas[i] = 1;
      columnHas[j] = 1;
    }
  }
  const row = rowHas.findIndex((has, i) => !has && a[i]! > 0);
  const column = columnHas.findIndex((has, j) => !has && b[j]! > 0);
  if (row < 0 && column < 0) return;
  const which = row >= 0 ? `row ${row}` : `column ${column}`;
  throw new RangeError(
    `${caller}: cost must allow every row and column with mass a partner with mass, got only Infinity in ${which}${at}`,
  );
}
