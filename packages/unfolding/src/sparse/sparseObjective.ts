/** The functions that ISTA and IHT minimise. */
import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  mul,
  square,
  step,
  sub,
  type Tensor,
  type Tensor1D,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  applyLinear,
  type BoundOperator,
  type LinearOperator,
  Measurement,
} from './linearOperator.js';
import { magnitude, pack, sumSamples } from './packedComplex.js';
import type { ShrinkageKind, ShrinkageRule } from './shrinkageStep.js';

/** `½‖y − A x‖² + λ‖x‖₁` or `+ λ‖x‖₀` of each sample of packed batches; the number of non-zeros has no gradient. */
export function objectivePacked(
  op: BoundOperator,
  { kind, lambda }: ShrinkageRule,
  x: Tensor,
  y: Tensor,
): Tensor1D {
  const data = mul(sumSamples(square(sub(y, applyLinear(op, x))), op.outputField), 0.5);
  if (lambda === 0) return data as Tensor1D;
  const size = magnitude(x, op.inputField);
  const penalty = sumSamples(kind === 'ista' ? size : step(size), 'real');
  return add(data, mul(penalty, lambda)) as Tensor1D;
}

/** Options of {@link sparseObjective}. */
export interface SparseObjectiveOptions {
  /** Weight of the penalty, >= 0. */
  readonly lambda: number;
  /** `'ista'`: `λ‖x‖₁`; `'iht'`: `λ` times the number of non-zeros. Default `'ista'` */
  readonly kind?: ShrinkageKind;
}

/**
 * `F(x) = ½‖y − A x‖² + λ‖x‖₁` (or `λ‖x‖₀`) of each sample, differentiable in `x` and `y`.
 *
 * @param A - matrix `[M, N]`, or a pair of functions
 * @param x - `[B, N]`
 * @param y - `[B, M]`
 * @returns shape `[B]`
 * @throws TypeError or RangeError for a wrong argument
 */
export function sparseObjective(
  A: LinearOperator,
  x: Tensor,
  y: Tensor,
  options: SparseObjectiveOptions,
): Tensor1D {
  const caller = 'sparseObjective';
  checkOptions(caller, options, ['lambda', 'kind']);
  const { lambda, kind = 'ista' } = options;
  checkNumber(caller, 'lambda', lambda, { min: 0 });
  checkOneOf(caller, 'kind', kind, ['ista', 'iht']);
  const op = new Measurement(caller, A, false).bind(y);
  checkBatch(caller, 'x', x, op);
  return tidy(() => objectivePacked(op, { kind, lambda }, pack(x), pack(y)));
}

/** @throws TypeError or RangeError unless `x` is a batch that the operator takes */
export function checkBatch(caller: string, argument: string, x: unknown, op: BoundOperator): void {
  const complex = op.inputField === 'complex';
  const shape = complex ? op.inputShape.slice(1) : op.inputShape;
  checkTensor(caller, argument, x, { shape, dtype: [complex ? 'complex64' : 'float32'] });
}

/**
 * `10 log₁₀(Σ‖x − x*‖² / Σ‖x*‖²)`, the normalised error in decibels over a whole batch. Reads values back.
 *
 * @param x - estimate, float32 or complex64
 * @param truth - same shape and dtype
 * @throws TypeError or RangeError for a wrong argument
 */
export async function normalizedError(x: Tensor, truth: Tensor): Promise<number> {
  const caller = 'normalizedError';
  checkTensor(caller, 'x', x, { dtype: ['float32', 'complex64'] });
  checkTensor(caller, 'truth', truth, { shape: x.shape, dtype: [x.dtype] });
  const [got, want] = tidy(() => {
    const [a, b] = [pack(x), pack(truth)];
    return [a.clone(), b.clone()];
  }) as [Tensor, Tensor];
  try {
    const [a, b] = [await got.data(), await want.data()];
    let error = 0;
    let size = 0;
    for (let i = 0; i < a.length; i++) {
      error += (a[i]! - b[i]!) ** 2;
      size += b[i]! ** 2;
    }
    return 10 * Math.log10(error / size);
  } finally {
    got.dispose();
    want.dispose();
  }
}
