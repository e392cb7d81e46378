import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  customGrad,
  mul,
  type Scalar,
  sigmoid,
  step,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { type GramSide, normOfDeviation, usesRows } from '../orthoRegs/deviation.js';

/** Options of {@link lambdaOrth}. */
export interface LambdaOrthOptions {
  /** Threshold, >= 0: the deviation `f` that is allowed, in absolute terms. Default 12, for 512 or 1024 features */
  readonly lambda?: number;
  /** Threshold by size instead: `lambda = lambdaRel · √rows`, as `f` of a random matrix grows with it. */
  readonly lambdaRel?: number;
  /** Steepness of the smooth threshold, > 0. Default 10 */
  readonly alpha?: number;
  /** `'smooth'`: `σ(α (f − λ)) f`; `'hard'`: f from λ on, 0 below. Default `'smooth'` */
  readonly form?: 'smooth' | 'hard';
  /** Whose Gram matrix: rows as the paper (`W Wᵀ`), columns, or the smaller side. Default `'rows'` */
  readonly side?: GramSide;
  /**
   * What to do about a threshold that cannot be met, below `√(rows − columns)`, the least deviation of as many rows:
   * `'throw'`, `'ignore'`, or call a function with the reason. Default `'ignore'`
   */
  readonly onUnreachable?: 'ignore' | 'throw' | ((reason: string) => void);
}

const OPTIONS: readonly (keyof LambdaOrthOptions)[] = [
  'lambda',
  'lambdaRel',
  'alpha',
  'form',
  'side',
  'onUnreachable',
];

/**
 * Soft orthogonality without a threshold: `f = ‖W Wᵀ − I‖_F`. Its gradient at an orthogonal W, where tfjs has NaN, is 0.
 *
 * @param W - shape `[rows, columns]`
 * @param side - whose Gram matrix. Default `'rows'`
 * @returns a scalar
 * @throws TypeError or RangeError if `W` is no matrix or `side` is another
 */
export function softOrth(W: Tensor, side: GramSide = 'rows'): Scalar {
  checkTensor('softOrth', 'W', W, { rank: 2 });
  checkOneOf('softOrth', 'side', side, ['auto', 'rows', 'columns']);
  return normOfDeviation(W, side);
}

/**
 * λ-orthogonality: a penalty on the deviation `f = ‖W Wᵀ − I‖_F` of a map from orthogonal that sets in at λ and leaves what is
 * below alone, `σ(α (f − λ)) f`. Added to a loss that pulls W away, it holds f near λ. Differentiable; gradient 0 at an
 * orthogonal W.
 *
 * @param W - shape `[rows, columns]`, usually square
 * @returns a scalar, less than f; λ / 2 at f = λ
 * @throws TypeError or RangeError if `W` is no matrix, an option is wrong, or, if so asked, λ cannot be met
 * @example
 * const loss = () => add(task(), lambdaOrth(W, { lambda: 2 }));
 * @see Ricci et al. 2025, arXiv 2509.16664v2, eq. 5 and 6. Deviation: its text says that the hard form is switched off above
 *   the threshold; its formula, as here, below
 */
export function lambdaOrth(W: Tensor, options: LambdaOrthOptions = {}): Scalar {
  const caller = 'lambdaOrth';
  checkTensor(caller, 'W', W, { rank: 2 });
  checkLambdaOptions(caller, options);
  const { alpha = 10, form = 'smooth', side = 'rows', onUnreachable = 'ignore' } = options;
  const [rows, columns] = usesRows(W.shape, side) ? W.shape : [...W.shape].reverse();
  const lambda = thresholdOf(options, rows!);
  const least = Math.sqrt(Math.max(0, rows! - columns!));
  if (lambda < least && onUnreachable !== 'ignore') {
    const reason = `lambda must be at least √(${rows} − ${columns}) = ${least.toFixed(3)} to be met, got ${lambda}`;
    if (onUnreachable === 'throw') throw new RangeError(`${caller}: ${reason}`);
    onUnreachable(reason);
  }
  return tidy(() => {
    const f = normOfDeviation(W, side);
    return (form === 'smooth' ? smooth(f, lambda, alpha) : hard(f, lambda)) as Scalar;
  });
}

/** Demands options of {@link lambdaOrth}. */
export function checkLambdaOptions(caller: string, options: LambdaOrthOptions): void {
  checkOptions(caller, options, OPTIONS);
  const { lambda, lambdaRel, alpha, form = 'smooth', side = 'rows' } = options;
  if (lambda !== undefined && lambdaRel !== undefined) {
    throw new RangeError(`${caller}: lambda must not be given beside lambdaRel, got both`);
  }
  checkNumber(caller, 'lambda', lambda ?? 12, { min: 0 });
  checkNumber(caller, 'lambdaRel', lambdaRel ?? 0, { min: 0 });
  checkNumber(caller, 'alpha', alpha ?? 10, { above: 0 });
  checkOneOf(caller, 'form', form, ['smooth', 'hard']);
  checkOneOf(caller, 'side', side, ['auto', 'rows', 'columns']);
  const { onUnreachable = 'ignore' } = options;
  if (typeof onUnreachable === 'function') return;
  checkOneOf(caller, 'onUnreachable', onUnreachable, ['ignore', 'throw']);
}

/** λ for a matrix of so many rows. */
export const thresholdOf = ({ lambda = 12, lambdaRel }: LambdaOrthOptions, rows: number): number =>
  lambdaRel === undefined ? lambda : lambdaRel * Math.sqrt(rows);

/** `g f`, `g = σ(α (f − λ))`, with slope `g + α f g (1 − g)`. */
function smooth(f: Tensor, lambda: number, alpha: number): Tensor {
  const gate = sigmoid(mul(sub(f, lambda), alpha));
  return mul(gate, f);
}

/** f from λ on. The gate has no slope. */
function hard(f: Tensor, lambda: number): Tensor {
  const op = customGrad((input, save) => {
    const gate = tidy(() => sub(1, step(sub(lambda, input as Tensor))));
    (save as (tensors: Tensor[]) => void)([gate]);
    return {
      value: mul(gate, input as Tensor),
      gradFunc: (dy: Tensor, saved: Tensor[]) => mul(dy, saved[0]!),
    };
  });
  return op(f);
}
