import { checkNumber, checkOptions } from '@orth/backend';
import { type Modes, modesOf, type RegressionTask } from './modes.js';
import { type Risk, riskAt } from './risk.js';
import { type FixedPoint, type Setting, solveFixedPoint } from './solve.js';

/** A number, or one for each problem. */
export type PerProblem = number | readonly number[];

/** Options of {@link rfRisk}; sizes and ridges that are arrays have one length, and numbers go with each entry. */
export interface RfRiskOptions<N extends PerProblem = PerProblem> extends RegressionTask {
  /** Training samples, > 0, possibly fractional. */
  readonly n: N;
  /** Random features, > 0; Infinity is kernel ridge regression. */
  readonly k: N;
  /** Ridge δ >= 0 added to the n×n matrix of O(1) entries (not nδ). */
  readonly ridge: N;
  /** Variance σ² of the labels' noise, >= 0. Default 0 */
  readonly noise?: N;
}

/** What {@link rfRisk} predicts. */
export interface RfRisk extends Risk {
  /** Effective ridge seen by the kernel, κ >= 0. */
  readonly kappa: number;
  /** Threshold of learnability γ >= 0: modes with λ ≫ γ are learnt. */
  readonly gamma: number;
  /** Σ L_i: modes learnt. */
  readonly z: number;
  /** Σ L_i². */
  readonly q: number;
}

/** One problem of a broadcast. */
export interface Problem extends Setting {
  readonly noise: number;
}

const SIZES = ['n', 'k', 'ridge', 'noise'] as const;

/** Checks sizes, ridges and noise, and pairs them up. */
export function problemsOf(
  caller: string,
  options: { readonly [K in (typeof SIZES)[number]]?: PerProblem },
): Problem[] {
  let length = 1;
  let longest: string | undefined;
  for (const name of SIZES) {
    const value = options[name];
    const one = (x: unknown, argument: string) => {
      if (name === 'k' && x === Infinity) return;
      checkNumber(caller, argument, x, name === 'n' || name === 'k' ? { above: 0 } : { min: 0 });
    };
    if (value === undefined && name === 'noise') continue;
    if (!Array.isArray(value)) {
      one(value, name);
      continue;
    }
    if (value.length === 0) throw new RangeError(`${caller}: ${name} must not be empty, got []`);
    value.forEach((x, i) => {
      one(x, `${name}[${i}]`);
    });
    if (longest !== undefined && value.length !== length) {
      throw new RangeError(
        `${caller}: ${name} must have as many entries as ${longest} (${length}), got ${value.length}`,
      );
    }
    longest = name;
    length = value.length;
  }
  const at = (name: (typeof SIZES)[number], i: number) => {
    const value = options[name] ?? 0;
    return typeof value === 'number' ? value : value[i]!;
  };
  return Array.from({ length }, (_, i) => ({
    n: at('n', i),
    k: at('k', i),
    ridge: at('ridge', i),
    noise: at('noise', i),
  }));
}

/**
 * Demands a test risk below infinity.
 * @throws RangeError at the interpolation threshold without a ridge
 */
export function checkFiniteRisk(caller: string, { n, k, ridge }: Setting, { testRisk }: Risk) {
  if (Number.isFinite(testRisk)) return;
  throw new RangeError(
    `${caller}: ridge must be > 0 where samples, features or modes are equally many and the risk diverges, got ridge ${ridge} with n = ${n}, k = ${k}`,
  );
}

/** κ at a fixed point. */
export const kappaOf = ({ k }: Setting, { gamma, b }: FixedPoint): number =>
  k === Infinity ? gamma : (gamma * b) / k;

function solve(caller: string, modes: Modes, problem: Problem): RfRisk {
  const point = solveFixedPoint(modes, problem);
  const risk = riskAt(modes, problem, point, problem.noise);
  checkFiniteRisk(caller, problem, risk);
  const { gamma, z, p } = point;
  return { ...risk, kappa: kappaOf(problem, point), gamma, z, q: z - p };
}

