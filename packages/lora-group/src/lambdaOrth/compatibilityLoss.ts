import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  div,
  eye,
  logSoftmax,
  matMul,
  maximum,
  mean,
  mul,
  neg,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';

/** Class labels of items: numbers, any. */
export type ClassLabels = ArrayLike<number>;

/** Squares below this count as 0 where lengths are divided by. */
const TINY = 1e-24;

/** Rows of length 1; those of length 0 stay. */
export const unitRows = (x: Tensor): Tensor => div(x, sqrt(maximum(sum(square(x), 1, true), TINY)));

/**
 * Contrastive loss: cross-entropy of the softmax over candidates of cosine similarity / τ against the uniform distribution over
 * the candidates of the query's class, itself among them; mean over queries. Differentiable.
 *
 * @param queries - shape `[N, m]`
 * @param candidates - shape `[N, m]`, row i of the same item as query i
 * @param labels - N numbers; null if each item is a class of its own
 * @param tau - temperature, > 0. Default 0.1
 * @returns a scalar
 * @throws TypeError or RangeError if the arguments do not fit
 * @see Ricci et al. 2025, arXiv 2509.16664v2, eq. 8; Khosla et al. 2020, "Supervised Contrastive Learning"
 */
export function contrastiveLoss(
  queries: Tensor,
  candidates: Tensor,
  labels: ClassLabels | null,
  tau = 0.1,
): Scalar {
  checkTensor('contrastiveLoss', 'queries', queries, { rank: 2 });
  checkTensor('contrastiveLoss', 'candidates', candidates, { shape: queries.shape });
  checkLabels('contrastiveLoss', 'labels', labels, queries.shape[0]!);
  checkNumber('contrastiveLoss', 'tau', tau, { above: 0 });
  return tidy(() => {
    const similarity = matMul(unitRows(queries), unitRows(candidates), false, true);
    const logProbability = logSoftmax(div(similarity, tau));
    const targets = labels ? classTargets(labels) : eye(queries.shape[0]!);
    return neg(mean(sum(mul(targets, logProbability), 1))) as Scalar;
  });
}

/** Demands as many labels as items. */
export function checkLabels(
  caller: string,
  name: string,
  labels: ClassLabels | null,
  count: number,
): void {
  if (labels === null) return;
  if (typeof labels !== 'object' || !('length' in labels)) {
    throw new TypeError(`${caller}: ${name} must be a list of numbers or null, got ${labels}`);
  }
  if (labels.length !== count) {
    throw new RangeError(`${caller}: ${name} must be ${count} numbers, got ${labels.length}`);
  }
}

/** Row i is uniform over the items of i's class. */
function classTargets(labels: ClassLabels): Tensor {
  const n = labels.length;
  const sizes = new Map<number, number>();
  for (let i = 0; i < n; i++) sizes.set(labels[i]!, (sizes.get(labels[i]!) ?? 0) + 1);
  const values = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    const share = 1 / sizes.get(labels[i]!)!;
    for (let j = 0; j < n; j++) if (labels[j] === labels[i]) values[i * n + j] = share;
  }
  return tensor2d(values, [n, n]);
}

/** Embeddings of a batch, all in the old space. */
export interface MappedEmbeddings {
  /** `B(h_new)`, shape `[N, m]`. */
  readonly backward: Tensor;
  /** `F(h_old)`, shape `[N, m]`; null without a forward map. */
  readonly forward: Tensor | null;
  /** `h_old`, its first m features, shape `[N, m]`. */
  readonly old: Tensor;
}

/** Options of {@link compatibilityLoss}. */
export interface CompatibilityLossOptions {
  /** Temperature of the contrastive parts, > 0. Default 0.1 */
  readonly tau?: number;
  /** Factors of {@link CompatibilityLoss}'s forward, backward and contrastive parts, >= 0. Default `[1, 1, 1]` */
  readonly weights?: readonly [number, number, number];
  /** Whether squared errors are divided by m, so that all parts are of like size. Default: if m > 16 */
  readonly perFeature?: boolean;
}

/** Parts of the loss, scalars. */
export interface CompatibilityLoss {
  /** `‖F(h_old) − B(h_new)‖²`, mean over items; 0 without a forward map. */
  readonly forward: Scalar;
  /** `‖B(h_new) − h_old‖²`, mean over items. */
  readonly backward: Scalar;
  /**
   * `L(F(h_old), B(h_new)) + L(F(h_old), h_old)` of {@link contrastiveLoss}; without a forward map `L(B(h_new), h_old)`.
   */
  readonly contrastive: Scalar;
  /** Their weighted sum. */
  readonly total: Scalar;
}

/** Demands options of {@link compatibilityLoss}. */
export function checkLossOptions(caller: string, options: CompatibilityLossOptions): void {
  const { tau = 0.1, weights = [1, 1, 1] } = options;
  checkNumber(caller, 'tau', tau, { above: 0 });
  if (!Array.isArray(weights) || weights.length !== 3) {
    throw new TypeError(`${caller}: weights must be three numbers, got ${JSON.stringify(weights)}`);
  }
  for (const weight of weights) checkNumber(caller, 'weights', weight, { min: 0 });
}

/**
 * What keeps new embeddings compatible with old ones: both maps fit, and classes stay together across them. Differentiable
 * with respect to mapped embeddings.
 *
 * @param labels - N numbers; null: unsupervised, each item a class of its own
 * @throws TypeError or RangeError if the arguments do not fit
 * @see Ricci et al. 2025, arXiv 2509.16664v2, eq. 7 to 10. Squares are summed over features and averaged over items
 */
export function compatibilityLoss(
  embeddings: MappedEmbeddings,
  labels: ClassLabels | null,
  options: CompatibilityLossOptions = {},
): CompatibilityLoss {
  const caller = 'compatibilityLoss';
  const { backward: B, forward: F, old } = embeddings;
  checkTensor(caller, 'old', old, { rank: 2 });
  const [count, m] = old.shape as [number, number];
  checkTensor(caller, 'backward', B, { shape: [count, m] });
  if (F !== null) checkTensor(caller, 'forward', F, { shape: [count, m] });
  checkLabels(caller, 'labels', labels, count);
  checkOptions(caller, options, ['tau', 'weights', 'perFeature']);
  checkLossOptions(caller, options);
  const { tau = 0.1, weights = [1, 1, 1], perFeature = m > 16 } = options;
  return tidy(() => {
    const error = (x: Tensor, y: Tensor) =>
      div(mean(sum(square(sub(x, y)), 1)), perFeature ? m : 1);
    const backward = error(B, old) as Scalar;
    const forward = (F ? error(F, B) : mul(backward, 0)) as Scalar;
    const contrastive = (
      F
        ? add(contrastiveLoss(F, B, labels, tau), contrastiveLoss(F, old, labels, tau))
        : contrastiveLoss(B, old, labels, tau)
    ) as Scalar;
    const total = add(
      add(mul(forward, weights[0]), mul(backward, weights[1])),
      mul(contrastive, weights[2]),
    ) as Scalar;
    return { forward, backward, contrastive, total };
  });
}
