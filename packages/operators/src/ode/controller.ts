import { checkNumber, checkOptions } from '@orth/backend';

/** Constants of a proportional-integral step-size controller. */
export interface ControllerOptions {
  /** Exponent of this step's error estimate. Default 7/50 */
  readonly beta1?: number;
  /** Exponent of the error estimate of the last accepted step. Default 2/25 */
  readonly beta2?: number;
  /** Safety factor. Default 0.9 */
  readonly safety?: number;
  /** A step is never more than this many times as long as the one before. Default 10 */
  readonly maxGrowth?: number;
  /** A step is never less than this fraction of the one before. Default 1/5 */
  readonly minShrink?: number;
}

const OPTIONS = ['beta1', 'beta2', 'safety', 'maxGrowth', 'minShrink'] as const;

/** Least error estimate that is remembered, and the first. */
const LEAST_REMEMBERED = 1e-4;

/** Chooses the next step from the error estimates of this one and the one before (OrdinaryDiffEq.jl's PI controller). */
export class StepController {
  readonly #options: Required<ControllerOptions>;
  #previous = LEAST_REMEMBERED;

  /** @throws RangeError, TypeError for a constant out of range or unknown */
  constructor(caller: string, options: ControllerOptions = {}) {
    checkOptions(`${caller}: controller`, options, OPTIONS);
    const { beta1 = 7 / 50, beta2 = 2 / 25, safety = 0.9 } = options;
    const { maxGrowth = 10, minShrink = 1 / 5 } = options;
    checkNumber(caller, 'controller.beta1', beta1, { above: 0 });
    checkNumber(caller, 'controller.beta2', beta2, { min: 0 });
    checkNumber(caller, 'controller.safety', safety, { above: 0, max: 1 });
    checkNumber(caller, 'controller.maxGrowth', maxGrowth, { above: 1 });
    checkNumber(caller, 'controller.minShrink', minShrink, { above: 0, below: 1 });
    this.#options = { beta1, beta2, safety, maxGrowth, minShrink };
  }

  /** The step after an accepted one; `error` at most 1. */
  accept(step: number, error: number): number {
    const { beta1, beta2, safety, maxGrowth, minShrink } = this.#options;
    const wanted = error ** beta1 / (this.#previous ** beta2 * safety);
    this.#previous = Math.max(error, LEAST_REMEMBERED);
    return step / Math.min(Math.max(wanted, 1 / maxGrowth), 1 / minShrink);
  }

  /** The step to try after a rejected one; `error` above 1, Infinity for a state that is not finite. */
  reject(step: number, error: number): number {
    const { beta1, safety, minShrink } = this.#options;
    return step / Math.min(1 / minShrink, error ** beta1 / safety);
  }
}
