/**
 * Golden fixtures: numbers from the authors' own code. A fixture names an `op`; a package's `test/fixtures.ts` maps the
 * op to an adapter, which runs our functions on the inputs and returns every output that the fixture wants.
 */
import { type DataType, Tensor, tensor } from '@tensorflow/tfjs-core';
import { compareValues, type Tolerance } from './tensorClose.js';

/** A tensor as plain data, row-major. Adapters of host-side float64 code read it in full from {@link Fixture.inputs}. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'float64' | 'int32' | 'bool';
  readonly data: readonly number[];
}

/** A golden fixture, as its JSON file holds it. */
export interface Fixture {
  readonly name: string;
  /** `<package>/<system>/<function>`. */
  readonly op: string;
  readonly source: string;
  readonly how: string;
  // Parameters differ from op to op; each adapter reads the ones that its op documents.
  // biome-ignore lint/suspicious/noExplicitAny: untyped by nature
  readonly params: Record<string, any>;
  readonly inputs: Readonly<Record<string, TensorData>>;
  readonly outputs: Readonly<Record<string, TensorData>>;
  readonly tolerance: Tolerance;
}

/** What an adapter is given. */
export interface AdapterContext {
  readonly fixture: Fixture;
  readonly params: Fixture['params'];
  /** Inputs on the active backend; the runner disposes them. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Names of the outputs to produce. */
  readonly wanted: readonly string[];
}

/** Runs one op and returns its outputs by name, as tensors (which the runner disposes), flat arrays, or numbers. */
export type Adapter = (
  context: AdapterContext,
) =>
  | Record<string, Tensor | ArrayLike<number> | number>
  | Promise<Record<string, Tensor | ArrayLike<number> | number>>;

/** How a fixture went. */
export interface FixtureResult {
  readonly name: string;
  readonly op: string;
  readonly status: 'ok' | 'fail' | 'unknown';
  /** Greatest |got − want| over all outputs. */
  readonly maxError: number;
  /** For a failure: the output at fault and what was wrong with it. */
  readonly output?: string;
  readonly detail?: string;
}

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

/** JSON has no NaN and no infinities; fixtures write them as strings. */
function parseNumber(x: unknown): number {
  if (typeof x === 'number') return x;
  if (typeof x === 'boolean') return Number(x);
  if (x === 'NaN' || x === null) return Number.NaN;
  if (x === 'Infinity' || x === 'inf') return Infinity;
  if (x === '-Infinity' || x === '-inf') return -Infinity;
  throw new TypeError(`not a number: ${JSON.stringify(x)}`);
}

function parseTensor(where: string, x: unknown): TensorData {
  if (!isRecord(x) || !Array.isArray(x.shape) || !Array.isArray(x.data)) {
    throw new TypeError(`${where} must be {shape, dtype, data}`);
  }
  const { shape, dtype } = x;
  if (!shape.every((n) => Number.isInteger(n) && n >= 0)) {
    throw new RangeError(`${where}: shape must hold sizes, got [${shape}]`);
  }
  if (dtype !== 'float32' && dtype !== 'float64' && dtype !== 'int32' && dtype !== 'bool') {
    throw new RangeError(
      `${where}: dtype must be float32, float64, int32 or bool, got ${String(dtype)}`,
    );
  }
  const size = (shape as number[]).reduce((product, n) => product * n, 1);
  const data = x.data.map(parseNumber);
  if (data.length !== size) {
    throw new RangeError(`${where}: shape [${shape}] needs ${size} numbers, got ${data.length}`);
  }
  return { shape: shape as number[], dtype, data };
}

/**
 * Reads a fixture from parsed JSON.
 * @throws TypeError or RangeError that names the field at fault
 */
