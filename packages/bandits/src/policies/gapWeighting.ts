/** SquareCB, FastCB and their neural forms: reductions from bandits to online regression. */
import { checkBoolean, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { gapRow, Opening } from '../exploration.js';
import { type NeuralRegressionOptions, REGRESSION_OPTIONS } from '../neural/neuralOracle.js';
import type { Oracle } from '../oracle.js';
import type { Policy } from '../policy.js';
import { checkSchedule, type Schedule, scheduleAt } from '../schedules.js';
import { explorationOf, networkOf } from './greedy.js';
import {
  createOracle,
  EXPLORATION_OPTIONS,
  type ExplorationPolicyOptions,
  ORACLE_OPTIONS,
  OraclePolicy,
  type OraclePolicyOptions,
  type RidgeOracle,
} from './oraclePolicy.js';
import { confidenceWidth } from './regCB.js';

/** The exploration parameter that the regret bounds choose, from quantities that must be known beforehand. */
export interface TheoreticalGamma {
  /** T, number of rounds. */
  readonly horizon: number;
  /** Bound on the regret of the regression over T rounds, > 0. */
  readonly regressionRegret: number;
  /** δ in (0, 1): the bound fails with this probability (inverse gap weighting only). Default 0.05 */
  readonly confidence?: number;
  /** L*, total loss of the best policy (reweighted only). Default `horizon` */
  readonly bestLoss?: number;
}

/** γ: constant, a power of the count of observations, or the theory's. */
export type Gamma = Schedule | TheoreticalGamma;

/** Options of {@link squareCB} and {@link fastCB}. */
export interface GapWeightingOptions extends OraclePolicyOptions {
  /** γ ≥ 0, which multiplies gaps of losses scaled to [0, 1]. Default `{ scale: 10, exponent: 0.5 }` */
  readonly gamma?: Gamma;
  /**
   * Ridge only: actions whose least plausible loss is above the best action's greatest get no probability, with
   * confidence sets as {@link regCB}'s. Default false
   */
  readonly elimination?: boolean;
  /** c₀ > 0 of the confidence set. Default 0.001 */
  readonly mellowness?: number;
}

/** Options of {@link neuSquareCB} and {@link neuFastCB}. */
export interface NeuCBOptions extends ExplorationPolicyOptions, NeuralRegressionOptions {
  /** γ ≥ 0. Default `{ scale: 10, exponent: 0.5 }` */
  readonly gamma?: Gamma;
}

const DEFAULT_GAMMA: Schedule = { scale: 10, exponent: 0.5 };

/** γ as a function of K and the count of observations. */
function gammaRule(caller: string, gamma: Gamma, reweighted: boolean) {
  if (typeof gamma === 'number' || (typeof gamma === 'object' && 'scale' in gamma)) {
    checkSchedule(caller, 'gamma', gamma);
    return (_K: number, t: number) => scheduleAt(gamma, t);
  }
  const known = ['horizon', 'regressionRegret', 'confidence', 'bestLoss'];
  checkOptions(`${caller} gamma`, gamma, known);
  const { horizon, regressionRegret, confidence = 0.05, bestLoss = horizon } = gamma;
  checkNumber(caller, 'gamma.horizon', horizon, { min: 1 });
  checkNumber(caller, 'gamma.regressionRegret', regressionRegret, { above: 0 });
  checkNumber(caller, 'gamma.confidence', confidence, { above: 0, below: 1 });
  checkNumber(caller, 'gamma.bestLoss', bestLoss, { min: 0 });
  if (reweighted) {
    return (K: number) => Math.max(Math.sqrt((K * bestLoss) / (3 * regressionRegret)), 10 * K);
  }
  return (K: number) => Math.sqrt((K * horizon) / (regressionRegret + Math.log(2 / confidence)));
}

/** Actions that may be best: least plausible loss ≤ the best action's greatest plausible one. */
class Elimination {
  private widths = new Float64Array(8);
  private losses = new Float64Array(8);
  private mask = new Uint8Array(8);
  private readonly opening = new Opening();

  constructor(private readonly mellowness: number) {}

  narrow(oracle: Oracle, x: Float64Array, K: number, open: Opening, t: number): Opening {
    if (this.mask.length < K) {
      this.widths = new Float64Array(K);
      this.losses = new Float64Array(K);
      this.mask = new Uint8Array(K);
    }
    const { widths, losses, mask } = this;
    oracle.predict(x, K, losses);
    confidenceWidth(oracle as RidgeOracle, x, K, t, this.mellowness, widths);
    let bound = Infinity;
    for (let a = 0; a < K; a++) {
      if (open.has(a)) bound = Math.min(bound, losses[a]! + widths[a]!);
    }
    for (let a = 0; a < K; a++) {
      mask[a] = open.has(a) && losses[a]! - widths[a]! <= bound ? 1 : 0;
    }
    this.opening.set(mask, 0, K);
    return this.opening;
  }
}

function gapPolicy(
  name: string,
  options: ExplorationPolicyOptions,
  oracleOptions: OraclePolicyOptions,
  gamma: Gamma,
  reweighted: boolean,
  elimination?: Elimination,
): Policy {
  const gammaAt = gammaRule(name, gamma, reweighted);
  return new OraclePolicy(name, options, {
    bounded: true,
    oracle: () => createOracle(name, oracleOptions),
    rule: (p, K, open, t) => gapRow(gammaAt(open.count, t), reweighted)(p, 0, K, open),
    ...(elimination && {
      narrow: (oracle, x, K, open, t) => elimination.narrow(oracle, x, K, open, t),
    }),
  });
}

function linearGapPolicy(name: string, options: GapWeightingOptions, reweighted: boolean): Policy {
  checkOptions(name, options, [...ORACLE_OPTIONS, 'gamma', 'elimination', 'mellowness']);
  const { gamma = DEFAULT_GAMMA, elimination = false, mellowness = 0.001, oracle } = options;
  checkBoolean(name, 'elimination', elimination);
  checkNumber(name, 'mellowness', mellowness, { above: 0 });
  if (elimination) checkOneOf(name, 'oracle', oracle ?? 'ridge', ['ridge']);
  const sets = elimination ? new Elimination(mellowness) : undefined;
  return gapPolicy(name, { ...options }, options, gamma, reweighted, sets);
}

function neuralGapPolicy(name: string, options: NeuCBOptions, reweighted: boolean): Policy {
  checkOptions(name, options, [...EXPLORATION_OPTIONS, ...REGRESSION_OPTIONS, 'gamma']);
  const loss = reweighted ? 'kl' : 'square';
  const network = { ...networkOf(options), loss } as const;
  const oracle = { ...explorationOf(options), oracle: 'neural' as const, network };
  return gapPolicy(name, { ...options }, oracle, options.gamma ?? DEFAULT_GAMMA, reweighted);
}

/**
 * Regression and inverse gap weighting: the probability of an action falls with how much worse it is predicted to be.
 * @throws TypeError or RangeError for a bad option
 * @see Foster and Rakhlin 2020, arXiv:2002.04926; schedule of γ as Vowpal Wabbit's
 */
export function squareCB(options: GapWeightingOptions): Policy {
  return linearGapPolicy('squareCB', options, false);
}

/**
 * Regression and reweighted inverse gap weighting: explores less where the best action's predicted loss is small. The
 * paper's oracle is `'logistic'`.
 * @throws TypeError or RangeError for a bad option
 * @see Foster and Krishnamurthy 2021, arXiv:2107.02237
 */
export function fastCB(options: GapWeightingOptions): Policy {
  return linearGapPolicy('fastCB', options, true);
}

/**
 * NeuSquareCB: a network that learns the loss of actions online by square loss, with output perturbation, and inverse
 * gap weighting on its predictions. No confidence bounds, no matrix inverse.
 * @throws TypeError or RangeError for a bad option; `update` throws NonFiniteError when training diverges, with nothing
 *   changed
 * @see Deb et al. 2024, arXiv:2312.07145
 */
export function neuSquareCB(options: NeuCBOptions): Policy {
  return neuralGapPolicy('neuSquareCB', options, false);
}

/**
 * NeuFastCB: the same with the KL loss on a sigmoid output and reweighted inverse gap weighting, whose regret falls with
 * the loss of the best policy.
 * @throws TypeError or RangeError for a bad option; `update` throws NonFiniteError when training diverges, with nothing
 *   changed
 * @see Deb et al. 2024, arXiv:2312.07145
 */
export function neuFastCB(options: NeuCBOptions): Policy {
  return neuralGapPolicy('neuFastCB', options, true);
}
