import { checkBoolean, checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { checkInit, type DualsInput } from './initialPotentials.js';
import type { RegularizedSettings } from './regularizedSolver.js';
import type { TransportRequest, Weights } from './transportArguments.js';

/** Options of `quadraticTransport`. */
export interface QuadraticTransportOptions extends Weights {
  /** Strength of the regularisation `(γ/2)‖T‖²`, > 0, in cost per mass. Default 1 */
  readonly gamma?: number;
  /** Multiplies γ by mean(C)·m·n/Σa, which makes it free of the scales of cost and mass. Default false */
  readonly relativeGamma?: boolean;
  /**
   * `'semiDual'` (default): m variables, columns of the plan exact, a threshold solved in each column; `'dual'`: m + n
   * variables, neither side exact before convergence.
   */
  readonly formulation?: 'semiDual' | 'dual';
  /** `'lbfgs'` (default), or `'adam'`: a fixed number of cheap steps, as routers use. */
  readonly solver?: 'lbfgs' | 'adam';
  /** Stop when ‖T1 − a‖₁ (dual: + ‖Tᵀ1 − b‖₁) is at most this times Σa, >= 0. Default 1e−9 */
  readonly tolerance?: number;
  /** L-BFGS also stops when the objective rises by at most this times max(|value|, 1). Default: never */
  readonly functionTolerance?: number;
  /** Most iterations, of each stage where there are several, integer >= 0. Default 2000 */
  readonly maxIterations?: number;
  /** Steps that L-BFGS remembers, integer >= 1. Default 20 */
  readonly memory?: number;
  /** Step of Adam, > 0, in units of cost. Default 1e−2 */
  readonly learningRate?: number;
  /** Potentials to start from, such as the `duals` of the result for a similar problem. Default: zeros */
  readonly init?: DualsInput;
}

/** Options of `sparseTransport`. */
export interface SparseTransportOptions extends QuadraticTransportOptions {
  /** Most non-zeros of a column of the plan, integer >= 1; m or more means quadratic transport. */
  readonly k: number;
  /**
   * `'continuation'` (default): solve for k' = m, 4k, 2k, k in turn, each from the potentials of the last; never below
   * the quadratic optimum. `'zeros'`: k at once, as POT does. With `init` there is one stage either way.
   */
  readonly start?: 'continuation' | 'zeros';
  /**
   * `'last'` (default): the plan of the last potentials, k-sparse whatever happens. `'average'`: the mean of the plans
   * along further subgradient steps, whose marginals become right where ties make those of `'last'` wrong, while a few
   * columns exceed k.
   */
  readonly recover?: 'last' | 'average';
  /** Subgradient steps of `recover: 'average'`, integer >= 1. Default 20000 */
  readonly averagingSteps?: number;
  /** Accept k that cannot serve every row with mass: k·(columns with mass) < rows with mass. Default false */
  readonly allowInfeasible?: boolean;
}

const QUADRATIC_KEYS = [
  'a',
  'b',
  'gamma',
  'relativeGamma',
  'formulation',
  'solver',
  'tolerance',
  'functionTolerance',
  'maxIterations',
  'memory',
  'learningRate',
  'init',
];
const SPARSE_KEYS = ['k', 'start', 'recover', 'averagingSteps', 'allowInfeasible'];

/** Checks all options but the shapes of `a`, `b` and `init`, and fills in defaults. */
export function regularizedSettings(
  caller: string,
  options: Partial<SparseTransportOptions>,
  sparse: boolean,
): RegularizedSettings {
  checkOptions(caller, options, sparse ? [...QUADRATIC_KEYS, ...SPARSE_KEYS] : QUADRATIC_KEYS);
  const settings: RegularizedSettings = {
    k: sparse ? options.k! : Infinity,
    gamma: options.gamma ?? 1,
    relativeGamma: options.relativeGamma ?? false,
    formulation: options.formulation ?? 'semiDual',
    solver: options.solver ?? 'lbfgs',
    tolerance: options.tolerance ?? 1e-9,
    functionTolerance: options.functionTolerance ?? -Infinity,
    maxIterations: options.maxIterations ?? 2000,
    memory: options.memory ?? 20,
    learningRate: options.learningRate ?? 1e-2,
    start: options.start ?? 'continuation',
    recover: options.recover ?? 'last',
    averagingSteps: options.averagingSteps ?? 20000,
    allowInfeasible: options.allowInfeasible ?? false,
  };
  if (sparse) checkInteger(caller, 'k', settings.k, { min: 1 });
  checkNumber(caller, 'gamma', settings.gamma, { above: 0 });
  checkBoolean(caller, 'relativeGamma', settings.relativeGamma);
  checkOneOf(caller, 'formulation', settings.formulation, ['semiDual', 'dual']);
  checkOneOf(caller, 'solver', settings.solver, ['lbfgs', 'adam']);
  checkNumber(caller, 'tolerance', settings.tolerance, { min: 0 });
  if (options.functionTolerance !== undefined) {
    checkNumber(caller, 'functionTolerance', settings.functionTolerance, { min: 0 });
  }
  checkInteger(caller, 'maxIterations', settings.maxIterations, { min: 0 });
  checkInteger(caller, 'memory', settings.memory, { min: 1 });
  checkNumber(caller, 'learningRate', settings.learningRate, { above: 0 });
  checkOneOf(caller, 'start', settings.start, ['continuation', 'zeros']);
  checkOneOf(caller, 'recover', settings.recover, ['last', 'average']);
  checkInteger(caller, 'averagingSteps', settings.averagingSteps, { min: 1 });
  checkBoolean(caller, 'allowInfeasible', settings.allowInfeasible);
  return settings;
}

/** {@link regularizedSettings} and the shape of `init`. */
export function checkedSettings(
  request: TransportRequest,
  options: Partial<SparseTransportOptions>,
  sparse: boolean,
): RegularizedSettings {
  const settings = regularizedSettings(request.caller, options, sparse);
  checkInit(request, options.init);
  return settings;
}
