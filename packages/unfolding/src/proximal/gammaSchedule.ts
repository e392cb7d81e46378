/** Which loss, γ and learning rate a step of training takes. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';

/** One step of a training plan. */
export interface LpnStep {
  /** `'l1'`: mean absolute error; `'l2'`: mean over the batch of the squared norm; `'pm'`: proximal matching. */
  readonly loss: 'l1' | 'l2' | 'pm';
  /** γ of the proximal matching loss, > 0. */
  readonly gamma?: number;
  readonly learningRate: number;
}

/** Options of {@link gammaSchedule}. */
export interface GammaScheduleOptions {
  /** Steps in all. Default 40000 */
  readonly steps?: number;
  /** Steps of l1 loss at the beginning. Default half of `steps` */
  readonly pretrainSteps?: number;
  /** Stages of equal length, γ halving from one to the next. Default 4 */
  readonly stages?: number;
  /** γ of the last stage; the authors take `0.08 √(values of a sample)` for images. */
  readonly gammaMin: number;
  /** Of proximal matching. Default 1e-4 */
  readonly learningRate?: number;
  /** Of the l1 steps. Default 1e-3 */
  readonly pretrainLearningRate?: number;
}

/**
 * The authors' plan for images: l1 loss, then proximal matching with `γ = gammaMin 2^(stages − 1 − stage)`; what does not
 * divide evenly belongs to the last stage.
 *
 * @returns the plan by step, from 0; later steps are as the last one
 * @throws TypeError or RangeError for an unknown option or a value out of range
 */
export function gammaSchedule(options: GammaScheduleOptions): (step: number) => LpnStep {
  const caller = 'gammaSchedule';
  checkOptions(caller, options, [
    'steps',
    'pretrainSteps',
    'stages',
    'gammaMin',
    'learningRate',
    'pretrainLearningRate',
  ]);
  const { steps = 40_000, stages = 4, gammaMin } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  const { pretrainSteps = Math.floor(steps / 2) } = options;
  const { learningRate = 1e-4, pretrainLearningRate = 1e-3 } = options;
  checkInteger(caller, 'pretrainSteps', pretrainSteps, { min: 0, max: steps });
  checkInteger(caller, 'stages', stages, { min: 1 });
  checkNumber(caller, 'gammaMin', gammaMin, { above: 0 });
  checkNumber(caller, 'learningRate', learningRate, { above: 0 });
  checkNumber(caller, 'pretrainLearningRate', pretrainLearningRate, { above: 0 });
  const length = Math.floor((steps - pretrainSteps) / stages);
  return (step) => {
    if (step < pretrainSteps) return { loss: 'l1', learningRate: pretrainLearningRate };
    // Stages of length 0, where there are fewer steps than stages, leave the last one.
    const stage =
      length === 0 ? stages - 1 : Math.min(Math.floor((step - pretrainSteps) / length), stages - 1);
    return { loss: 'pm', gamma: gammaMin * 2 ** (stages - 1 - stage), learningRate };
  };
}
