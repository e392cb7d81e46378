import { NonFiniteError } from '@orth/backend';
import {
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
}

/** A sum over pairs and its gradient, float64. */
export interface HostPairSum {
  readonly value: number;
  /** Gradients with respect to the scores. */
  gradients(): { positives: Float32Array; negatives: Float32Array };
}

/**
 * `Σ softplus((t − s) / τ)` over positives s and negatives t that count, in O(P + N), see `chebyshevCells`. Scores that
 * take no part, −Infinity among the negatives and Infinity among the positives, add 0.
 *
 * Memory beside the scores: 80 bytes for each interval of length τ that scores lie in, twice over, and the gradients.
 *
 * @throws NonFiniteError if a score is NaN, a negative Infinity, or a positive −Infinity: the sum is not finite
 */
export function sumOverCells(
  positives: ArrayLike<number>,
  negatives: HostNegatives,
  temperature: number,
): HostPairSum {
  const inverse = 1 / temperature;
  const { scores, counts } = negatives;
  const source =
    (
      values: ArrayLike<number>,
      mask: ArrayLike<number> | undefined,
      absent: number,
    ): NumberSource =>
    (visit) => {
      for (let i = 0; i < values.length; i++) {
        if (mask && mask[i] === 0) continue;
        const x = values[i]! * inverse;
        if (Number.isFinite(x)) visit(x);
        else if (x !== absent) {
          throw new NonFiniteError(`mwLoss: scores must make a finite loss, got ${values[i]}`);
        }
      }
    };
  const s = tabulate(source(positives, undefined, Infinity));
  const t = tabulate(source(scores, counts, -Infinity));
  return {
    value: sumSoftplus(t, s),
    gradients() {
      const slopes = (
        values: ArrayLike<number>,
        mask: ArrayLike<number> | undefined,
        table: typeof s,
        polynomials: Float64Array,
        factor: number,
      ) => {
        const out = new Float32Array(values.length);
        for (let i = 0; i < values.length; i++) {
          if (mask && mask[i] === 0) continue;
          const x = values[i]! * inverse;
          if (!Number.isFinite(x)) continue;
          const index = Math.floor(x);
          out[i] = factor * evaluate(polynomials, table.find(index), index, x);
        }
        return out;
      };
      return {
        positives: slopes(positives, undefined, s, slopesAtS(t, s), -inverse),
        negatives: slopes(scores, counts, t, slopesAtT(t, s), inverse),
      };
    },
  };
}
