/** The losses of MSGCoOp as functions of text features, whatever these come from. */
import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  div,
  equal,
  expandDims,
  logSumExp,
  matMul,
  maximum,
  mean,
  mul,
  range,
  type Scalar,
  square,
  sub,
  sum,
  Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { rowLengths, unitRows } from './unitRows.js';

/** What the three losses count by, and the scale of logits. */
export interface PromptLossWeights {
  /** Of the pull towards `target`, >= 0. Default 8 */
  readonly semanticWeight?: number;
  /** Of the penalty on prompts that agree, >= 0. Default 1 */
  readonly diversityWeight?: number;
  /** exp(s), > 0. Default 100, CLIP's */
  readonly logitScale?: number;
}

/** Options of {@link promptLosses}. */
export interface PromptLossOptions extends PromptLossWeights {
  /** Features to be near to, shape `[C, D]`. Needed unless `semanticWeight` is 0 */
  readonly target?: Tensor;
}

/** Losses, all scalars. */
export type PromptLosses = {
  /** Cross-entropy of images. */
  readonly ce: Scalar;
  readonly semantic: Scalar;
  readonly diversity: Scalar;
  /** `ce + semanticWeight · semantic + diversityWeight · diversity`. */
  readonly total: Scalar;
};

/** ImageLabels of images: class numbers. */
export type ImageLabels = Tensor | ArrayLike<number>;

/** As in the authors' code. */
const COSINE_EPSILON = 1e-7;

/** The weights with defaults, all checked. */
export function resolveWeights(caller: string, options: PromptLossWeights) {
  const { semanticWeight = 8, diversityWeight = 1, logitScale = 100 } = options;
  checkNumber(caller, 'semanticWeight', semanticWeight, { min: 0 });
  checkNumber(caller, 'diversityWeight', diversityWeight, { min: 0 });
  checkNumber(caller, 'logitScale', logitScale, { above: 0 });
  return { semanticWeight, diversityWeight, logitScale };
}

/**
 * A classifier's rows: over prompts the mean of unit features. It makes every prompt's logits count alike, for the price
 * of one.
 *
 * @param textFeatures - of N prompts for C classes, shape `[N, C, D]`
 * @returns shape `[C, D]`
 * @throws TypeError or RangeError for another rank
 */
export function promptClassWeights(textFeatures: Tensor): Tensor2D {
  checkTensor('promptClassWeights', 'textFeatures', textFeatures, { rank: 3 });
  return tidy(() => mean(unitRows(textFeatures), 0) as Tensor2D);
}

/**
 * `logits[b, c] = mean_i exp(s) <u(x_b), u(t_ic)>`: the mean over prompts of CLIP's logits.
 *
 * @param textFeatures - shape `[N, C, D]`
 * @param imageFeatures - shape `[B, D]`
 * @param logitScale - exp(s). Default 100
 * @returns shape `[B, C]`
 * @throws TypeError or RangeError for shapes that do not fit
 */
export function promptLogits(
  textFeatures: Tensor,
  imageFeatures: Tensor,
  logitScale = 100,
): Tensor2D {
  const caller = 'promptLogits';
  checkTensor(caller, 'textFeatures', textFeatures, { rank: 3 });
  checkTensor(caller, 'imageFeatures', imageFeatures, { shape: [null, textFeatures.shape[2]!] });
  checkNumber(caller, 'logitScale', logitScale, { above: 0 });
  return tidy(() => {
    const weights = promptClassWeights(textFeatures);
    return mul(matMul(unitRows(imageFeatures) as Tensor2D, weights, false, true), logitScale);
  });
}

/**
 * `1 - mean_c cos(mean_i t_ic, target_c)`, the mean over prompts taken of features as they are, so that longer ones count
 * more. Between 0 and 2.
 *
 * @param textFeatures - shape `[N, C, D]`
 * @param target - shape `[C, D]`, of any length
 * @returns a scalar
 * @throws TypeError or RangeError for shapes that do not fit
 */
export function semanticLoss(textFeatures: Tensor, target: Tensor): Scalar {
  checkTensor('semanticLoss', 'textFeatures', textFeatures, { rank: 3 });
  checkTensor('semanticLoss', 'target', target, { shape: textFeatures.shape.slice(1) });
  return tidy(() => {
    const average = mean(textFeatures, 0);
    const lengths = mul(rowLengths(average), rowLengths(target));
    const cosines = div(sum(mul(average, target), -1), maximum(lengths, COSINE_EPSILON));
    return sub(1, mean(cosines)) as Scalar;
  });
}

/**
 * `mean_c mean_{i<j} cos(t_ic, t_jc)²`: 1 if all prompts coincide, 0 if their features are orthogonal, 0 for one prompt.
 * Where they coincide its gradient is 0: it never parts what is equal.
 *
 * @param textFeatures - shape `[N, C, D]`
 * @returns a scalar
 * @throws TypeError or RangeError for another rank
 */
