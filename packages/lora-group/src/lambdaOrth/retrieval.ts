import { checkFinite, checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  matMul,
  mul,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { type ClassLabels, checkLabels, unitRows } from './compatibilityLoss.js';

/** How near two embeddings are. */
export type EmbeddingMetric = 'cosine' | 'euclidean';

/** Options of {@link retrieval}. */
export interface RetrievalOptions {
  /** Ranks up to which a hit counts, integers >= 1. Default `[1, 5]` */
  readonly k?: readonly number[];
  /** Whether query i must not find gallery item i, as where both are of the same items. Default false */
  readonly excludeSelf?: boolean;
  /** Default `'cosine'` */
  readonly metric?: EmbeddingMetric;
}

/** How well queries find their class. */
export interface RetrievalResult {
  /** For each k the share of queries with an item of their class among the k nearest (cumulative matching characteristic). */
  readonly cmc: readonly number[];
  /** Mean over queries of the average precision: the mean of the precision at each relevant item's rank. */
  readonly mAP: number;
  /** Queries that count: those with an item of their class in the gallery. */
  readonly queries: number;
}

/** So many similarities are read back at a time. */
const ENTRIES_AT_ONCE = 2 ** 22;

/**
 * Retrieval of items of the same class. Similarities on the device, ranks on the host; equally near items in the gallery's
 * order.
 *
 * @param query - shape `[Q, m]`
 * @param gallery - shape `[G, m]`
 * @param queryLabels - Q numbers
 * @param galleryLabels - G numbers
 * @throws (rejects with) TypeError or RangeError if the arguments do not fit, embeddings are not finite, or no query has an
 *   item of its class in the gallery
 * @example
 * const { cmc, mAP } = await retrieval(adapter.backward(hNew), hOld, labels, labels, { excludeSelf: true });
 */
export async function retrieval(
  query: Tensor,
  gallery: Tensor,
  queryLabels: ClassLabels,
  galleryLabels: ClassLabels,
  options: RetrievalOptions = {},
): Promise<RetrievalResult> {
  const caller = 'retrieval';
  checkTensor(caller, 'query', query, { rank: 2 });
  checkTensor(caller, 'gallery', gallery, { shape: [null, query.shape[1]!] });
  const [Q, G] = [query.shape[0]!, gallery.shape[0]!];
  checkLabels(caller, 'queryLabels', queryLabels, Q);
  checkLabels(caller, 'galleryLabels', galleryLabels, G);
  checkOptions(caller, options, ['k', 'excludeSelf', 'metric']);
  const { k = [1, 5], excludeSelf = false, metric = 'cosine' } = options;
  for (const each of k) checkInteger(caller, 'k', each, { min: 1 });
  checkOneOf(caller, 'metric', metric, ['cosine', 'euclidean']);
  const hits = k.map(() => 0);
  let precision = 0;
  let queries = 0;
  const atOnce = Math.max(1, Math.floor(ENTRIES_AT_ONCE / G));
  for (let from = 0; from < Q; from += atOnce) {
    const count = Math.min(atOnce, Q - from);
    const block = tidy(() => similarities(slice(query, [from, 0], [count, -1]), gallery, metric));
    const values = await block.data();
    block.dispose();
    checkFinite(caller, 'embeddings', values);
    for (let i = 0; i < count; i++) {
      const self = excludeSelf ? from + i : -1;
      const row = values.subarray(i * G, (i + 1) * G);
      const ranks = relevantRanks(row as Float32Array, queryLabels[from + i]!, galleryLabels, self);
      if (ranks.length === 0) continue;
      queries++;
      k.forEach((most, at) => {
        if (ranks[0]! <= most) hits[at]!++;
      });
      precision += ranks.reduce((total, rank, at) => total + (at + 1) / rank, 0) / ranks.length;
    }
  }
  if (queries === 0) {
    throw new RangeError(`${caller}: galleryLabels must hold the class of a query, got none`);
  }
  return { cmc: hits.map((count) => count / queries), mAP: precision / queries, queries };
}

function similarities(query: Tensor, gallery: Tensor, metric: EmbeddingMetric): Tensor {
  if (metric === 'cosine') return matMul(unitRows(query), unitRows(gallery), false, true);
  // −‖q − g‖² but for ‖q‖², which does not change the order.
  const lengths = transpose(sum(square(gallery), 1, true));
  return sub(mul(matMul(query, gallery, false, true), 2), lengths);
}

/** Ranks, from 1, of the items of a class, ascending. */
function relevantRanks(
  row: Float32Array,
  label: number,
  labels: ClassLabels,
  self: number,
): number[] {
  const order: number[] = [];
  for (let j = 0; j < row.length; j++) if (j !== self) order.push(j);
  order.sort((a, b) => row[b]! - row[a]! || a - b);
  const ranks: number[] = [];
  order.forEach((j, at) => {
    if (labels[j] === label) ranks.push(at + 1);
  });
  return ranks;
}
