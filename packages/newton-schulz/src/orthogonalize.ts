import {
  checkBoolean,
  checkFinite as checkFiniteValues,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  defineFusedOp,
} from '@orth/backend';
import { reshape, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { checkCoefficients, takeRows } from './coefficients.js';
import { exactPolar } from './exactPolar.js';
import { type Form, type IterateAttributes, iterate } from './iterate.js';
import { type EpsilonMode, type NormalizeOptions, normalize } from './normalize.js';
import { polarExpressCoefficients } from './polarExpress.js';
import { checkRestarts, safeRestarts } from './restarts.js';
import {
  type CoefficientRow,
  type Normalization,
  SCHEDULES,
  type ScheduleName,
} from './schedules.js';

/** Options of {@link orthogonalize}. */
export interface OrthogonalizeOptions {
  /**
   * A schedule of {@link SCHEDULES}, or `'exact'` for {@link exactPolar}, which takes none of the options below but
   * `checkFinite`. Default `'muon'`
   */
  readonly method?: ScheduleName | 'exact';
  /**
   * Steps, integer >= 1. Default: the schedule's own length. Fewer take its first rows, more repeat its last, but for
   * `'polarExpress'`, whose rows are computed for the length.
   */
  readonly steps?: number;
  /** Rows `[a, b, c]` or `[a, b]` instead of those of `method`, whose start is kept but for its safety factor. */
  readonly coefficients?: readonly CoefficientRow[];
  /**
   * How a matrix is scaled before the first step: by its Frobenius norm, its Schatten-4 norm (tighter), its spectral
   * norm (tightest), row by row (`'aol'`: almost orthogonal, changes the polar factor), or not at all (then its singular
   * values must already lie where the schedule works). Default: the schedule's own
   */
  readonly normalization?: Normalization;
  /** Factor on that norm, >= 1. Default: 1.02 for `'polarExpress'` with its own rows, else 1 */
  readonly safety?: number;
  /**
   * `'standard'` iterates on the matrix, `'gram'` on its small Gram matrix, `'auto'` takes the one with fewer
   * operations. Default `'auto'`
   */
  readonly form?: Form;
  /**
   * Gram form only: steps before which it starts afresh, increasing, each in [1, steps − 1]. Default: as few as float32
   * needs to stay within 5e−4 of the standard form on any input, for `'muon'` `[4]`. None at all (`[]`) is fastest and
   * good to 1e−3 there, and to 1e−5 where the condition is moderate
   */
  readonly restarts?: readonly number[];
  /** Keeps the division by the norm finite, >= 0. Default 1e−7 */
  readonly epsilon?: number;
  /**
   * `'relative'` adds epsilon to the norm in units of the largest entry, so that no input is too small; `'add'` adds it
   * to the norm as it is, as the author of Muon does; `'clamp'` takes the larger of the two, as torch.optim.Muon does.
   * The last two give results far from orthogonal where the norm is near epsilon. Default `'relative'`
   */
  readonly epsilonMode?: EpsilonMode;
  /** Whether to look for NaN and infinities first; reads the input back from the device. Default false */
  readonly checkFinite?: boolean;
}

const OPTIONS: readonly (keyof OrthogonalizeOptions)[] = [
  'method',
  'steps',
  'coefficients',
  'normalization',
  'safety',
  'form',
  'restarts',
  'epsilon',
  'epsilonMode',
  'checkFinite',
];

/** Attributes of the fused operation `newton-schulz/orthogonalize`. */
export type OrthogonalizeAttributes = NormalizeOptions & IterateAttributes;

/**
 * `newton-schulz/orthogonalize`: normalisation and iteration in one operation, on inputs `[G]` of shape `[b, m, n]`.
 * The reference calls `newton-schulz/iterate`, so a backend may register a kernel for either.
 */
export const orthogonalizeBatch = defineFusedOp<OrthogonalizeAttributes>({
  name: 'newton-schulz/orthogonalize',
  reference: ([G], attributes) => {
    const { coefficients, form, restarts } = attributes;
    // A scope of its own: what the normalisation leaves behind must not live as long as the iteration.
    const { X, gram } = tidy(() => ({ ...normalize(G!, attributes) }));
    return iterate(gram ? [X, gram] : [X], { coefficients, form, restarts });
  },
});

/**
 * Nearest orthogonal matrix to `x`, by an odd polynomial iteration that needs only matrix products.
 *
 * With the thin SVD `x = U Σ Vᵀ` this approximates the polar factor `U Vᵀ`; how closely is up to the schedule. Each step
 * maps every singular value `s` to `a s + b s³ + c s⁵`. Works on the short side first, on any scale from 1e−30 to 1e30,
 * and on matrices without full rank (singular values that are 0 stay 0; zeros give zeros). Differentiable.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32; not modified
 * @param options - see {@link OrthogonalizeOptions}
 * @returns shape `[…, m, n]`, float32
 * @throws TypeError for an unknown option or another dtype; RangeError if `x` has rank < 2 or is empty, for an unknown
 *   method, for `steps` < 1, rows not of 2 or 3 numbers, restarts outside [1, steps − 1], or, with `checkFinite`, if `x`
 *   holds NaN or an infinity
 * @example
 * const q = orthogonalize(tf.randomNormal([64, 32]));
 * @see Jordan et al. 2024, "Muon"; Amsel et al. 2025, arXiv 2505.16932; Zhang et al. 2026, "Gram Newton–Schulz"
 */
export function orthogonalize(x: Tensor, options: OrthogonalizeOptions = {}): Tensor {
  const caller = 'orthogonalize';
  checkTensor(caller, 'x', x, { minRank: 2 });
  const attributes = resolve(caller, options);
  if (!attributes) return exactPolar(x);
  if (options.checkFinite) checkFiniteValues(caller, 'x', x);
  const [m, n] = x.shape.slice(-2) as [number, number];
  return tidy(() =>
    reshape(orthogonalizeBatch([reshape(x, [x.size / (m * n), m, n])], attributes), x.shape),
  );
}

/**
 * Checks the options of {@link orthogonalize} without running it, for callers that are given them long before.
 *
 * @param caller - the function named in the message
 * @throws TypeError or RangeError as `orthogonalize` would
 */
export function checkOrthogonalizeOptions(caller: string, options: OrthogonalizeOptions): void {
  resolve(caller, options);
}

/** Checks the options; undefined for `'exact'`. */
function resolve(
  caller: string,
  options: OrthogonalizeOptions,
): OrthogonalizeAttributes | undefined {
  checkOptions(caller, options, OPTIONS);
  const { method = 'muon', epsilon = 1e-7, epsilonMode = 'relative', form = 'auto' } = options;
  checkOneOf(caller, 'method', method, [...(Object.keys(SCHEDULES) as ScheduleName[]), 'exact']);
  checkOneOf(caller, 'form', form, ['auto', 'standard', 'gram']);
  checkOneOf(caller, 'epsilonMode', epsilonMode, ['relative', 'add', 'clamp']);
  checkNumber(caller, 'epsilon', epsilon, { min: 0 });
  if (options.checkFinite !== undefined) checkBoolean(caller, 'checkFinite', options.checkFinite);
  if (options.steps !== undefined) checkInteger(caller, 'steps', options.steps, { min: 1 });
  if (options.coefficients !== undefined) checkCoefficients(caller, options.coefficients);
  if (method === 'exact') {
    const extra = OPTIONS.find(
      (name) => !['method', 'checkFinite'].includes(name) && options[name] !== undefined,
    );
    if (!extra) return undefined;
    throw new RangeError(`${caller}: ${extra} must be absent with method "exact"`);
  }

  const schedule = SCHEDULES[method];
  const own = options.coefficients === undefined;
  const normalization = options.normalization ?? schedule.normalization;
  const safety = options.safety ?? (own ? schedule.safety : 1);
  checkOneOf(caller, 'normalization', normalization, [
    'frobenius',
    'schatten4',
    'aol',
    'spectral',
    'none',
  ]);
  checkNumber(caller, 'safety', safety, { min: 1 });

  const table = options.coefficients ?? schedule.coefficients;
  const steps = options.steps ?? table.length;
  const generated = own && method === 'polarExpress' && steps !== table.length;
  const coefficients = generated ? polarExpressCoefficients({ steps }) : takeRows(table, steps);
  if (options.restarts !== undefined) checkRestarts(caller, options.restarts, steps);
  const restarts = options.restarts ?? safeRestarts(coefficients);
  return { coefficients, normalization, safety, epsilon, epsilonMode, form, restarts };
}
