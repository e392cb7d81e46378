import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  checkInit,
  type DualsInput,
  type InitialPotentials,
  readInit,
  readInitAsync,
} from './initialPotentials.js';
import { type EntropicSolution, type SinkhornSettings, solveSinkhorn } from './sinkhornSolver.js';
import {
  type CostInput,
  checkTransport,
  readTransport,
  readTransportAsync,
  type Weights,
} from './transportArguments.js';
import { TransportResult } from './transportResult.js';

/** Levels of ε on the way down. */
export interface EpsilonScaling {
  /** First ε, > 0. Default: the greatest cost */
  readonly start?: number;
  /** From one level to the next, in (0, 1). Default 0.5 */
  readonly factor?: number;
}

/** Options of {@link sinkhorn}. */
export interface SinkhornOptions extends Weights {
  /** Strength of the entropy, > 0, in units of cost. Default: `relativeEpsilon` decides */
  readonly epsilon?: number;
  /** ε in standard deviations of the costs, > 0; not together with `epsilon`. Default 0.05 */
  readonly relativeEpsilon?: number;
  /**
   * Balanced: stop when ‖Tᵀ1 − b‖₁ is at most this times Σb (rows are exact). Unbalanced: when the potentials are within
   * this times ε of their limits, estimated from their last change. >= 0. Default 1e−6
   */
  readonly tolerance?: number;
  /** Most iterations, each an update of g and one of f, integer >= 0. Default 2000 */
  readonly maxIterations?: number;
  /** One iteration at each of `start`, `start·factor`, … before those at ε. Default false */
  readonly epsilonScaling?: boolean | EpsilonScaling;
  /** Unbalanced: strength of both marginals' penalty, > 0, Infinity for exact marginals. Default Infinity */
  readonly rho?: number;
  /** The same for the rows alone. Default: `rho` */
  readonly rhoA?: number;
  /** The same for the columns alone. Default: `rho` */
  readonly rhoB?: number;
  /** Penalty of unbalanced marginals: `'kl'` (default), ρ KL(T1 | a), or `'tv'`, ρ ‖T1 − a‖₁. */
  readonly marginalPenalty?: 'kl' | 'tv';
  /** Over-relaxation of the updates, in [1, 2). Default 1, none */
  readonly momentum?: number;
  /**
   * `'auto'` (default): products with a kernel that is kept and made anew when potentials have moved far, in float64;
   * `'log'`: log-sum-exp throughout, half the memory. Both are exact at any ε.
   */
  readonly domain?: 'auto' | 'log';
  /** Potentials to start from, such as the `duals` of the result for a similar problem. Default: zeros */
  readonly init?: DualsInput;
}

/** Result of {@link sinkhorn}: `alpha` is f, `beta` is g. */
export type SinkhornResult = TransportResult<EntropicSolution>;

/**
 * Entropic optimal transport, balanced or unbalanced, by Sinkhorn's iteration; stable at any ε.
 *
 *     min ⟨T, C⟩ + ε KL(T | abᵀ)   over T ≥ 0 with T1 = a, Tᵀ1 = b,   KL(P | Q) = Σ P log(P/Q) − P + Q
 *     T_ij = a_i b_j exp((f_i + g_j − C_ij)/ε)
 *
 * with `rho` the marginals are penalised instead of prescribed. POT and Cuturi's paper write Ω = Σ T(log T − 1) instead:
 * the same plan, potentials f + ε log a and g + ε log b, another value.
 *
 * Works on the host in float64: tensors are read synchronously. An iteration is two products with an m × n matrix.
 *
 * @param cost - `[…, m, n]`; `Infinity` forbids a pair
 * @throws TypeError or RangeError for bad arguments, naming them; Error where the backend cannot be read synchronously
 * @example
 * const { value, converged } = sinkhorn(cost, { epsilon: 0.05 });
 * @see Cuturi 2013, arXiv 1306.0895; Schmitzer 2019, arXiv 1610.06519; Chizat et al. 2018, arXiv 1607.05816
 */
