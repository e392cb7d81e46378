import { checkInteger, checkOneOf } from '@orth/backend';
import { fitCoefficients } from './fitCoefficients.js';
import { FITTED_COEFFICIENTS } from './fittedCoefficients.js';
import type { Quintic } from './polarExpress.js';
import { SCHEDULES } from './schedules.js';

/**
 * ROOT's published triples by `short×long` side.
 * @see huawei-noah/noah-research, folder ROOT, example script
 */
export const ROOT_COEFFICIENTS: Readonly<Record<string, Quintic>> = {
  '2048x2048': [3.4916, -4.8224, 2.1095],
  '2048x3072': [3.4509, -4.579, 1.9325],
  '2048x8192': [2.9794, -3.6674, 1.6207],
  '2048x16384': [3.1943, -3.8221, 1.5322],
};

/** Where {@link rootCoefficients} looks for a shape that ROOT's authors published nothing for. */
export type RootCoefficientSource = 'published' | 'fitted';

const fits = new Map<string, Quintic>();

/**
 * The triple that ROOT applies in every step to a matrix of this shape.
 *
 * - `'published'`: the authors' table, else Muon's triple, as their code does
 * - `'fitted'`: the authors' table, else our fitted table, else {@link fitCoefficients}, which then takes some 10 to
 *   100 ms once a shape and is remembered
 *
 * @param m - rows, integer >= 1
 * @param n - columns, integer >= 1; the order of the sides does not matter
 * @throws TypeError or RangeError for a bad argument
 * @example
 * rootCoefficients(8192, 2048); // [2.9794, -3.6674, 1.6207]
 */
export function rootCoefficients(
  m: number,
  n: number,
  source: RootCoefficientSource = 'published',
): Quintic {
  const caller = 'rootCoefficients';
  checkInteger(caller, 'm', m, { min: 1 });
  checkInteger(caller, 'n', n, { min: 1 });
  checkOneOf(caller, 'source', source, ['published', 'fitted']);
  const [k, l] = [Math.min(m, n), Math.max(m, n)];
  const key = `${k}x${l}`;
  const published = ROOT_COEFFICIENTS[key];
  if (published) return published;
  if (source === 'published') return SCHEDULES.muon.coefficients[0] as Quintic;
  const known = FITTED_COEFFICIENTS[key] ?? fits.get(key);
  if (known) return known;
  const { coefficients } = fitCoefficients({ shape: [k, l] });
  fits.set(key, coefficients);
  return coefficients;
}

/**
 * {@link rootCoefficients} from the fitted table, for any shape.
 * @throws TypeError or RangeError for a side that is not an integer >= 1
 */
export function adaptiveCoefficients(m: number, n: number): Quintic {
  return rootCoefficients(m, n, 'fitted');
}
