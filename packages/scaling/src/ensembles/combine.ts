/** What several models say together, and its loss. */
import { checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  div,
  logSoftmax,
  logSumExp,
  mean,
  mul,
  neg,
  oneHot,
  type Scalar,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tidy,
  unstack,
} from '@tensorflow/tfjs-core';

/** Mean of logits (the geometric mean of probabilities), or mean of probabilities. */
export type Combination = 'logits' | 'probs';

/** Options of the functions that combine members. */
export interface CombineOptions {
  /** Default `'logits'` */
  readonly combine?: Combination;
}

/** Checks the option. */
export function combinationOf(caller: string, options: CombineOptions): Combination {
  checkOptions(caller, options, ['combine']);
  const { combine = 'logits' } = options;
  checkOneOf(caller, 'combine', combine, ['logits', 'probs']);
  return combine;
}

function checkLogits(caller: string, logits: Tensor): void {
  checkTensor(caller, 'logits', logits, { minRank: 2 });
}

function checkTargets(caller: string, logits: Tensor, targets: Tensor): void {
  checkLogits(caller, logits);
  const shape = logits.shape.slice(1, -1);
  checkTensor(caller, 'targets', targets, { shape, dtype: ['int32'] });
}

/** Running combination: what has been added so far, as a sum of logits or the log of a sum of probabilities. */
export function accumulate(combine: Combination, so: Tensor | undefined, logits: Tensor): Tensor {
  return tidy(() => {
    const next = combine === 'logits' ? logits.clone() : logSoftmax(logits);
    if (!so) return next;
    return combine === 'logits' ? add(so, next) : logSumExp(stack([so, next]), 0);
  });
}

/** The combination of `count` members from what {@link accumulate} gathered. */
export const finish = (combine: Combination, gathered: Tensor, count: number): Tensor =>
  combine === 'logits' ? div(gathered, count) : sub(gathered, Math.log(count));

/** Mean cross-entropy of logits to whole targets: over all axes but the last. */
export function crossEntropy(logits: Tensor, targets: Tensor): Scalar {
  return tidy(() => {
    const hot = oneHot(targets, logits.shape.at(-1)!);
    return neg(mean(sum(mul(hot, logSoftmax(logits)), -1))) as Scalar;
  });
}

/**
 * What the members say together.
 *
 * @param logits - `[K, …, V]`, float32, one slice a member
 * @returns `[…, V]`: mean logits, or the logarithm of the mean probabilities; differentiable
 * @throws TypeError or RangeError for a wrong tensor or option
 */
export function combineLogits(logits: Tensor, options: CombineOptions = {}): Tensor {
  const combine = combinationOf('combineLogits', options);
  checkLogits('combineLogits', logits);
  return tidy(() =>
    combine === 'logits'
      ? mean(logits, 0)
      : sub(logSumExp(logSoftmax(logits), 0), Math.log(logits.shape[0]!)),
  );
}

/**
 * Cross-entropy of the combined prediction, mean over all targets, in nats. Not the mean of the members' losses: with
 * `'logits'` and with `'probs'` it is never above that.
 *
 * @param logits - `[K, …, V]`, float32, one slice a member
 * @param targets - `[…]`, int32
 * @returns scalar; differentiable in `logits`
 * @throws TypeError or RangeError if the shapes do not fit, or for a wrong option
 * @see Kim et al. 2025, "Pre-training under infinite compute", ensembles
 */
export function ensembleLoss(
  logits: Tensor,
  targets: Tensor,
  options: CombineOptions = {},
): Scalar {
  combinationOf('ensembleLoss', options);
  checkTargets('ensembleLoss', logits, targets);
  return tidy(() => crossEntropy(combineLogits(logits, options), targets));
}

/**
 * {@link ensembleLoss} of the first 1, 2, …, K members: what {@link fitPowerLaw} takes to find the loss of infinitely many.
 * @returns `[K]`
 * @throws as {@link ensembleLoss}
 */
export function ensembleCurve(
  logits: Tensor,
  targets: Tensor,
  options: CombineOptions = {},
): Tensor1D {
  const combine = combinationOf('ensembleCurve', options);
  checkTargets('ensembleCurve', logits, targets);
  return tidy(() => {
    let gathered: Tensor | undefined;
    const losses = unstack(logits).map((member, k) => {
      gathered = accumulate(combine, gathered, member);
      return crossEntropy(finish(combine, gathered, k + 1), targets);
    });
    return stack(losses) as Tensor1D;
  });
}

/**
 * Each member's own cross-entropy.
 * @returns `[K]`
 * @throws as {@link ensembleLoss}
 */
export function memberLosses(logits: Tensor, targets: Tensor): Tensor1D {
  checkTargets('memberLosses', logits, targets);
  return tidy(
    () => stack(unstack(logits).map((member) => crossEntropy(member, targets))) as Tensor1D,
  );
}
