/** Sums over the ordered pairs of an image's patches, a few images at a time. */
import {
  add,
  concat,
  div,
  expandDims,
  log,
  mul,
  neg,
  reshape,
  sigmoid,
  slice,
  step,
  sub,
  sum,
  type Tensor,
  type TensorContainerObject,
  tidy,
} from '@tensorflow/tfjs-core';

/** Pairs held at once, in each of a few tensors. */
const PAIRS_AT_ONCE = 2 ** 22;

/** What the pairs are made of. */
export interface PairInputs {
  /** `e`, shape `[N, M]`. */
  readonly predictions: Tensor;
  /** `l`, shape `[N, M]`. */
  readonly targets: Tensor;
  /** Of images, shape `[N]`. */
  readonly weights?: Tensor | undefined;
  /** Default {@link PAIRS_AT_ONCE}; of one image all are taken in any case. */
  readonly pairsAtOnce?: number;
}

/**
 * Calls `visit` for some images after the other, with `e_j − e_i` at `[n, i, j]`, and with the image's weight where
 * `l_j > l_i` and 0 elsewhere. The other half of the ordered pairs would cost the same again, since σ(−d_ij) = σ(d_ji).
 */
function overPairs<T extends TensorContainerObject>(
  { predictions, targets, weights, pairsAtOnce = PAIRS_AT_ONCE }: PairInputs,
  visit: (difference: Tensor, counts: Tensor) => T,
): T[] {
  const [N, M] = predictions.shape as [number, number];
  const images = Math.max(1, Math.floor(pairsAtOnce / M ** 2));
  const results: T[] = [];
  for (let from = 0; from < N; from += images) {
    const size = Math.min(images, N - from);
    const differences = (x: Tensor) => {
      const rows = slice(x, [from, 0], [size, M]);
      return sub(expandDims(rows, 1), expandDims(rows, 2));
    };
    const visitChunk = () => {
      const later = step(differences(targets));
      const own = weights && reshape(slice(weights, [from], [size]), [size, 1, 1]);
      return visit(differences(predictions), own ? mul(later, own) : later);
    };
    results.push(tidy(visitChunk));
  }
  return results;
}

const total = (terms: Tensor[]): Tensor => terms.reduce((a, b) => add(a, b));

/** `Σ −log(σ(e_j − e_i) + ε)` over pairs with `l_j > l_i`, and their number; weighted. */
export function pairCosts(inputs: PairInputs, epsilon: number): { cost: Tensor; pairs: Tensor } {
  const parts = overPairs(inputs, (difference, counts) => ({
    cost: neg(sum(mul(counts, log(add(sigmoid(difference), epsilon))))),
    pairs: sum(counts),
  }));
  return { cost: total(parts.map((p) => p.cost)), pairs: total(parts.map((p) => p.pairs)) };
}

/** Gradient of that sum in the predictions, shape `[N, M]`, and the number of pairs. */
export function pairSlopes(inputs: PairInputs, epsilon: number): { slopes: Tensor; pairs: Tensor } {
  const parts = overPairs(inputs, (difference, counts) => {
    const s = sigmoid(difference);
    // −σ′ / (σ + ε), with σ′ = σ(d) σ(−d): 1 − σ would lose all digits of a saturated pair.
    const each = neg(div(mul(counts, mul(s, sigmoid(neg(difference)))), add(s, epsilon)));
    return { slopes: sub(sum(each, 1), sum(each, 2)), pairs: sum(counts) };
  });
  return {
    slopes: concat(
      parts.map((p) => p.slopes),
      0,
    ),
    pairs: total(parts.map((p) => p.pairs)),
  };
}

/** Number of pairs whose predictions are in the order of the targets, and of all. */
export function pairsInOrder(inputs: PairInputs): { right: Tensor; pairs: Tensor } {
  const parts = overPairs(inputs, (difference, counts) => ({
    right: sum(mul(counts, step(difference))),
    pairs: sum(counts),
  }));
  return { right: total(parts.map((p) => p.right)), pairs: total(parts.map((p) => p.pairs)) };
}
