import { checkInteger, checkTensor } from '@orth/backend';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { checkDirections } from './hostChecks.js';

/**
 * Chooses those descriptions of one class that agree best with the others: of greatest mean cosine to them.
 *
 * @param features - of M descriptions, shape `[M, D]`
 * @param k - how many to keep, 1 … M. Default 4, or M if there are fewer
 * @returns their row numbers, ascending
 * @throws (rejects with) TypeError or RangeError for a wrong shape or `k`, and for rows with NaN, or 0 throughout
 * @example
 * const kept = (await filterDescriptions(features, 4)).map((i) => descriptions[i]);
 */
export async function filterDescriptions(features: Tensor2D, k?: number): Promise<number[]> {
  const caller = 'filterDescriptions';
  checkTensor(caller, 'features', features, { rank: 2 });
  const [rows, size] = features.shape;
  const wanted = k ?? Math.min(4, rows);
  checkInteger(caller, 'k', wanted, { min: 1, max: rows });
  await checkDirections(caller, 'features', features);
  const values = await features.data();
  const units = Array.from({ length: rows }, (_, i) => {
    const row = Float64Array.from(values.subarray(i * size, (i + 1) * size));
    const length = Math.hypot(...row);
    return row.map((x) => x / length);
  });
  // Σ_j <u_i, u_j> = <u_i, Σ_j u_j>, which counts a row's own cosine, 1, in every row alike.
  const total = new Float64Array(size);
  for (const row of units) {
    for (let i = 0; i < size; i++) total[i]! += row[i]!;
  }
  const scores = units.map((row) => row.reduce((sum, x, i) => sum + x * total[i]!, 0));
  return scores
    .map((_, i) => i)
    .sort((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, wanted)
    .sort((a, b) => a - b);
}
