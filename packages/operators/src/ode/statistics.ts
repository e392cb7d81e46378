/** What a solve cost, and what its estimates were. */
export interface SolveStatistics {
  /** Evaluations of the dynamics (of the drift, for a stochastic equation). */
  readonly nfe: number;
  /** Steps taken. */
  readonly accepted: number;
  /** Steps that were tried and rejected. */
  readonly rejected: number;
  /** Signed lengths of the accepted steps: what a replay takes. */
  readonly steps: readonly number[];
  /** Signed lengths of all that were tried, in order. */
  readonly tried: readonly { readonly step: number; readonly accepted: boolean }[];
  /** Error estimates of the accepted steps, in units of the tolerance; empty for methods without. */
  readonly errorEstimates: readonly number[];
  /** Stiffness estimates of the accepted steps, 1/time; empty for methods without. */
  readonly stiffness: readonly number[];
  /**
   * Whether |h| · stiffness was above 0.9 of the method's stability bound for more than ten steps in a row: an explicit
   * method is then limited by stability, and an implicit one would be cheaper.
   */
  readonly stiff: boolean;
}

const STIFF_FRACTION = 0.9;
const STIFF_STEPS = 10;

/** Gathers {@link SolveStatistics} while a solve runs. */
export class StatisticsCounter {
  nfe = 0;
  readonly #tried: { step: number; accepted: boolean }[] = [];
  readonly #errors: number[] = [];
  readonly #stiffness: number[] = [];
  #inARow = 0;
  #stiff = false;

  constructor(readonly stability: number) {}

  get attempts(): number {
    return this.#tried.length;
  }

  reject(step: number): void {
    this.#tried.push({ step, accepted: false });
  }

  accept(step: number, error?: number, stiffness?: number): void {
    this.#tried.push({ step, accepted: true });
    if (error !== undefined) this.#errors.push(error);
    if (stiffness === undefined) return;
    this.#stiffness.push(stiffness);
    const limited = Math.abs(step) * stiffness > STIFF_FRACTION * this.stability;
    this.#inARow = limited ? this.#inARow + 1 : 0;
    this.#stiff ||= this.#inARow > STIFF_STEPS;
  }

  report(): SolveStatistics {
    const steps = this.#tried.filter(({ accepted }) => accepted).map(({ step }) => step);
    return {
      nfe: this.nfe,
      accepted: steps.length,
      rejected: this.#tried.length - steps.length,
      steps,
      tried: this.#tried,
      errorEstimates: this.#errors,
      stiffness: this.#stiffness,
      stiff: this.#stiff,
    };
  }
}
