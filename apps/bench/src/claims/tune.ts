/** Learning rates tuned alike for both sides of a claim. */
import type { SeedResult } from '../harness/repro.js';

/** Best of a few learning rates by the mean over seeds, the same count for both sides. */
export interface Tuned {
  readonly learningRate: number;
  /** The rate in words; says so when it is the grid's first or last, where a better one may lie outside. */
  readonly chosen: string;
  readonly values: readonly number[];
}

/**
 * The best of `rates` by the mean of a measure over seeds; what diverges is out.
 * @param measure - smaller is better
 */
export async function tune(
  rates: readonly number[],
  seeds: readonly number[],
  measure: (learningRate: number, seed: number) => number | Promise<number>,
): Promise<Tuned> {
  const results: (Tuned & { mean: number })[] = [];
  for (const learningRate of rates) {
    const values: number[] = [];
    for (const seed of seeds) values.push(await measure(learningRate, seed));
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const atEdge = rates.length > 1 && [rates[0], rates.at(-1)].includes(learningRate);
    const chosen = `${learningRate}${atEdge ? ' (edge of the grid)' : ''}`;
    results.push({ learningRate, chosen, values, mean });
  }
  const finite = results.filter(({ mean }) => Number.isFinite(mean));
  const best = finite.sort((a, b) => a.mean - b.mean)[0];
  if (!best) throw new Error(`every learning rate of ${rates.join(', ')} diverged`);
  return best;
}

/** Both sides' numbers, seed by seed. */
export const pair = (seeds: readonly number[], baseline: Tuned, ours: Tuned): SeedResult[] =>
  seeds.map((seed, i) => ({ seed, baseline: baseline.values[i]!, ours: ours.values[i]! }));
