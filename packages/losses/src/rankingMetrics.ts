/** Exact measures of a ranking, on the host in float64. Ties count one half in AUC. */
import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { Tensor } from '@tensorflow/tfjs-core';

/** Numbers in an array, or in a tensor, which is read. */
export type Scores = Tensor | ArrayLike<number>;

/** A receiver operating characteristic, from (0, 0) to (1, 1). */
export interface RocCurve {
  /** Share of negatives with a score >= the threshold, rising. */
  readonly falsePositiveRate: Float64Array;
  /** Share of positives with a score >= the threshold, rising. */
  readonly truePositiveRate: Float64Array;
  /** Falling; the first, above all scores, is Infinity. */
  readonly thresholds: Float64Array;
}

async function valuesOf(caller: string, argument: string, x: Scores): Promise<Float64Array> {
  const values = Float64Array.from(x instanceof Tensor ? await x.data() : x);
  if (values.length === 0) throw new RangeError(`${caller}: ${argument} must not be empty`);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(values[i])) continue;
    throw new RangeError(`${caller}: ${argument} must not be NaN, got NaN at index ${i}`);
  }
  return values;
}

/** Pairs (positive, negative) by which of them has the greater score. */
interface PairCounts {
  readonly above: number;
  readonly equal: number;
  readonly below: number;
}

/** Counts without looking at pairs: both sorted, O(n log n). Exact while there are fewer than 2⁵³. */
async function countPairs(caller: string, positives: Scores, negatives: Scores) {
  const p = (await valuesOf(caller, 'positives', positives)).sort();
  const n = (await valuesOf(caller, 'negatives', negatives)).sort();
  let [less, notGreater, above, equal] = [0, 0, 0, 0];
  for (const score of p) {
    while (less < n.length && n[less]! < score) less++;
    notGreater = Math.max(notGreater, less);
    while (notGreater < n.length && n[notGreater]! <= score) notGreater++;
    above += less;
    equal += notGreater - less;
  }
  const pairs = p.length * n.length;
  const counts: PairCounts = { above, equal, below: pairs - above - equal };
  return { counts, pairs };
}

/**
 * Area under the ROC curve: the probability that a positive has a greater score than a negative, ties counting one half.
 * Exact (Mann–Whitney), O(n log n).
 *
 * @param positives - scores of positives, any shape
 * @param negatives - scores of negatives, any shape
 * @throws RangeError if either is empty or holds NaN
 */
export async function rocAuc(positives: Scores, negatives: Scores): Promise<number> {
  const { counts, pairs } = await countPairs('rocAuc', positives, negatives);
  return (counts.above + counts.equal / 2) / pairs;
}

/**
 * Area over the ROC curve: the probability that a negative has the greater score, strictly. With ties' share t,
 * `rocAuc + areaOverCurve + t/2 = 1`; `mwLoss / log 2` bounds it from above.
 * @throws as {@link rocAuc}
 * @see Sheikholeslami et al. 2025, arXiv 2510.00137
 */
export async function areaOverCurve(positives: Scores, negatives: Scores): Promise<number> {
  const { counts, pairs } = await countPairs('areaOverCurve', positives, negatives);
  return counts.below / pairs;
}

/**
 * ROC curve with a point for each different score. The trapezoids under it add up to {@link rocAuc}. O(n log n).
 * @throws as {@link rocAuc}
 */
export async function rocCurve(positives: Scores, negatives: Scores): Promise<RocCurve> {
  const p = (await valuesOf('rocCurve', 'positives', positives)).sort().reverse();
  const n = (await valuesOf('rocCurve', 'negatives', negatives)).sort().reverse();
  const points: [number, number, number][] = [[0, 0, Infinity]];
  for (let [i, j] = [0, 0]; i < p.length || j < n.length; ) {
    const threshold = Math.max(p[i] ?? -Infinity, n[j] ?? -Infinity);
    while (i < p.length && p[i] === threshold) i++;
    while (j < n.length && n[j] === threshold) j++;
    points.push([j / n.length, i / p.length, threshold]);
  }
  return {
    falsePositiveRate: Float64Array.from(points, ([rate]) => rate),
    truePositiveRate: Float64Array.from(points, ([, rate]) => rate),
    thresholds: Float64Array.from(points, ([, , threshold]) => threshold),
  };
}

