import { checkFinite, checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { type Tensor, tensor2d } from '@tensorflow/tfjs-core';
import { type ClassLabels, checkLabels } from './compatibilityLoss.js';
import { type EmbeddingMetric, type RetrievalOptions, retrieval } from './retrieval.js';

/**
 * In which order to re-embed a gallery with the new model, when that is done bit by bit: what is farthest from its class'
 * mean first.
 *
 * @param gallery - stored embeddings, or what the forward map makes of them, shape `[N, m]`
 * @param labels - N numbers
 * @param metric - distance to the mean: Euclidean, or 1 − cosine. Default `'euclidean'`
 * @returns the N places in order; equally far ones as they are stored
 * @throws (rejects with) TypeError or RangeError if labels do not fit, embeddings are not finite, or the metric is another
 * @see Ricci et al. 2025, arXiv 2509.16664v2, section 3.6
 */
export async function backfillOrder(
  gallery: Tensor,
  labels: ClassLabels,
  metric: EmbeddingMetric = 'euclidean',
): Promise<Int32Array> {
  const caller = 'backfillOrder';
  checkTensor(caller, 'gallery', gallery, { rank: 2 });
  const [count, m] = gallery.shape as [number, number];
  checkLabels(caller, 'labels', labels, count);
  checkOneOf(caller, 'metric', metric, ['cosine', 'euclidean']);
  const values = await gallery.data();
  checkFinite(caller, 'gallery', values);
  const means = new Map<number, { sum: Float64Array; count: number }>();
  for (let i = 0; i < count; i++) {
    const mean = means.get(labels[i]!) ?? { sum: new Float64Array(m), count: 0 };
    means.set(labels[i]!, mean);
    mean.count++;
    for (let j = 0; j < m; j++) mean.sum[j]! += values[i * m + j]!;
  }
  const distances = Float64Array.from({ length: count }, (_, i) => {
    const { sum, count: size } = means.get(labels[i]!)!;
    const mean = sum.map((x) => x / size);
    const row = Float64Array.from({ length: m }, (_, j) => values[i * m + j]!);
    return metric === 'euclidean' ? euclidean(row, mean) : 1 - cosine(row, mean);
  });
  const order = Int32Array.from({ length: count }, (_, i) => i);
  return order.sort((a, b) => distances[b]! - distances[a]! || a - b);
}

function euclidean(x: Float64Array, y: Float64Array): number {
  return Math.sqrt(x.reduce((total, v, i) => total + (v - y[i]!) ** 2, 0));
}

function cosine(x: Float64Array, y: Float64Array): number {
  const product = (a: Float64Array, b: Float64Array) => a.reduce((t, v, i) => t + v * b[i]!, 0);
  return product(x, y) / Math.max(Math.sqrt(product(x, x) * product(y, y)), 1e-300);
}

/** Options of {@link backfillCurve}. */
export interface BackfillCurveOptions extends RetrievalOptions {
  /** Points on the curve, from nothing to everything re-embedded, integer >= 2. Default 11 */
  readonly points?: number;
}

/** Retrieval as a gallery is re-embedded. */
export interface BackfillCurve {
  /** Share of the gallery that is re-embedded, from 0 to 1. */
  readonly fraction: readonly number[];
  /** At each point one number for each k. */
  readonly cmc: readonly (readonly number[])[];
  readonly mAP: readonly number[];
  /** Areas under the curves over the fraction: the mean over the time of a steady backfill. */
  readonly area: { readonly cmc: readonly number[]; readonly mAP: number };
}

/** What {@link backfillCurve} compares: embeddings of queries and of one gallery, before and after. */
export interface BackfillGallery {
  /** Queries of the new model in the common space, `[Q, m]`. */
  readonly query: Tensor;
  readonly queryLabels: ClassLabels;
  /** Stored embeddings, or what the forward map makes of them, `[N, m]`. */
  readonly before: Tensor;
  /** Those of the new model, `[N, m]`. */
  readonly after: Tensor;
  readonly galleryLabels: ClassLabels;
}

/**
 * Retrieval while a gallery is re-embedded in a given order.
 *
 * @param order - all places of the gallery, of {@link backfillOrder} or another
 * @throws (rejects with) as {@link retrieval}; RangeError if `order` is no permutation
 */
export async function backfillCurve(
  gallery: BackfillGallery,
  order: ArrayLike<number>,
  options: BackfillCurveOptions = {},
): Promise<BackfillCurve> {
  const caller = 'backfillCurve';
  const { query, queryLabels, before, after, galleryLabels } = gallery;
  checkTensor(caller, 'before', before, { rank: 2 });
  checkTensor(caller, 'after', after, { shape: before.shape });
  checkOptions(caller, options, ['points', 'k', 'excludeSelf', 'metric']);
  const { points = 11, ...rest } = options;
  checkInteger(caller, 'points', points, { min: 2 });
  const [count, m] = before.shape as [number, number];
  const places = new Set(Array.from(order));
  const fits = (i: number) => Number.isInteger(i) && i >= 0 && i < count;
  if (order.length !== count || places.size !== count || ![...places].every(fits)) {
    throw new RangeError(`${caller}: order must hold each of 0 … ${count - 1} once`);
  }
  const mixed = Float32Array.from(await before.data());
  const fresh = await after.data();
  const fraction: number[] = [];
  const cmc: (readonly number[])[] = [];
  const mAP: number[] = [];
  for (let point = 0, done = 0; point < points; point++) {
    const upTo = Math.round((count * point) / (points - 1));
    for (; done < upTo; done++) {
      const from = order[done]! * m;
      for (let j = 0; j < m; j++) mixed[from + j] = fresh[from + j]!;
    }
    const now = tensor2d(mixed.slice(), [count, m]);
    try {
      const result = await retrieval(query, now, queryLabels, galleryLabels, rest);
      fraction.push(upTo / count);
      cmc.push(result.cmc);
      mAP.push(result.mAP);
    } finally {
      now.dispose();
    }
  }
  const area = (y: readonly number[]) =>
    fraction
      .slice(1)
      .reduce((total, x, i) => total + ((x - fraction[i]!) * (y[i]! + y[i + 1]!)) / 2, 0);
  const perK = cmc[0]!.map((_, at) => area(cmc.map((each) => each[at]!)));
  return { fraction, cmc, mAP, area: { cmc: perK, mAP: area(mAP) } };
}
