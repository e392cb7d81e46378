import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { evaluate } from './coefficients.js';
import { fitQuintic } from './polarExpress.js';

/** Options of {@link cansCoefficients}. */
export interface CansOptions {
  /** Number of steps, integer >= 1. Default 5 */
  readonly steps?: number;
  /** Least singular value to bring to 1, in (0, 1). Default 0.001 */
  readonly lower?: number;
  /** Degree of each step. Default 5 */
  readonly degree?: 3 | 5;
}

/**
 * Chebyshev-optimised Newton–Schulz: each row is the best odd polynomial on `[1 − E, 1 + E]`, the range of the row before
 * it; the first on `[lower, 1]`. Degree 3 in closed form, degree 5 by exchange.
 *
 * @returns `steps` rows `[a, b]` (degree 3) or `[a, b, c]` (degree 5)
 * @throws TypeError for an unknown option; RangeError for a value out of range
 * @example
 * const rows = cansCoefficients({ lower: 0.01, steps: 6, degree: 3 });
 * const q = orthogonalize(x, { coefficients: rows });
 * @see Grishina, Smirnov, Rakhuba 2025, arXiv 2506.10935, proposition 1 and algorithm 1
 */
export function cansCoefficients(options: CansOptions = {}): number[][] {
  const caller = 'cansCoefficients';
  checkOptions(caller, options, ['steps', 'lower', 'degree']);
  const { steps = 5, lower = 1e-3, degree = 5 } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkNumber(caller, 'lower', lower, { above: 0, below: 1 });
  checkOneOf(caller, 'degree', degree, [3, 5]);

  let l = lower;
  let u = 1;
  return Array.from({ length: steps }, () => {
    const row = degree === 3 ? minimaxCubic(l, u) : fitQuintic(l, u);
    // p(l) = 1 − E, and 1 + E is as far above 1. Not by way of E, which near 1 would take the digits of a small l.
    l = evaluate(row, l);
    u = 2 - l;
    return row;
  });
}

/** The odd cubic closest to 1 on `[l, u]`: it errs by `−E, +E, −E` at `l`, at its maximum `e`, and at `u`. */
function minimaxCubic(l: number, u: number): [number, number] {
  const s = l * l + l * u + u * u;
  const e = Math.sqrt(s / 3);
  const k = 2 / (2 * e ** 3 + l * u * (l + u));
  return [k * s, -k];
}
