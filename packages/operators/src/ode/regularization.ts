import { checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  abs,
  add,
  div,
  max,
  mean,
  mul,
  type Scalar,
  square,
  sum,
  type Tensor,
  type Tensor1D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { TSIT5_STABILITY } from './tableaus.js';

/** Which estimates are held down. */
export type RegularizerKind = 'error' | 'stiffness' | 'both';

/** How the steps' estimates become one number. */
export type RegularizerAggregate = 'mean' | 'sum' | 'max' | 'squaredSum';

/** Estimates of the steps, [steps] each: those of {@link replayOde} or {@link replaySde}. */
export interface StepEstimates {
  readonly errorEstimates?: Tensor1D | undefined;
  readonly stiffness?: Tensor1D | undefined;
}

/** Options of {@link odeRegularization}. */
export interface RegularizationOptions {
  /**
   * `'error'` (ERNODE): Eⱼ|hⱼ|; `'stiffness'` (SRNODE): Sⱼ over the method's stability bound; `'both'`: Eⱼ|hⱼ| + 0.1 of the
   * latter. Default `'error'`
   */
  readonly kind?: RegularizerKind;
  /**
   * Over the steps. `'squaredSum'` is Σ (Eⱼ hⱼ)². A `'sum'` of stiffness is of the bare Sⱼ. Default `'mean'` for errors and
   * both, `'max'` for stiffness
   */
  readonly aggregate?: RegularizerAggregate;
  /** The method's stability bound. Default 3.5068, Tsit5's */
  readonly stabilitySize?: number;
}

const AGGREGATES = ['mean', 'sum', 'max', 'squaredSum'] as const;

/**
 * One number that says how hard a solve was, from the estimates of its steps: added to a loss with a weight, it teaches dynamics
 * that take fewer evaluations. Differentiable; step sizes are constants. Error estimates are in units of the tolerance, so
 * the right weight depends on `rtol` and `atol`.
 *
 * @param estimates - error and stiffness estimates, [steps] each, of which `kind` needs one or both
 * @param steps - lengths of the steps
 * @returns scalar
 * @throws RangeError if an estimate that `kind` needs is missing or has another length than `steps`
 * @see A. Pal et al., *Opening the Blackbox*, ICML 2021, R_E and R_S
 */
export function odeRegularization(
  estimates: StepEstimates,
  steps: readonly number[],
  options: RegularizationOptions = {},
): Scalar {
  const caller = 'odeRegularization';
  checkOptions(caller, options, ['kind', 'aggregate', 'stabilitySize']);
  const { kind = 'error', stabilitySize = TSIT5_STABILITY } = options;
  checkOneOf(caller, 'kind', kind, ['error', 'stiffness', 'both']);
  const { aggregate = kind === 'stiffness' ? 'max' : 'mean' } = options;
  checkOneOf(caller, 'aggregate', aggregate, AGGREGATES);
  checkNumber(caller, 'stabilitySize', stabilitySize, { above: 0 });
  const need = (name: keyof StepEstimates): Tensor => {
    const x = estimates[name];
    if (x && x.size === steps.length) return x;
    throw new RangeError(
      `${caller}: ${name} must hold one number a step (${steps.length}), got ${x ? x.size : 'none'}`,
    );
  };
  return tidy(() => {
    const errors = () => mul(need('errorEstimates'), abs(tensor1d([...steps])));
    // The sum is of the bare estimates, as in the authors' toy experiments.
    const stiffness = () => div(need('stiffness'), aggregate === 'sum' ? 1 : stabilitySize);
    const each =
      kind === 'error'
        ? errors()
        : kind === 'stiffness'
          ? stiffness()
          : add(errors(), mul(0.1, div(need('stiffness'), stabilitySize)));
    if (aggregate === 'squaredSum') return sum(square(each)) as Scalar;
    const combine = { mean, sum, max }[aggregate];
    return combine(each) as Scalar;
  });
}

/**
 * Weight of a regulariser in an epoch, falling exponentially from `initial` towards `final`, which it would reach at epoch
 * `epochs`: λ(e) = λ₀ exp(−e ln(λ₀/λ₁) / epochs).
 * @param epoch - from 0
 * @throws RangeError unless both weights and `epochs` are positive and `epoch` not negative
 */
export function regularizationSchedule(
  epoch: number,
  options: { readonly initial: number; readonly final: number; readonly epochs: number },
): number {
  const caller = 'regularizationSchedule';
  checkNumber(caller, 'epoch', epoch, { min: 0 });
  for (const name of ['initial', 'final', 'epochs'] as const) {
    checkNumber(caller, name, options[name], { above: 0 });
  }
  const { initial, final, epochs } = options;
  return initial * Math.exp((-epoch * Math.log(initial / final)) / epochs);
}
