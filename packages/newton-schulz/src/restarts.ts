import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { checkCoefficients } from './coefficients.js';
import type { CoefficientRow } from './schedules.js';

/** Options of {@link bestRestarts} and {@link restartStability}. */
export interface RestartOptions {
  /** Error of the Gram matrix's eigenvalues relative to the largest. Default −4e−4, that of bfloat16 */
  readonly perturbation?: number;
}

/**
 * Demands increasing integers in [1, steps − 1].
 * @throws TypeError or RangeError otherwise
 */
export function checkRestarts(
  caller: string,
  restarts: unknown,
  steps: number,
): asserts restarts is readonly number[] {
  if (!Array.isArray(restarts)) {
    throw new TypeError(`${caller}: restarts must be an array of step numbers, got ${restarts}`);
  }
  for (let i = 0; i < restarts.length; i++) {
    checkInteger(caller, `restarts[${i}]`, restarts[i], { min: 1, max: steps - 1 });
    if (i > 0 && restarts[i] <= restarts[i - 1]) {
      throw new RangeError(`${caller}: restarts must increase, got [${restarts}]`);
    }
  }
}

const POINTS = 10_000;

/**
 * How far the Gram form with these restarts spreads the factor `Q` over singular values in [1e−10, 1]: the greatest
 * `max |q| / min |q|` after any step, when every fresh Gram matrix errs by `perturbation`. Small is stable.
 *
 * @param coefficients - the schedule's rows
 * @param restarts - increasing step numbers in [1, steps − 1]
 * @throws TypeError or RangeError for a bad argument or option
 * @see Zhang, Amsel, Chen, Dao 2026, "Gram Newton–Schulz"
 */
export function restartStability(
  coefficients: readonly CoefficientRow[],
  restarts: readonly number[],
  options: RestartOptions = {},
): number {
  const caller = 'restartStability';
  checkCoefficients(caller, coefficients);
  checkRestarts(caller, restarts, coefficients.length);
  return stability(coefficients, restarts, perturbationOf(caller, options));
}

function perturbationOf(caller: string, options: RestartOptions): number {
  checkOptions(caller, options, ['perturbation']);
  const { perturbation = -4e-4 } = options;
  checkNumber(caller, 'perturbation', perturbation, { min: -1, max: 1 });
  return perturbation;
}

function stability(
  coefficients: readonly CoefficientRow[],
  restarts: readonly number[],
  perturbation: number,
): number {
  const x = Float64Array.from({ length: POINTS }, (_, i) => 10 ** (-10 + (10 * i) / (POINTS - 1)));
  const q = new Float64Array(POINTS).fill(1);
  const r = x.map((s) => s * s + perturbation);
  let worst = 1;
  for (let t = 0; t < coefficients.length; t++) {
    const [a = 0, b = 0, c = 0] = coefficients[t]!;
    const fresh = restarts.includes(t);
    let least = Number.POSITIVE_INFINITY;
    let greatest = 0;
    for (let i = 0; i < POINTS; i++) {
      if (fresh) {
        x[i]! *= q[i]!;
        r[i] = x[i]! * x[i]! + perturbation;
        q[i] = 1;
      }
      const z = a + r[i]! * (b + r[i]! * c);
      q[i]! *= z;
      r[i]! *= z * z;
      const size = Math.abs(q[i]!);
      if (size < least) least = size;
      if (size > greatest) greatest = size;
    }
    worst = Math.max(worst, greatest / least);
  }
  return worst;
}

/**
 * The restart positions with the least {@link restartStability}, over all choices of `count` positions.
 *
 * @param coefficients - the schedule's rows, T of them
 * @param count - how many restarts, integer in [0, T − 1]
 * @returns increasing step numbers
 * @throws TypeError or RangeError for a bad argument or option
 * @example
 * bestRestarts(SCHEDULES.quintic.coefficients, 1); // [2]
 */
export function bestRestarts(
  coefficients: readonly CoefficientRow[],
  count: number,
  options: RestartOptions = {},
): number[] {
  const caller = 'bestRestarts';
  checkCoefficients(caller, coefficients);
  checkInteger(caller, 'count', count, { min: 0, max: coefficients.length - 1 });
  const perturbation = perturbationOf(caller, options);
  let best: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const restarts of combinations(1, coefficients.length, count)) {
    const spread = stability(coefficients, restarts, perturbation);
    if (spread < least) [best, least] = [restarts, spread];
  }
  return best;
}

function* combinations(from: number, end: number, count: number): Generator<number[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (let first = from; first <= end - count; first++) {
    for (const rest of combinations(first + 1, end, count - 1)) yield [first, ...rest];
  }
}

/** With this bound the two forms differ by less than 3e−4 for the published five-step schedules (measured on wasm). */
const GROWTH = 1e4;

/**
 * As few restarts as the Gram form needs in float32: rounding of `R` in the direction of a small singular value grows by
 * `a²` a step, and the form starts afresh when it has grown by 1e4. For `muon` that is once, before its last step; an
 * optimiser that accepts 6e−4 may pass none.
 */
export function safeRestarts(coefficients: readonly CoefficientRow[]): number[] {
  const restarts: number[] = [];
  let growth = 1;
  for (let t = 1; t < coefficients.length; t++) {
    const [a = 0] = coefficients[t - 1]!;
    growth *= a * a;
    if (growth <= GROWTH) continue;
    restarts.push(t);
    growth = 1;
  }
  return restarts;
}
