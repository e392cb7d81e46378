import { NonFiniteError } from '@orth/backend';
import {
  type CellPolynomials,
  type CellTable,
  evaluate,
  type NumberSource,
  slopesAtS,
  slopesAtT,
  sumSoftplus,
  tabulate,
} from './chebyshevCells.js';

/** Negative scores on the host, and which of them count. */
export interface HostNegatives {
  /** `[N]` */
  readonly scores: ArrayLike<number>;
  /** `[N]`, 1 for those that count; all count without. */
  readonly counts?: ArrayLike<number> | undefined;
  /** Scores at multiples of this index do not count. */
  readonly skipEvery?: number | undefined;
}

/** A sum over pairs and its gradient, float64. */
export interface HostPairSum {
  readonly value: number;
  /** Gradients with respect to the scores, times a factor. */
  gradients(factor: number): { positives: Float32Array; negatives: Float32Array };
}

/**
 * `Σ softplus((t − s) / τ)` over positives s and negatives t that count, in O(P + N), see `chebyshevCells`. Scores that
 * take no part, −Infinity among the negatives and Infinity among the positives, add 0.
 *
 * Memory beside the scores and the gradients: 80 bytes for each interval of length τ that scores lie in, twice over, and at
 * most 16 MB to find them.
 *
 * @throws NonFiniteError if a score is NaN, a negative Infinity, or a positive −Infinity: the sum is not finite
 */
export function sumOverCells(
  caller: string,
  positives: ArrayLike<number>,
  negatives: HostNegatives,
  temperature: number,
): HostPairSum {
  const inverse = 1 / temperature;
  const source =
    ({ scores, counts, skipEvery = Infinity }: HostNegatives, absent: number): NumberSource =>
    (visit) => {
      for (let i = 0, skip = 0; i < scores.length; i++) {
        if (i === skip && skipEvery < Infinity) {
          skip += skipEvery;
          continue;
        }
        if (counts && counts[i] === 0) continue;
        const x = scores[i]! * inverse;
        if (Number.isFinite(x)) visit(x);
        else if (x !== absent) {
          throw new NonFiniteError(`${caller}: scores must make a finite loss, got ${scores[i]}`);
        }
      }
    };
  const s = tabulate(source({ scores: positives }, Infinity));
  const t = tabulate(source(negatives, -Infinity));
  const slopes = (
    { scores, counts, skipEvery = Infinity }: HostNegatives,
    table: CellTable,
    polynomials: CellPolynomials,
    factor: number,
  ) => {
    const out = new Float32Array(scores.length);
    for (let i = 0, skip = 0; i < scores.length; i++) {
      if (i === skip && skipEvery < Infinity) {
        skip += skipEvery;
        continue;
      }
      if (counts && counts[i] === 0) continue;
      const x = scores[i]! * inverse;
      if (!Number.isFinite(x)) continue;
      const index = Math.floor(x);
      out[i] = factor * evaluate(polynomials, table.find(index), index, x);
    }
    return out;
  };
  return {
    value: sumSoftplus(t, s),
    gradients: (factor) => ({
      positives: slopes({ scores: positives }, s, slopesAtS(t, s), -factor * inverse),
      negatives: slopes(negatives, t, slopesAtT(t, s), factor * inverse),
    }),
  };
}
