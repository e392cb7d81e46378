import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { checkRestarts } from './restarts.js';

/** Options of {@link newtonSchulzFlops}. */
export interface FlopsOptions {
  /** Steps, integer >= 1. Default 5 */
  readonly steps?: number;
  /** Which form to count. Default `'standard'` */
  readonly form?: 'standard' | 'gram';
  /** Gram form only: steps before which it starts afresh. Default `[]` */
  readonly restarts?: readonly number[];
  /** Degree of every step: 3 saves the square of the Gram matrix. Default 5 */
  readonly degree?: 3 | 5;
  /** Count half for products that are symmetric, as a kernel that knows it needs. Default false */
  readonly symmetric?: boolean;
}

/**
 * Floating-point operations (two for a multiplication and addition) of one `m × n` matrix, without the
 * O(mn) of scaling and adding. With k the short and l the long side, five standard quintic steps take
 * `20 k² l + 10 k³`, the Gram form `4 k² l + 34 k³`.
 *
 * @param m - rows, integer >= 1
 * @param n - columns, integer >= 1
 * @throws TypeError or RangeError for a bad argument or option
 * @example
 * newtonSchulzFlops(768, 3072); // 40768634880
 * newtonSchulzFlops(768, 3072, { form: 'gram' }); // 22649241600
 */
export function newtonSchulzFlops(m: number, n: number, options: FlopsOptions = {}): number {
  const caller = 'newtonSchulzFlops';
  checkInteger(caller, 'm', m, { min: 1 });
  checkInteger(caller, 'n', n, { min: 1 });
  checkOptions(caller, options, ['steps', 'form', 'restarts', 'degree', 'symmetric']);
  const { steps = 5, form = 'standard', restarts = [], degree = 5, symmetric = false } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkOneOf(caller, 'form', form, ['standard', 'gram']);
  checkOneOf(caller, 'degree', degree, [3, 5]);
  checkRestarts(caller, restarts, steps);
  return countFlops(m, n, {
    quintics: degree === 5 ? steps : 0,
    steps,
    form,
    restarts,
    symmetric,
  });
}

/** {@link newtonSchulzFlops} unchecked, for a schedule with `quintics` rows of degree 5 among `steps`. */
export function countFlops(
  m: number,
  n: number,
  counted: {
    quintics: number;
    steps: number;
    form: 'standard' | 'gram';
    restarts: readonly number[];
    symmetric: boolean;
  },
): number {
  const { quintics, steps, form, restarts, symmetric } = counted;
  const k = Math.min(m, n);
  const general = 2 * k * k * Math.max(m, n);
  const symmetry = symmetric ? 1 / 2 : 1;
  const gram = symmetry * general;
  const square = symmetry * 2 * k ** 3;
  if (form === 'standard') return steps * (gram + general) + quintics * square;
  // A run of s steps: its Gram matrix, s − 1 products into Q, 2 (s − 1) to move R along, and Q X.
  const runs = restarts.length + 1;
  return runs * (gram + general) + (quintics + 3 * (steps - runs)) * square;
}
