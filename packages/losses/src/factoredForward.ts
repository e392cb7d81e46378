/**
 * One exact step of stochastic gradient descent on `W = V U + 1ωᵀ`: Vincent, de Brébisson and Bouthillier 2015, arXiv
 * 1412.7091, whose letters are kept. Here what comes before W changes: O(m d²) for m examples, whatever D is.
 */
import type { FactoredWeights } from './factoredWeights.js';
import { addScaled, dot, multiply, total } from './hostProduct.js';
import type { SphericalLoss } from './sphericalLoss.js';

/** A batch on the host. */
export interface FactoredBatch {
  /** Examples. */
  readonly m: number;
  /** Targets of each example. */
  readonly K: number;
  /** H, `[m, d]` */
  readonly hidden: Float64Array;
  /** `[m, K]` */
  readonly labels: ArrayLike<number>;
  /** What each example's loss counts in the whole: 1/m for the mean. */
  readonly weights: Float64Array;
}

/** What the losses of a batch are, and all that the update needs; belongs to the weights as they were. */
export interface FactoredForward extends FactoredBatch {
  /** Loss of each example, averaged over its targets, without its weight. */
  readonly losses: Float64Array;
  /** Gradient of the weighted sum of losses with respect to H, `[m, d]`. */
  readonly hiddenGradient: Float64Array;
  /** Logits of the targets, `[m, K]`. */
  readonly targetLogits: Float64Array;
  /** q = Σ o² of each example. */
  readonly squares: Float64Array;
  /** s = Σ o of each example. */
  readonly sums: Float64Array;
  /** Different classes among the labels, and for each label which of them it is. */
  readonly classes: Int32Array;
  readonly classOf: Int32Array;
  /** Rows of V of these classes. */
  readonly rows: Float64Array;
  /** H Uᵀ */
  readonly HU: Float64Array;
  /** H Q */
  readonly HQ: Float64Array;
  /** H Q Hᵀ, `[m, m]` */
  readonly logitProducts: Float64Array;
  /** V[c] U summed over each example's targets with their derivatives, and the terms of ω and w̄. */
  readonly Z: Float64Array;
  /** Weighted derivatives by the target logits `[m, K]`, by q and by s. */
  readonly byTarget: Float64Array;
  readonly bySquares: Float64Array;
  readonly bySum: Float64Array;
}

/** Losses and the gradient with respect to H; changes nothing. */
export function factoredForward(
  weights: FactoredWeights,
  loss: SphericalLoss,
  batch: FactoredBatch,
): FactoredForward {
  const { m, K, hidden: H } = batch;
  const { D, d } = weights;
  const { U, omega, Q, columnSums } = weights.current;
  const HQ = new Float64Array(m * d);
  multiply(m, d, d, { data: H }, { data: Q }, HQ);
  const HU = new Float64Array(m * d);
  multiply(m, d, d, { data: H }, { data: U, transposed: true }, HU);
  const logitProducts = new Float64Array(m * m);
  multiply(m, m, d, { data: HQ }, { data: H, transposed: true }, logitProducts);

  const { classes, classOf } = distinct(batch.labels, m * K);
  const rows = new Float64Array(classes.length * d);
  for (let u = 0; u < classes.length; u++) weights.readRow(classes[u]!, rows, u * d);

  const losses = new Float64Array(m);
  const targetLogits = new Float64Array(m * K);
  const squares = new Float64Array(m);
  const sums = new Float64Array(m);
  const byTarget = new Float64Array(m * K);
  const bySquares = new Float64Array(m);
  const bySum = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    squares[i] = Math.max(logitProducts[i * m + i]!, 0);
    sums[i] = dot(d, H, i * d, columnSums, 0);
    const shift = dot(d, H, i * d, omega, 0);
    for (let t = i * K; t < (i + 1) * K; t++) {
      targetLogits[t] = dot(d, HU, i * d, rows, classOf[t]! * d) + shift;
      const terms = loss.evaluate(targetLogits[t]!, squares[i]!, sums[i]!, D);
      const weight = batch.weights[i]! / K;
      losses[i] = losses[i]! + terms.loss / K;
      byTarget[t] = weight * terms.target;
      bySquares[i] = bySquares[i]! + weight * terms.squares;
      bySum[i] = bySum[i]! + weight * terms.sum;
    }
  }

  // Z = (ga V[c]) U + (Σ ga) ωᵀ + gs w̄ᵀ
  const gaV = new Float64Array(m * d);
  for (let t = 0; t < m * K; t++) {
    const i = Math.floor(t / K);
    addScaled(d, byTarget[t]!, rows, classOf[t]! * d, gaV, i * d);
  }
  const Z = new Float64Array(m * d);
  multiply(m, d, d, { data: gaV }, { data: U }, Z);
  const hiddenGradient = new Float64Array(m * d);
  for (let i = 0; i < m; i++) {
    addScaled(d, total(byTarget, i * K, K), omega, 0, Z, i * d);
    addScaled(d, bySum[i]!, columnSums, 0, Z, i * d);
    for (let j = i * d; j < (i + 1) * d; j++) {
      hiddenGradient[j] = 2 * bySquares[i]! * HQ[j]! + Z[j]!;
    }
  }
  return {
    ...batch,
    losses,
    hiddenGradient,
    targetLogits,
    squares,
    sums,
    classes,
    classOf,
    rows,
    HU,
    HQ,
    logitProducts,
    Z,
    byTarget,
    bySquares,
    bySum,
  };
}

/** Different labels in order of appearance, and for each label which of them it is. */
function distinct(labels: ArrayLike<number>, count: number) {
  const seen = new Map<number, number>();
  const classOf = new Int32Array(count);
  for (let t = 0; t < count; t++) {
    const label = labels[t]!;
    let index = seen.get(label);
    if (index === undefined) {
      index = seen.size;
      seen.set(label, index);
    }
    classOf[t] = index;
  }
  return { classes: Int32Array.from(seen.keys()), classOf };
}
