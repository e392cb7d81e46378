import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  customGrad,
  div,
  divNoNan,
  type GradSaveFunc,
  mul,
  reshape,
  type Scalar,
  scalar,
  sum,
  type Tensor,
  type Tensor1D,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkNotNaN, shouldCheckValues } from './lossArguments.js';
import { type Negatives, slopesOverBlocks, sumOverBlocks } from './pairBlocks.js';
import { sumOverCells } from './pairCells.js';

/**
 * What the sum over pairs is divided by: `'mean'` by the number of pairs, so that the learning rate does not depend on
 * the batch; `'sumOverNegatives'` by the number of positives alone, as the paper's equation 3 has it.
 */
export type MwReduction = 'mean' | 'sumOverNegatives';

/**
 * How pairs are summed: `'blocks'` on the device, `maxPairs` at a time, O(P N); `'cells'` on the host, O(P + N), exact to
 * 1e−9, see {@link mwLossFromScores}; `'auto'` takes blocks for few pairs and where tensors lie on a device.
 */
export type PairMethod = 'auto' | 'blocks' | 'cells';

/** Options of {@link mwLossFromScores}. */
export interface MwScoreOptions {
  /** τ > 0: differences of scores are divided by it. Default 1 */
  readonly temperature?: number;
  /** See {@link MwReduction}. Default `'mean'` */
  readonly reduction?: MwReduction;
  /** See {@link PairMethod}. Default `'auto'` */
  readonly method?: PairMethod;
  /** Pairs in memory at a time with `'blocks'`, integer >= 1; 4 bytes each, some five times over. Default 2²² */
  readonly maxPairs?: number;
  /** Whether NaN is looked for, which reads from the device. Default: where that is free, as for other losses */
  readonly checkValues?: boolean;
}

/** Names of {@link MwScoreOptions}. */
export const MW_OPTIONS: readonly (keyof MwScoreOptions)[] = [
  'temperature',
  'reduction',
  'method',
  'maxPairs',
  'checkValues',
];

/** Fewer pairs than this are summed on the device: reading would take longer. */
const FEW_PAIRS = 2 ** 14;

/**
 * Mann–Whitney loss of scores: softplus of `(negative − positive) / τ`, over all pairs. Its mean bounds the area over the
 * ROC curve: `areaOverCurve <= loss / log 2`.
 *
 * With `'cells'` no pair is looked at: scores are summed up in intervals of length τ, between which softplus is a
 * polynomial, a straight line or an exponential. 4,096 positives and 16.8 million negatives, 6.9 · 10¹⁰ pairs, take
 * seconds. Memory: the scores, their gradients, and 160 bytes for each interval that is not empty. With `'blocks'`,
 * 20 bytes for each of `maxPairs` pairs. A negative of −Infinity takes no part (but counts in the mean).
 *
 * @param positives - any shape, float32, P scores
 * @param negatives - any shape, float32, N scores
 * @returns scalar, in nats; differentiable in both
 * @throws TypeError for an unknown option or another dtype; RangeError if either is empty, for temperature <= 0, and where
 *   values are checked for NaN; NonFiniteError where `'cells'` meets scores without a finite loss
 * @example
 * const loss = mwLossFromScores(scoresOfClicked, scoresOfShown, { temperature: 0.1 });
 * @see Sheikholeslami et al. 2025, arXiv 2510.00137, eq. 3; the sum without pairs derived here
 */
export function mwLossFromScores(
  positives: Tensor,
  negatives: Tensor,
  options: MwScoreOptions = {},
): Scalar {
  const caller = 'mwLossFromScores';
  checkTensor(caller, 'positives', positives);
  checkTensor(caller, 'negatives', negatives);
  checkOptions(caller, options, MW_OPTIONS);
  const resolved = resolveMwOptions(caller, options, 1);
  return tidy(() => {
    const flat = (x: Tensor) => reshape(x, [x.size]) as Tensor1D;
    return pairLoss(caller, flat(positives), { scores: flat(negatives) }, resolved);
  });
}

/** Options with every default in place. */
export interface ResolvedMwOptions extends Required<MwScoreOptions> {
  /** Whether tensors lie in host memory. */
  readonly onHost: boolean;
}

/**
 * Checks the options that MW losses share.
 * @throws as {@link mwLossFromScores}
 */
export function resolveMwOptions(
  caller: string,
  options: MwScoreOptions,
  defaultTemperature: number,
): ResolvedMwOptions {
  const { temperature = defaultTemperature, reduction = 'mean', method = 'auto' } = options;
  const { maxPairs = 2 ** 22 } = options;
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  checkOneOf(caller, 'reduction', reduction, ['mean', 'sumOverNegatives']);
  checkOneOf(caller, 'method', method, ['auto', 'blocks', 'cells']);
  checkInteger(caller, 'maxPairs', maxPairs, { min: 1 });
  const checkValues = shouldCheckValues(caller, options.checkValues);
  const onHost = shouldCheckValues(caller, undefined);
  return { temperature, reduction, method, maxPairs, checkValues, onHost };
}

/** The loss of scores of checked shapes. */
export function pairLoss(
  caller: string,
  positives: Tensor1D,
  negatives: Negatives,
  options: ResolvedMwOptions,
): Scalar {
  const { temperature, reduction, method, maxPairs, onHost, checkValues } = options;
  const few = positives.size * negatives.scores.size <= FEW_PAIRS;
  const cells = method === 'cells' || (method === 'auto' && !few && onHost);
  const { counts, skipEvery } = negatives;
  if (checkValues && !cells) {
    checkNotNaN(caller, 'positives', positives);
    checkNotNaN(caller, 'negatives', negatives.scores);
  }
  const skipped = skipEvery === undefined ? 0 : Math.ceil(negatives.scores.size / skipEvery);
  const divide = (total: Tensor) => {
    const mean = div(total, positives.size);
    if (reduction !== 'mean') return mean;
    // A count summed in float32 is exact up to 2²⁴, and off by 1e−7 of itself beyond.
    return divNoNan(mean, counts ? sum(counts) : scalar(negatives.scores.size - skipped));
  };
  const op = customGrad((s, t, save) => {
    const [p, n] = [s as Tensor1D, t as Tensor1D];
    if (cells) {
      const own = { scores: n.dataSync(), counts: counts?.dataSync(), skipEvery };
      const host = sumOverCells(caller, p.dataSync(), own, temperature);
      const gradFunc = (dy: Tensor) => {
        const slopes = host.gradients(divide(dy).dataSync()[0]!);
        return [tensor(slopes.positives), tensor(slopes.negatives)];
      };
      return { value: divide(scalar(host.value)), gradFunc };
    }
    (save as GradSaveFunc)([p, n, ...(counts ? [counts] : [])]);
    return {
      value: divide(sumOverBlocks(p, { ...negatives, scores: n }, temperature, maxPairs)),
      gradFunc: (dy: Tensor, [savedP, savedN]: Tensor[]) => {
        const saved = { ...negatives, scores: savedN as Tensor1D };
        const slopes = slopesOverBlocks(savedP as Tensor1D, saved, temperature, maxPairs);
        const factor = divide(dy);
        return [mul(slopes.positives, factor), mul(slopes.negatives, factor)];
      },
    };
  });
  return op(positives, negatives.scores) as Scalar;
}