export function diversityLoss(textFeatures: Tensor): Scalar {
  checkTensor('diversityLoss', 'textFeatures', textFeatures, { rank: 3 });
  const [n, classes] = textFeatures.shape as [number, number];
  return tidy(() => {
    if (n === 1) return mul(sum(textFeatures), 0) as Scalar;
    const units = transpose(unitRows(textFeatures), [1, 0, 2]);
    const cosines = matMul(units, units, false, true);
    const pairs = Float32Array.from({ length: n * n }, (_, at) => (at % n > at / n ? 1 : 0));
    const total = sum(mul(square(cosines), tensor2d(pairs, [n, n])));
    return div(total, (classes * n * (n - 1)) / 2) as Scalar;
  });
}

/**
 * All losses of MSGCoOp. Differentiable with respect to both kinds of features.
 *
 * @param features - `textFeatures` of N prompts for C classes, shape `[N, C, D]`, and `imageFeatures`, shape `[B, D]`
 * @param labels - B class numbers; those of a tensor are not checked, since that would need a read
 * @throws TypeError or RangeError for shapes that do not fit, labels out of range, a missing target, or a wrong option
 * @see Wang et al. 2025, "MSGCoOp", arXiv 2507.21786, and its code: mean over classes of every term
 */
export function promptLosses(
  features: { readonly textFeatures: Tensor; readonly imageFeatures: Tensor },
  labels: ImageLabels,
  options: PromptLossOptions = {},
): PromptLosses {
  const caller = 'promptLosses';
  checkOptions(caller, options, ['semanticWeight', 'diversityWeight', 'logitScale', 'target']);
  const { semanticWeight, diversityWeight, logitScale } = resolveWeights(caller, options);
  const { textFeatures, imageFeatures } = features;
  checkTensor(caller, 'textFeatures', textFeatures, { rank: 3 });
  const [, classes, size] = textFeatures.shape as [number, number, number];
  checkTensor(caller, 'imageFeatures', imageFeatures, { shape: [null, size] });
  const { target } = options;
  if (target) checkTarget(caller, target, classes, size);
  else if (semanticWeight > 0) {
    throw new TypeError(`${caller}: target must be given where semanticWeight is not 0, got none`);
  }
  checkLabels(caller, labels, imageFeatures.shape[0]!, classes);
  return tidy(() => {
    const wanted = labels instanceof Tensor ? labels : tensor1d([...Array.from(labels)], 'int32');
    const logits = promptLogits(textFeatures, imageFeatures, logitScale);
    // Not oneHot, which refuses a single class.
    const numbers = range(0, classes, 1, 'int32');
    const isLabel = cast(equal(expandDims(wanted, 1), numbers), 'float32');
    const hits = mul(logits, isLabel);
    const ce = mean(sub(logSumExp(logits, -1), sum(hits, -1))) as Scalar;
    const semantic = target
      ? semanticLoss(textFeatures, target)
      : (mul(sum(textFeatures), 0) as Scalar);
    const diversity = diversityLoss(textFeatures);
    const guided = semanticWeight > 0 ? add(ce, mul(semantic, semanticWeight)) : ce;
    const total =
      diversityWeight > 0 ? add(guided, mul(diversity, diversityWeight)) : add(guided, 0);
    return { ce, semantic, diversity, total: total as Scalar };
  });
}

/** @throws TypeError or RangeError unless there is a row for each class */
export function checkTarget(
  caller: string,
  target: unknown,
  classes: number,
  featureDim: number,
): asserts target is Tensor {
  checkTensor(caller, 'target', target, { rank: 2 });
  if (target.shape[0] !== classes || target.shape[1] !== featureDim) {
    throw new RangeError(
      `${caller}: target must have a row for each class, shape [${classes},${featureDim}], got shape [${target.shape}]`,
    );
  }
}

/** @throws TypeError or RangeError for another count, or, if they are no tensor, for one that is no class number */
export function checkLabels(
  caller: string,
  labels: ImageLabels,
  count: number,
  classes: number,
): void {
  if (labels instanceof Tensor) {
    checkTensor(caller, 'labels', labels, { shape: [count], dtype: ['int32'] });
    return;
  }
  if (typeof labels !== 'object' || labels === null || labels.length !== count) {
    const got = (labels as ArrayLike<number> | null)?.length ?? typeof labels;
    throw new RangeError(`${caller}: labels must be ${count}, one for each image, got ${got}`);
  }
  for (const label of Array.from(labels)) {
    checkInteger(caller, 'labels', label, { min: 0, below: classes });
  }
}
