/**
 * Rules that turn predicted losses into probabilities, in float64 on the host. Each takes rows of K losses, one row or
 * more, and returns as many probabilities: ≥ 0, 0 where masked, a row sums to 1 up to rounding.
 */
import { checkFinite, checkInteger, checkNumber, checkOptions } from '@orth/backend';

/** Options of the exploration rules. */
export interface ExplorationOptions {
  /** Length K of a row. Default: all of the losses are one row */
  readonly actionCount?: number;
  /** As many as losses, nonzero where the action may be taken; each row needs one. Default all */
  readonly mask?: ArrayLike<number>;
  /** As many as losses, filled and returned in place of a new array. May be the losses themselves. */
  readonly out?: Float64Array;
}

/** Least predicted loss in {@link reweightedInverseGapWeighting}: 0 would be divided by 0. */
export const SMALLEST_PREDICTED_LOSS = 1e-7;

/** A rule on one row of losses `x[at … at + n)`, which replaces them; `open` of them are not masked. */
type Rule = (x: Float64Array, at: number, n: number, open: Opening) => void;

/** @internal Which actions of a row may be taken. */
export class Opening {
  count = 0;
  private mask: ArrayLike<number> | undefined;
  private at = 0;

  /** Looks at `mask[at … at + n)`. */
  set(mask: ArrayLike<number> | undefined, at: number, n: number): number {
    this.mask = mask;
    this.at = at;
    this.count = n;
    if (mask) {
      this.count = 0;
      for (let a = 0; a < n; a++) if (mask[at + a] !== 0) this.count++;
    }
    return this.count;
  }

  /** Whether action `a` may be taken. */
  has(a: number): boolean {
    return this.mask === undefined || this.mask[this.at + a] !== 0;
  }
}

const opening = new Opening();

function byRow(
  caller: string,
  losses: ArrayLike<number>,
  options: ExplorationOptions,
  rule: Rule,
): Float64Array {
  checkOptions(caller, options, ['actionCount', 'mask', 'out']);
  const { actionCount: n = losses.length, mask, out = new Float64Array(losses.length) } = options;
  checkInteger(caller, 'actionCount', n, { min: 1 });
  if (losses.length % n !== 0) {
    throw new RangeError(
      `${caller}: predictedLoss must hold rows of ${n}, got ${losses.length} numbers`,
    );
  }
  checkFinite(caller, 'predictedLoss', losses);
  for (const [name, other] of [
    ['mask', mask],
    ['out', out],
  ] as const) {
    if (other && other.length !== losses.length) {
      throw new RangeError(
        `${caller}: ${name} must have length ${losses.length}, got ${other.length}`,
      );
    }
  }
  for (let at = 0; at < losses.length; at += n) {
    if (opening.set(mask, at, n) > 0) continue;
    throw new RangeError(`${caller}: mask must leave an action in every row, got none at ${at}`);
  }
  if ((out as unknown) !== losses) out.set(losses);
  for (let at = 0; at < out.length; at += n) {
    opening.set(mask, at, n);
    rule(out, at, n, opening);
  }
  return out;
}

/** First open action with the least loss. */
function best(x: Float64Array, at: number, n: number, open: Opening): number {
  let b = -1;
  for (let a = 0; a < n; a++) if (open.has(a) && (b < 0 || x[at + a]! < x[at + b]!)) b = a;
  return b;
}

/** @internal */
export const gapRow =
  (gamma: number, reweighted: boolean): Rule =>
  (x, at, n, open) => {
    // Before b is looked for: actions below the least loss are ties.
    if (reweighted) {
      for (let a = at; a < at + n; a++) {
        x[a] = Math.min(1, Math.max(SMALLEST_PREDICTED_LOSS, x[a]!));
      }
    }
    const b = best(x, at, n, open);
    const least = x[at + b]!;
    const K = open.count;
    let others = 0;
    for (let a = 0; a < n; a++) {
      if (a === b) continue;
      let p = 0;
      if (open.has(a)) {
        const gap = gamma * (x[at + a]! - least);
        p = reweighted ? least / (K * least + gap) : 1 / (K + gap);
      }
      x[at + a] = p;
      others += p;
    }
    x[at + b] = Math.max(0, 1 - others);
    normalizeRow(x, at, n);
  };

/** Rounding alone can leave the sum off 1 by a few units of the last place. */
function normalizeRow(x: Float64Array, at: number, n: number): void {
  let sum = 0;
  for (let a = 0; a < n; a++) sum += x[at + a]!;
  for (let a = 0; a < n; a++) x[at + a]! /= sum;
}

/** @internal */
export const greedyRow =
  (epsilon: number): Rule =>
  (x, at, n, open) => {
    const least = x[at + best(x, at, n, open)]!;
    let ties = 0;
    for (let a = 0; a < n; a++) if (open.has(a) && x[at + a] === least) ties++;
    for (let a = 0; a < n; a++) {
      const share = x[at + a] === least ? (1 - epsilon) / ties : 0;
      x[at + a] = open.has(a) ? epsilon / open.count + share : 0;
    }
  };

/** @internal */
export const softmaxRow =
  (temperature: number): Rule =>
  (x, at, n, open) => {
    const least = x[at + best(x, at, n, open)]!;
    for (let a = 0; a < n; a++) {
      x[at + a] = open.has(a) ? Math.exp((least - x[at + a]!) / temperature) : 0;
    }
    normalizeRow(x, at, n);
  };