async function readRanking(caller: string, scores: Tensor, relevance: Tensor) {
  for (const [argument, x] of Object.entries({ scores, relevance })) {
    if (!(x instanceof Tensor)) throw new TypeError(`${caller}: ${argument} must be a tensor`);
    if (x.rank !== 2 || x.size === 0) {
      throw new RangeError(
        `${caller}: ${argument} must have shape [queries, documents], got shape [${x.shape}]`,
      );
    }
  }
  if (`${relevance.shape}` !== `${scores.shape}`) {
    throw new RangeError(
      `${caller}: relevance must have shape [${scores.shape}], got shape [${relevance.shape}]`,
    );
  }
  const [queries, documents] = scores.shape as [number, number];
  const s = await valuesOf(caller, 'scores', scores);
  const gains = await valuesOf(caller, 'relevance', relevance);
  const rows = Array.from({ length: queries }, (_, q) => ({
    scores: s.subarray(q * documents, (q + 1) * documents),
    gains: gains.subarray(q * documents, (q + 1) * documents),
  }));
  return rows;
}

/** Documents from the best score down, equal ones by index. */
const ranking = (scores: Float64Array): number[] =>
  Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);

/**
 * Reciprocal rank of the best relevant document among the first k, 0 where there is none, for each query; equal scores
 * rank by index.
 *
 * @param scores - `[queries, documents]`
 * @param relevance - same shape, > 0 for relevant documents
 * @param k - documents looked at. Default 10
 * @returns one number a query; their mean is the MRR@k
 * @throws TypeError or RangeError for another shape, an empty one, NaN, or k < 1
 */
export async function mrrAtK(scores: Tensor, relevance: Tensor, k = 10): Promise<Float64Array> {
  checkInteger('mrrAtK', 'k', k, { min: 1 });
  const rows = await readRanking('mrrAtK', scores, relevance);
  return Float64Array.from(rows, ({ scores: s, gains }) => {
    const place = ranking(s)
      .slice(0, k)
      .findIndex((i) => gains[i]! > 0);
    return place < 0 ? 0 : 1 / (place + 1);
  });
}

/** Options of {@link ndcgAtK}. */
export interface NdcgOptions {
  /** Gain of a document: its relevance, or `2^relevance − 1`. Default `'linear'` */
  readonly gain?: 'linear' | 'exponential';
}

/**
 * Normalised discounted cumulative gain of the first k documents, `Σ gain / log₂(rank + 1)` by that of the best order, 0
 * where nothing is relevant, for each query; equal scores rank by index.
 *
 * @param scores - `[queries, documents]`
 * @param relevance - same shape, >= 0
 * @param k - documents looked at. Default 10
 * @returns one number a query
 * @throws TypeError or RangeError for another shape, an empty one, NaN, or k < 1
 */
export async function ndcgAtK(
  scores: Tensor,
  relevance: Tensor,
  k = 10,
  options: NdcgOptions = {},
): Promise<Float64Array> {
  checkInteger('ndcgAtK', 'k', k, { min: 1 });
  checkOptions('ndcgAtK', options, ['gain']);
  const { gain = 'linear' } = options;
  checkOneOf('ndcgAtK', 'gain', gain, ['linear', 'exponential']);
  const worth = (relevant: number) => (gain === 'linear' ? relevant : 2 ** relevant - 1);
  const cumulative = (gains: number[]) =>
    gains.slice(0, k).reduce((sum, g, i) => sum + worth(g) / Math.log2(i + 2), 0);
  const rows = await readRanking('ndcgAtK', scores, relevance);
  return Float64Array.from(rows, ({ scores: s, gains }) => {
    const best = cumulative(Array.from(gains).sort((a, b) => b - a));
    return best > 0 ? cumulative(ranking(s).map((i) => gains[i]!)) / best : 0;
  });
}

/**
 * AUC over all queries together, of each query's relevant documents against its hardest others: one threshold for all.
 *
 * @param scores - `[queries, documents]`
 * @param relevance - same shape, > 0 for relevant documents
 * @param options.topNegatives - others taken from each query, the best by score. Default 500
 * @throws TypeError or RangeError for another shape, NaN, or where there is no relevant document or no other
 * @see Sheikholeslami et al. 2025, arXiv 2510.00137 (protocol of its tables)
 */
export async function pooledHardAuc(
  scores: Tensor,
  relevance: Tensor,
  options: { topNegatives?: number } = {},
): Promise<number> {
  checkOptions('pooledHardAuc', options, ['topNegatives']);
  const { topNegatives = 500 } = options;
  checkInteger('pooledHardAuc', 'topNegatives', topNegatives, { min: 1 });
  const positives: number[] = [];
  const negatives: number[] = [];
  for (const { scores: s, gains } of await readRanking('pooledHardAuc', scores, relevance)) {
    const others: number[] = [];
    for (let i = 0; i < s.length; i++) (gains[i]! > 0 ? positives : others).push(s[i]!);
    for (const score of others.sort((a, b) => b - a).slice(0, topNegatives)) negatives.push(score);
  }
  const { counts, pairs } = await countPairs('pooledHardAuc', positives, negatives);
  return (counts.above + counts.equal / 2) / pairs;
}
