import { checkNumber, checkOptions } from '@orth/backend';

/** Options of {@link distillationPlan}. */
export interface DistillationPlanOptions {
  /** Steps of an epoch over the real data alone, > 0. */
  readonly baseSteps: number;
  /** Epochs over the real data, > 0. */
  readonly epochs: number;
  /** Part w of each batch that the teacher wrote, in [0, 1). */
  readonly teacherWeight: number;
}

/** How long sequence-level distillation takes. */
export interface DistillationPlan {
  /** int(baseSteps·epochs/(1 − w)): real data is still seen `epochs` times. */
  readonly totalSteps: number;
  /** Steps' worth of real and of the teacher's data. */
  readonly realSteps: number;
  readonly teacherSteps: number;
  /** w. */
  readonly teacherFraction: number;
}

/**
 * Steps of sequence-level distillation.
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Kim et al. 2025, "Pre-training under infinite compute", distillation
 */
export function distillationPlan(options: DistillationPlanOptions): DistillationPlan {
  const caller = 'distillationPlan';
  checkOptions(caller, options, ['baseSteps', 'epochs', 'teacherWeight']);
  const { baseSteps, epochs, teacherWeight } = options;
  checkNumber(caller, 'baseSteps', baseSteps, { above: 0 });
  checkNumber(caller, 'epochs', epochs, { above: 0 });
  checkNumber(caller, 'teacherWeight', teacherWeight, { min: 0, below: 1 });
  const totalSteps = Math.trunc((baseSteps * epochs) / (1 - teacherWeight));
  const realSteps = baseSteps * epochs;
  return {
    totalSteps,
    realSteps,
    teacherSteps: totalSteps - realSteps,
    teacherFraction: teacherWeight,
  };
}
