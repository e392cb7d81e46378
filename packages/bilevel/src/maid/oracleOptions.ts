import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import type { OracleSettings } from './inexactHypergradient.js';
import { LOWER_SOLVERS, type LowerSolver } from './lowerSolver.js';

/** Options of the lower-level solver and of the linear system's. */
export interface OracleOptions {
  /** Lower-level solver. Default `'accelerated'` */
  readonly solver?: LowerSolver;
  /** Iterations that one lower-level solution may take, ≥ 1. Default 10000 */
  readonly maxLowerIterations?: number;
  /** Iterations that one linear system may take, ≥ 1. Default 2 · length of x + 10 */
  readonly maxConjugateGradientIterations?: number;
}

export const ORACLE_OPTIONS = [
  'solver',
  'maxLowerIterations',
  'maxConjugateGradientIterations',
] as const;

/** Checks the options and fills in the defaults. */
export function oracleSettings(caller: string, options: OracleOptions): OracleSettings {
  const { solver = 'accelerated', maxLowerIterations = 10_000 } = options;
  const { maxConjugateGradientIterations } = options;
  checkOneOf(caller, 'solver', solver, LOWER_SOLVERS);
  checkInteger(caller, 'maxLowerIterations', maxLowerIterations, { min: 1 });
  if (maxConjugateGradientIterations !== undefined) {
    const name = 'maxConjugateGradientIterations';
    checkInteger(caller, name, maxConjugateGradientIterations, { min: 1 });
  }
  return { caller, solver, maxLowerIterations, maxConjugateGradientIterations };
}

/** ε and δ below which nothing is asked of float32 functions, relative to max(1, ‖x‖) and to ‖∇g‖; see `accuracyFloor`. */
const FLOORS = { float32: 1e-5, float64: 1e-11 } as const;

/** The relative accuracy floor: the option, or what the problem's precision allows. */
export function relativeFloor(
  caller: string,
  option: number | undefined,
  precision: 'float32' | 'float64' = 'float64',
): number {
  if (option === undefined) return FLOORS[precision];
  checkNumber(caller, 'accuracyFloor', option, { above: 0 });
  return option;
}
