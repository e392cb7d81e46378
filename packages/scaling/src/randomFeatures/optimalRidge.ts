import { checkOptions } from '@orth/backend';
import { minimizeOnGrid } from '../minimize.js';
import { type Modes, modesOf, type RegressionTask } from './modes.js';
import { checkFiniteRisk, type Problem, problemsOf } from './rfRisk.js';
import { type Risk, riskAt } from './risk.js';
import { pointAt, solveFixedPoint } from './solve.js';
import { learnabilitySums } from './sums.js';

/** Options of {@link optimalRidge}. */
export interface OptimalRidgeOptions extends RegressionTask {
  /** Training samples, > 0. */
  readonly n: number;
  /** Random features, > 0. Default Infinity: kernel ridge regression */
  readonly k?: number;
  /** Variance of the labels' noise, >= 0. Default 0 */
  readonly noise?: number;
}

/** What {@link optimalRidge} finds. */
export interface OptimalRidge extends Risk {
  /** The ridge δ* >= 0 with the least test risk. */
  readonly ridge: number;
  /** E_train / E_test at δ*: 0 where interpolating is best. */
  readonly fittingRatio: number;
}

/** Nodes of the first look; the minimum is then refined between neighbours. */
const GRID = 41;

function search(modes: Modes, problem: Problem): Risk & { ridge: number } {
  const { n, k } = problem;
  const target = Math.min(n, k);
  // Every γ above that of δ = 0 belongs to one ridge, which needs no solving: s = min(n, k) − z, kδ = γ s (s + |n − k|).
  const ridgeAt = (gamma: number) => {
    const { z, p } = learnabilitySums(modes, gamma);
    const s = Math.max(0, target - z);
    const ridge = k === Infinity ? gamma * s : ((gamma * s) / k) * (s + Math.abs(n - k));
    const point = pointAt(problem, gamma, z, p, s);
    return { ridge, ...riskAt(modes, problem, point, problem.noise) };
  };
  const limit = solveFixedPoint(modes, problem);
  const ridgeless = riskAt(modes, problem, limit, problem.noise);
  const low = Math.log(limit.gamma > 0 ? limit.gamma : modes.smallest * 1e-12);
  const high = Math.log((1e6 * modes.trace) / Math.min(1, target));
  const grid = Float64Array.from({ length: GRID }, (_, i) => low + (i / (GRID - 1)) * (high - low));
  const { x } = minimizeOnGrid((u) => ridgeAt(Math.exp(u)).testRisk, grid);
  const best = ridgeAt(Math.exp(x));
  return ridgeless.testRisk <= best.testRisk ? { ridge: 0, ...ridgeless } : best;
}

/**
 * The ridge with the least predicted test risk, and how much of the test error is then left on the training data.
 *
 * Minimises over γ, of which the ridge is an explicit function, so that no equation is solved on the way: about eighty
 * sums over the modes. With this ridge the test risk falls strictly with `n` and with `k` ("more is better").
 *
 * @throws TypeError or RangeError as {@link rfRisk}
 * @example
 * optimalRidge({ ...powerlawSpectrum({ modes: 20_000, alpha: 1.3, beta: 1.6 }), n: 200 }).ridge; // 0
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", theorem 1 and definition of the fitting ratio
 */
export function optimalRidge(options: OptimalRidgeOptions): OptimalRidge {
  const caller = 'optimalRidge';
  checkOptions(caller, options, ['eigenvalues', 'coeffs', 'tail', 'n', 'k', 'noise']);
  const { n, k = Infinity, noise = 0 } = options;
  for (const [name, value] of Object.entries({ n, k, noise })) {
    if (typeof value !== 'number') {
      throw new TypeError(`${caller}: ${name} must be a number, got ${typeof value}`);
    }
  }
  const problem = problemsOf(caller, { n, k, ridge: 0, noise })[0]!;
  const modes = modesOf(caller, options);
  const { ridge, testRisk, trainRisk } = search(modes, problem);
  checkFiniteRisk(caller, { n, k, ridge }, { testRisk, trainRisk });
  return { ridge, testRisk, trainRisk, fittingRatio: testRisk > 0 ? trainRisk / testRisk : 0 };
}
