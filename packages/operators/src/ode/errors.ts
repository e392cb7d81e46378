import type { SolveStatistics } from './statistics.js';

/** Why a solve ended before the end of its time. */
export type OdeFailure = 'nonFinite' | 'stepUnderflow' | 'maxSteps';

/** A differential equation could not be solved to its end; no tensor is left behind. */
export class OdeSolveError extends Error {
  override readonly name = 'OdeSolveError';
  constructor(
    message: string,
    /** What went wrong. */
    readonly reason: OdeFailure,
    /** How far it got. */
    readonly t: number,
    /** Steps up to there. */
    readonly stats: SolveStatistics,
  ) {
    super(message);
  }
}
