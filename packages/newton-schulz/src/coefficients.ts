import { checkNumber } from '@orth/backend';
import type { CoefficientRow } from './schedules.js';

/**
 * Demands a non-empty array of rows of two or three finite numbers.
 * @throws TypeError or RangeError otherwise
 */
export function checkCoefficients(
  caller: string,
  coefficients: unknown,
): asserts coefficients is readonly CoefficientRow[] {
  const rule = `${caller}: coefficients must be an array of rows [a, b, c] or [a, b]`;
  if (!Array.isArray(coefficients)) throw new TypeError(`${rule}, got ${typeof coefficients}`);
  if (coefficients.length === 0) throw new RangeError(`${rule}, got no rows`);
  coefficients.forEach((row: unknown, t) => {
    if (!Array.isArray(row)) throw new TypeError(`${rule}, got ${typeof row} at ${t}`);
    if (row.length !== 2 && row.length !== 3) {
      throw new RangeError(`${rule}, got ${row.length} numbers at ${t}`);
    }
    row.forEach((value, i) => {
      checkNumber(caller, `coefficients[${t}][${i}]`, value);
    });
  });
}

/** The first `steps` rows; when there are fewer, the last one repeats. */
export function takeRows(coefficients: readonly CoefficientRow[], steps: number): CoefficientRow[] {
  return Array.from(
    { length: steps },
    (_, t) => coefficients[Math.min(t, coefficients.length - 1)]!,
  );
}

/** `p(x)` of a row. */
export function evaluate([a = 0, b = 0, c = 0]: CoefficientRow, x: number): number {
  return x * (a + x * x * (b + x * x * c));
}

/**
 * Where a schedule takes singular values: the composition of its steps, in float64.
 *
 * @param coefficients - rows `[a, b, c]` or `[a, b]`, applied from the first to the last
 * @param values - singular values after normalisation, in [0, 1]
 * @returns one number a value
 * @throws TypeError or RangeError for bad rows
 * @example
 * mapSingularValues(SCHEDULES.muon.coefficients, [0.01, 0.1, 1]);
 */
export function mapSingularValues(
  coefficients: readonly CoefficientRow[],
  values: ArrayLike<number>,
): Float64Array {
  checkCoefficients('mapSingularValues', coefficients);
  return Float64Array.from(values, (value) =>
    coefficients.reduce((x, row) => evaluate(row, x), value),
  );
}