export function sinkhorn(cost: CostInput, options: SinkhornOptions = {}): SinkhornResult {
  const request = checkTransport('sinkhorn', cost, options);
  const settings = settingsOf('sinkhorn', options);
  checkInit(request, options.init);
  const problems = readTransport(request, { balanced: isBalanced(settings) });
  const solutions = solveEach(problems, settings, readInit(request, options.init));
  return new TransportResult(request, solutions, true);
}

/**
 * {@link sinkhorn} for backends that cannot be read synchronously (WebGPU outside a browser). `value` has no gradient
 * here; `result.attach(cost)` does.
 */
export async function sinkhornAsync(
  cost: CostInput,
  options: SinkhornOptions = {},
): Promise<SinkhornResult> {
  const request = checkTransport('sinkhornAsync', cost, options);
  const settings = settingsOf('sinkhornAsync', options);
  checkInit(request, options.init);
  const problems = await readTransportAsync(request, { balanced: isBalanced(settings) });
  const init = await readInitAsync(request, options.init);
  return new TransportResult(request, solveEach(problems, settings, init), false);
}

const isBalanced = ({ rhoA, rhoB }: SinkhornSettings) => rhoA === Infinity && rhoB === Infinity;

const solveEach = (
  problems: ReturnType<typeof readTransport>,
  settings: SinkhornSettings,
  init: InitialPotentials[] | undefined,
) => problems.map((problem, index) => solveSinkhorn(problem, settings, init?.[index]));

function settingsOf(caller: string, options: SinkhornOptions): SinkhornSettings {
  checkOptions(caller, options, [
    'a',
    'b',
    'epsilon',
    'relativeEpsilon',
    'tolerance',
    'maxIterations',
    'epsilonScaling',
    'rho',
    'rhoA',
    'rhoB',
    'marginalPenalty',
    'momentum',
    'domain',
    'init',
  ]);
  const { epsilon, relativeEpsilon, tolerance = 1e-6, maxIterations = 2000 } = options;
  const { rho = Infinity, rhoA = rho, rhoB = rho, momentum = 1 } = options;
  const { marginalPenalty = 'kl', domain = 'auto' } = options;
  if (epsilon !== undefined) {
    checkNumber(caller, 'epsilon', epsilon, { above: 0 });
    if (relativeEpsilon !== undefined) {
      throw new TypeError(`${caller}: relativeEpsilon must not be given beside epsilon`);
    }
  }
  if (relativeEpsilon !== undefined) {
    checkNumber(caller, 'relativeEpsilon', relativeEpsilon, { above: 0 });
  }
  checkNumber(caller, 'tolerance', tolerance, { min: 0 });
  checkInteger(caller, 'maxIterations', maxIterations, { min: 0 });
  for (const [name, value] of Object.entries({ rho, rhoA, rhoB })) {
    if (value !== Infinity) checkNumber(caller, name, value, { above: 0 });
  }
  checkOneOf(caller, 'marginalPenalty', marginalPenalty, ['kl', 'tv']);
  checkNumber(caller, 'momentum', momentum, { min: 1, below: 2 });
  checkOneOf(caller, 'domain', domain, ['auto', 'log']);
  return {
    epsilon: epsilon ?? Number.NaN,
    relativeEpsilon: relativeEpsilon ?? 0.05,
    tolerance,
    maxIterations,
    epsilonScaling: scalingOf(caller, options.epsilonScaling ?? false),
    rhoA,
    rhoB,
    marginalPenalty,
    momentum,
    domain,
  };
}

function scalingOf(
  caller: string,
  option: boolean | EpsilonScaling,
): SinkhornSettings['epsilonScaling'] {
  if (option === false) return undefined;
  const scaling = option === true ? {} : option;
  checkOptions(caller, scaling, ['start', 'factor']);
  const { start, factor = 0.5 } = scaling;
  if (start !== undefined) checkNumber(caller, 'epsilonScaling.start', start, { above: 0 });
  checkNumber(caller, 'epsilonScaling.factor', factor, { above: 0, below: 1 });
  return { start: start ?? Number.NaN, factor };
}