/** @internal Projects probabilities on {p ≥ minimum/K}: waterfilling on what is above the floor. */
export const floorRow =
  (minimum: number): Rule =>
  (x, at, n, open) => {
    const floor = minimum / open.count;
    const excess: number[] = [];
    for (let a = 0; a < n; a++) if (open.has(a)) excess.push(x[at + a]! - floor);
    excess.sort((p, q) => q - p);
    // Largest k whose k greatest entries stay positive when lowered by the same amount to the sum 1 − minimum.
    let sum = 0;
    let lower = 0;
    for (let k = 0; k < excess.length; k++) {
      sum += excess[k]!;
      const candidate = (sum - (1 - minimum)) / (k + 1);
      if (k === 0 || excess[k]! > candidate) lower = candidate;
    }
    for (let a = 0; a < n; a++) {
      const p = floor + Math.max(0, x[at + a]! - floor - lower);
      x[at + a] = open.has(a) ? Math.min(1, p) : 0;
    }
  };

/** @internal */
export const uniformRow: Rule = (x, at, n, open) => {
  for (let a = 0; a < n; a++) x[at + a] = open.has(a) ? 1 / open.count : 0;
};

/**
 * Inverse gap weighting: `p_a = 1/(K + γ(ŷ_a − ŷ_b))` for a ≠ b, the rest to the first best arm b.
 *
 * @param predictedLoss - ŷ, rows of K
 * @param gamma - γ ≥ 0 and finite: 0 is uniform, large is greedy
 * @returns as many probabilities; `p_b ≥ 1/K`, `p_a ≤ 1/K`
 * @throws TypeError or RangeError for a bad `gamma`, length, mask, or a loss that is not finite
 * @see Foster and Rakhlin 2020, arXiv:2002.04926, algorithm 1
 */
export function inverseGapWeighting(
  predictedLoss: ArrayLike<number>,
  gamma: number,
  options: ExplorationOptions = {},
): Float64Array {
  const caller = 'inverseGapWeighting';
  checkNumber(caller, 'gamma', gamma, { min: 0 });
  return byRow(caller, predictedLoss, options, gapRow(gamma, false));
}

/**
 * Reweighted inverse gap weighting: `p_a = ŷ_b/(K ŷ_b + γ(ŷ_a − ŷ_b))` for a ≠ b, the rest to the first best arm b:
 * little exploration where the best arm loses little.
 *
 * @param predictedLoss - ŷ, rows of K; clipped to [{@link SMALLEST_PREDICTED_LOSS}, 1]
 * @param gamma - γ ≥ 0 and finite
 * @throws TypeError or RangeError for a bad `gamma`, length, mask, or a loss that is not finite
 * @see Foster and Krishnamurthy 2021, arXiv:2107.02237, algorithm 1
 */
export function reweightedInverseGapWeighting(
  predictedLoss: ArrayLike<number>,
  gamma: number,
  options: ExplorationOptions = {},
): Float64Array {
  const caller = 'reweightedInverseGapWeighting';
  checkNumber(caller, 'gamma', gamma, { min: 0 });
  return byRow(caller, predictedLoss, options, gapRow(gamma, true));
}

/**
 * ε/K to every arm, and 1 − ε shared by the arms of the least predicted loss.
 *
 * @param epsilon - ε in [0, 1]
 * @throws TypeError or RangeError for a bad `epsilon`, length, mask, or a loss that is not finite
 */
export function epsilonGreedyProbabilities(
  predictedLoss: ArrayLike<number>,
  epsilon: number,
  options: ExplorationOptions = {},
): Float64Array {
  const caller = 'epsilonGreedyProbabilities';
  checkNumber(caller, 'epsilon', epsilon, { min: 0, max: 1 });
  return byRow(caller, predictedLoss, options, greedyRow(epsilon));
}

/**
 * `p_a ∝ exp(−ŷ_a / temperature)`, Boltzmann's rule.
 *
 * @param temperature - > 0, in the unit of the loss
 * @throws TypeError or RangeError for a bad `temperature`, length, mask, or a loss that is not finite
 */
export function softmaxProbabilities(
  predictedLoss: ArrayLike<number>,
  temperature: number,
  options: ExplorationOptions = {},
): Float64Array {
  const caller = 'softmaxProbabilities';
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  return byRow(caller, predictedLoss, options, softmaxRow(temperature));
}

/**
 * The probabilities nearest to `probabilities` (Euclidean) with at least `minimum/K` on every open arm.
 *
 * @param probabilities - rows of K that sum to 1
 * @param minimum - in [0, 1]; 1 makes them uniform
 * @throws TypeError or RangeError for a bad `minimum`, length or mask, or probabilities that are not finite
 */
export function probabilityFloor(
  probabilities: ArrayLike<number>,
  minimum: number,
  options: ExplorationOptions = {},
): Float64Array {
  const caller = 'probabilityFloor';
  checkNumber(caller, 'minimum', minimum, { min: 0, max: 1 });
  return byRow(caller, probabilities, options, floorRow(minimum));
}

/**
 * The first action whose cumulative probability exceeds `u`; by rounding none may, then the last that is possible.
 *
 * @param u - uniform in [0, 1)
 */
export function sampleAction(probabilities: ArrayLike<number>, u: number): number {
  let sum = 0;
  let last = 0;
  for (let a = 0; a < probabilities.length; a++) {
    if (!(probabilities[a]! > 0)) continue;
    last = a;
    sum += probabilities[a]!;
    if (u < sum) return a;
  }
  return last;
}
