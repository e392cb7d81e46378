/**
 * Bootstrap of a stream: each resample counts each round Poisson(1) times, which is what drawing n of n rounds with
 * replacement tends to (Oza and Russell 2001; Chamandy et al. 2012). Memory: the sums of each resample, whatever the
 * length of the stream.
 */
import { type Random, seededRandom } from '@orth/backend';

/** P(X ≤ k) of Poisson(1); beyond the last, float64 has no room left. */
const CUMULATIVE = (() => {
  const table: number[] = [];
  let term = Math.exp(-1);
  let sum = 0;
  for (let k = 0; k < 20; k++) {
    sum += term;
    table.push(sum);
    term /= k + 1;
  }
  return table;
})();

/** A Poisson(1) number, by inversion. */
export function poisson1(random: Random): number {
  const u = random.uniform();
  let k = 0;
  while (k < CUMULATIVE.length && u >= CUMULATIVE[k]!) k++;
  return k;
}

/** Quantile of sorted numbers, linear between neighbours. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const a = sorted[below]!;
  const b = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return a + (b - a) * (at - below);
}

/** Means of a vector of terms in many resamples of a stream. */
export class PoissonBootstrap {
  private readonly counts: Float64Array;
  private readonly sums: Float64Array;
  private readonly random: Random;

  constructor(
    readonly resamples: number,
    private readonly width: number,
    seed: number,
  ) {
    this.counts = new Float64Array(resamples);
    this.sums = new Float64Array(resamples * width);
    this.random = seededRandom(seed);
  }

  /** Takes a round into every resample. */
  add(terms: Float64Array): void {
    const { counts, sums, width, random } = this;
    for (let b = 0; b < counts.length; b++) {
      const times = poisson1(random);
      if (times === 0) continue;
      counts[b]! += times;
      const start = b * width;
      for (let i = 0; i < width; i++) sums[start + i]! += times * terms[i]!;
    }
  }

  /**
   * Percentile interval of a function of the means. Resamples in which it is not a number (a ratio without a weight) are
   * left out.
   */
  interval(value: (means: Float64Array) => number, confidence: number): [number, number] {
    const { counts, sums, width } = this;
    const values: number[] = [];
    for (let b = 0; b < counts.length; b++) {
      if (counts[b] === 0) continue;
      const means = sums.slice(b * width, (b + 1) * width).map((sum) => sum / counts[b]!);
      const x = value(means);
      if (Number.isFinite(x)) values.push(x);
    }
    if (values.length === 0) return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const sorted = Float64Array.from(values).sort();
    const tail = (1 - confidence) / 2;
    return [quantile(sorted, tail), quantile(sorted, 1 - tail)];
  }
}
