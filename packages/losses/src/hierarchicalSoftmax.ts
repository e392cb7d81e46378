import { checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  div,
  expandDims,
  floor,
  gather,
  logSoftmax,
  matMul,
  mul,
  neg,
  oneHot,
  ones,
  reshape,
  squeeze,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { checkEach, type LossOptions, resolveLossOptions } from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/** Weights of a two-level softmax with g groups of n slots; class c is slot `c mod n` of group `⌊c / n⌋`. */
export interface HierarchicalSoftmaxWeights {
  /** `[d, g]` */
  readonly groupWeights: Tensor2D;
  /** `[g]` */
  readonly groupBiases: Tensor1D;
  /** `[g, d, n]` */
  readonly slotWeights: Tensor3D;
  /** `[g, n]` */
  readonly slotBiases: Tensor2D;
}

function checkWeights(caller: string, hidden: Tensor, weights: HierarchicalSoftmaxWeights) {
  checkTensor(caller, 'hidden', hidden, { rank: 2 });
  checkOptions(caller, weights, ['groupWeights', 'groupBiases', 'slotWeights', 'slotBiases']);
  const { groupWeights, groupBiases, slotWeights, slotBiases } = weights;
  const d = hidden.shape[1]!;
  checkTensor(caller, 'slotWeights', slotWeights, { shape: [null, d, null] });
  const [groups, , slots] = slotWeights.shape;
  checkTensor(caller, 'groupWeights', groupWeights, { shape: [d, groups] });
  checkTensor(caller, 'groupBiases', groupBiases, { shape: [groups] });
  checkTensor(caller, 'slotBiases', slotBiases, { shape: [groups, slots] });
  return { groups, slots };
}

/**
 * `−log p(c)` of a two-level softmax, `p(c) = softmax(h W₁ + b₁)_group · softmax(h W₂[group] + b₂[group])_slot`: O(√D d)
 * for each example. Slots beyond the last class keep probability. What the Z-loss layer is compared with.
 *
 * @param hidden - `[m, d]`, float32
 * @param labels - class indices, int32 or float32, `[m]`
 * @returns in nats; a scalar, or `[m]` for `reduction: 'none'`
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape or, where values are checked,
 *   labels out of range
 * @see Goodman 2001, "Classes for fast maximum entropy training"
 */
export function hierarchicalSoftmaxLoss(
  hidden: Tensor2D,
  labels: Tensor,
  weights: HierarchicalSoftmaxWeights,
  options: LossOptions = {},
): Tensor {
  const caller = 'hierarchicalSoftmaxLoss';
  const { groups, slots } = checkWeights(caller, hidden, weights);
  const m = hidden.shape[0];
  checkTensor(caller, 'labels', labels, { shape: [m], dtype: ['int32', 'float32'] });
  const { reduction, weights: sample, checkValues } = resolveLossOptions(caller, options, [], [m]);
  if (checkValues) {
    const classes = groups * slots;
    const rule = `be integers in [0, ${classes})`;
    checkEach(caller, 'labels', labels, rule, (y) => Number.isInteger(y) && y >= 0 && y < classes);
  }
  return tidy(() => {
    const index = cast(labels, 'float32');
    // Half a slot keeps the quotient away from the integer that rounding could take it across.
    const group = floor(div(add(index, 0.5), slots));
    const slot = cast(sub(index, mul(group, slots)), 'int32') as Tensor1D;
    const row = cast(group, 'int32') as Tensor1D;
    const groupLogits = add(matMul(hidden, weights.groupWeights), weights.groupBiases);
    const own = gather(weights.slotWeights, row);
    const slotLogits = add(
      squeeze(matMul(expandDims(hidden, 1), own), [1]),
      gather(weights.slotBiases, row),
    );
    const pick = (logits: Tensor, at: Tensor1D, n: number) =>
      sum(mul(logSoftmax(logits), indicators(at, n)), -1);
    const losses = neg(add(pick(groupLogits, row, groups), pick(slotLogits, slot, slots)));
    return reduceLoss(losses, sample, reduction);
  });
}

/** One-hot rows `[m, n]`; tfjs's own refuses a single column. */
const indicators = (at: Tensor1D, n: number): Tensor =>
  n === 1 ? ones([at.shape[0], 1]) : cast(oneHot(at, n), 'float32');

/**
 * Log-probabilities of all slots of a two-level softmax, see {@link hierarchicalSoftmaxLoss}: O(D d) for each example.
 * @param hidden - `[m, d]`, float32
 * @returns `[m, g · n]`; the first D are the classes
 * @throws as {@link hierarchicalSoftmaxLoss}
 */
export function hierarchicalLogProbabilities(
  hidden: Tensor2D,
  weights: HierarchicalSoftmaxWeights,
): Tensor2D {
  const { groups, slots } = checkWeights('hierarchicalLogProbabilities', hidden, weights);
  const m = hidden.shape[0];
  return tidy(() => {
    const group = logSoftmax(add(matMul(hidden, weights.groupWeights), weights.groupBiases));
    const everywhere = matMul(expandDims(hidden, 0), weights.slotWeights);
    const slot = logSoftmax(add(everywhere, expandDims(weights.slotBiases, 1)));
    // [g, m, n] + [g, m, 1]
    const groupColumns = reshape(transpose(group), [groups, m, 1]);
    return reshape(transpose(add(slot, groupColumns), [1, 0, 2]), [m, groups * slots]);
  });
}