/**
 * Train and test error of ridge regression on `k` random features and `n` samples, predicted from the spectrum alone.
 *
 * Solves Σ L + δ/κ = n and Σ L + kκ/γ = k for κ and γ, with L_i = λ_i/(λ_i+γ), by one equation of one unknown in float64
 * on the host: O(modes) a step and about ten steps, well under a second for a million modes. `ridge: 0` gives the
 * ridgeless limit (γ = κ = 0 where there are no more positive eigenvalues than samples or features).
 *
 * @param options - see {@link RfRiskOptions}
 * @returns predictions; an array of them if `n`, `k`, `ridge` or `noise` is an array
 * @throws TypeError or RangeError for a negative or non-finite eigenvalue, ridge or noise, an all-zero spectrum, lengths
 *   that differ, sizes <= 0; RangeError where the risk diverges (`ridge` 0 and n = k)
 * @example
 * const task = powerlawSpectrum({ modes: 10_000, alpha: 1.5, beta: 1.5 });
 * rfRisk({ ...task, n: 256, k: 1000, ridge: 0.1, noise: 0.5 }).testRisk;
 * @see Simon, Karkada, Ghosh, Belkin 2024, "More is Better in Modern Machine Learning", eqs. 5–7, RF eigenframework
 */
export function rfRisk(options: RfRiskOptions<number>): RfRisk;
export function rfRisk(options: RfRiskOptions): RfRisk | RfRisk[];
export function rfRisk(options: RfRiskOptions): RfRisk | RfRisk[] {
  const caller = 'rfRisk';
  checkOptions(caller, options, ['eigenvalues', 'coeffs', 'tail', ...SIZES]);
  const problems = problemsOf(caller, options);
  const modes = modesOf(caller, options);
  const results = problems.map((problem) => solve(caller, modes, problem));
  return isBroadcast(options) ? results : results[0]!;
}

/** Whether any of the sizes is an array. */
export const isBroadcast = (
  options: {
    readonly [K in (typeof SIZES)[number]]?: PerProblem;
  },
): boolean => SIZES.some((name) => Array.isArray(options[name]));

/** Options of {@link krrRisk}. */
export type KrrRiskOptions<N extends PerProblem = PerProblem> = Omit<RfRiskOptions<N>, 'k'>;

/** What {@link krrRisk} predicts. */
export interface KrrRisk extends Risk {
  /** Effective ridge κ >= 0: modes with λ ≫ κ are learnt. */
  readonly kappa: number;
  /** e₀ = n/(n − Σ L²) >= 1: by how much noise is amplified. */
  readonly overfittingCoefficient: number;
  /** L_i = λ_i/(λ_i+κ) of the listed eigenvalues, in their order; computed when first read. */
  readonly learnabilities: Float64Array;
}

/**
 * Train and test error of kernel ridge regression: {@link rfRisk} with infinitely many features.
 *
 * Σ λ/(λ+κ) + δ/κ = n, E_test = e₀ (Σ (1 − L)² v² + σ²), E_train = (δ/(nκ))² E_test.
 *
 * @throws as {@link rfRisk}
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", KRR eigenframework
 */
export function krrRisk(options: KrrRiskOptions<number>): KrrRisk;
export function krrRisk(options: KrrRiskOptions): KrrRisk | KrrRisk[];
export function krrRisk(options: KrrRiskOptions): KrrRisk | KrrRisk[] {
  const caller = 'krrRisk';
  checkOptions(caller, options, ['eigenvalues', 'coeffs', 'tail', 'n', 'ridge', 'noise']);
  const problems = problemsOf(caller, { ...options, k: Infinity });
  const modes = modesOf(caller, options);
  const { eigenvalues } = options;
  const results = problems.map((problem): KrrRisk => {
    const point = solveFixedPoint(modes, problem);
    const risk = riskAt(modes, problem, point, problem.noise);
    checkFiniteRisk(caller, problem, risk);
    const kappa = point.gamma;
    let learnabilities: Float64Array | undefined;
    return {
      ...risk,
      kappa,
      overfittingCoefficient: problem.n / (point.a + point.p),
      get learnabilities() {
        learnabilities ??= Float64Array.from(eigenvalues, (l) => (l === 0 ? 0 : l / (l + kappa)));
        return learnabilities;
      },
    };
  });
  return isBroadcast(options) ? results : results[0]!;
}