export function parseFixture(json: unknown): Fixture {
  if (!isRecord(json)) throw new TypeError('a fixture must be an object');
  const { name, op, source = '', how = '', params = {}, inputs = {}, outputs, tolerance } = json;
  if (typeof name !== 'string' || typeof op !== 'string') {
    throw new TypeError('a fixture must have a name and an op');
  }
  if (!isRecord(params) || !isRecord(inputs) || !isRecord(outputs) || !isRecord(tolerance)) {
    throw new TypeError(`${name}: params, inputs, outputs and tolerance must be objects`);
  }
  const tensors = (kind: string, record: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(record).map(([key, x]) => [key, parseTensor(`${name}: ${kind}.${key}`, x)]),
    );
  const { rtol, atol } = tolerance;
  if (typeof rtol !== 'number' || typeof atol !== 'number') {
    throw new TypeError(`${name}: tolerance must be {rtol, atol}`);
  }
  return {
    name,
    op,
    source: String(source),
    how: String(how),
    params,
    inputs: tensors('inputs', inputs),
    outputs: tensors('outputs', outputs),
    tolerance: { rtol, atol },
  };
}

/** Runs a fixture through the adapter of its op on the active backend; never throws. */
export async function runFixture(
  fixture: Fixture,
  adapters: Readonly<Record<string, Adapter>>,
): Promise<FixtureResult> {
  const { name, op } = fixture;
  const adapter = Object.hasOwn(adapters, op) ? adapters[op] : undefined;
  if (!adapter) return { name, op, status: 'unknown', maxError: Number.NaN };
  const inputs = Object.fromEntries(
    Object.entries(fixture.inputs).map(([key, { shape, dtype, data }]) => [
      key,
      // tfjs has no float64: a tensor gets the nearest float32.
      tensor([...data], [...shape], dtype === 'float64' ? 'float32' : (dtype as DataType)),
    ]),
  );
  let got: Awaited<ReturnType<Adapter>> = {};
  let maxError = 0;
  const fail = (output: string, detail: string): FixtureResult => ({
    name,
    op,
    status: 'fail',
    maxError,
    output,
    detail,
  });
  try {
    const wanted = Object.keys(fixture.outputs);
    got = await adapter({ fixture, params: fixture.params, inputs, wanted });
    let failure: FixtureResult | undefined;
    for (const [output, want] of Object.entries(fixture.outputs)) {
      const value = got[output];
      if (value === undefined) {
        failure ??= fail(output, 'the adapter gave no such output');
        continue;
      }
      const shape = value instanceof Tensor ? value.shape : undefined;
      const data =
        value instanceof Tensor ? await value.data() : typeof value === 'number' ? [value] : value;
      if ((shape && `${shape}` !== `${want.shape}`) || data.length !== want.data.length) {
        failure ??= fail(output, `shape [${shape ?? data.length}], want [${want.shape}]`);
        continue;
      }
      const worst = compareValues(data as ArrayLike<number>, want.data, fixture.tolerance);
      maxError = Math.max(maxError, worst.error);
      if (worst.excess > 0) {
        failure ??= fail(output, `at ${worst.index}: got ${worst.got}, want ${worst.want}`);
      }
    }
    return failure ? { ...failure, maxError } : { name, op, status: 'ok', maxError };
  } catch (error) {
    return fail('-', error instanceof Error ? error.message : String(error));
  } finally {
    for (const x of Object.values(inputs)) x.dispose();
    for (const x of Object.values(got)) if (x instanceof Tensor && !x.isDisposed) x.dispose();
  }
}

/** One line: `ok NAME max_err=…`, `FAIL NAME output=… max_err=…`, or `unknown NAME op=…`. */
export function formatResult({
  name,
  op,
  status,
  maxError,
  output,
  detail,
}: FixtureResult): string {
  const error = `max_err=${maxError.toExponential(2)}`;
  if (status === 'ok') return `ok ${name} ${error}`;
  if (status === 'unknown') return `unknown ${name} op=${op}`;
  return `FAIL ${name} output=${output} ${error} ${detail}`;
}
