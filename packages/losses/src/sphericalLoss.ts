import { checkNumber, checkOptions } from '@orth/backend';

/** A loss of one example and one target, with its partial derivatives. */
export interface SphericalTerms {
  readonly loss: number;
  /** ∂L/∂o_c */
  readonly target: number;
  /** ∂L/∂q */
  readonly squares: number;
  /** ∂L/∂s */
  readonly sum: number;
}

/**
 * A loss that depends on the D logits o only through the target's logit o_c, `q = Σ o²` and `s = Σ o`: what
 * {@link SphericalOutputLayer} can train without looking at D classes. Its gradient is
 * `∂L/∂o_k = L_s + 2 L_q o_k + [k = c] L_c`.
 *
 * Computed on the host in float64. {@link sphericalLoss} makes the known ones; your own needs a name, which checkpoints
 * keep.
 * @see Vincent, de Brébisson and Bouthillier 2015, arXiv 1412.7091
 */
export interface SphericalLoss {
  readonly name: string;
  /** Loss and partial derivatives for target logit, q, s, and the number of classes D. */
  evaluate(target: number, squares: number, sum: number, classes: number): SphericalTerms;
}

/** Names that {@link sphericalLoss} knows. */
export type SphericalLossName = 'zLoss' | 'taylorSoftmax' | 'sphericalSoftmax' | 'squaredError';

/** Parameters of {@link sphericalLoss}; each belongs to one loss. */
export interface SphericalLossOptions {
  /** Z-loss: slope, > 0. Default 1 */
  readonly a?: number;
  /** Z-loss: z-score at which the loss bends, any finite number. Default 0; for many classes 5 – 20 */
  readonly b?: number;
  /** Spherical softmax: added to each square, > 0. Default 1e−3 */
  readonly epsilon?: number;
}

/** `log(1 + eˣ)` without overflow. */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** `1 / (1 + e⁻ˣ)` without overflow. */
export const sigmoid = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));

/** Variance below this part of the mean square is rounding: the logits are equal. */
const FLAT = 1e-14;

function zLossTerms(a: number, b: number): SphericalLoss['evaluate'] {
  return (target, squares, sum, classes) => {
    const mean = sum / classes;
    const variance = squares / classes - mean * mean;
    if (!(variance > FLAT * (squares / classes))) {
      return { loss: softplus(a * b) / a, target: 0, squares: 0, sum: 0 };
    }
    const deviation = Math.sqrt(variance);
    const z = (target - mean) / deviation;
    const g = -sigmoid(a * (b - z));
    return {
      loss: softplus(a * (b - z)) / a,
      target: g / deviation,
      squares: (-g * z) / (2 * classes * variance),
      sum: (-g / deviation + (g * z * mean) / variance) / classes,
    };
  };
}

const taylorTerms: SphericalLoss['evaluate'] = (target, squares, sum, classes) => {
  const numerator = ((1 + target) ** 2 + 1) / 2;
  const denominator = classes + sum + squares / 2;
  return {
    loss: Math.log(denominator / numerator),
    target: -(1 + target) / numerator,
    squares: 0.5 / denominator,
    sum: 1 / denominator,
  };
};

function sphericalTerms(epsilon: number): SphericalLoss['evaluate'] {
  return (target, squares, _, classes) => {
    const numerator = target * target + epsilon;
    const denominator = squares + classes * epsilon;
    return {
      loss: Math.log(denominator / numerator),
      target: (-2 * target) / numerator,
      squares: 1 / denominator,
      sum: 0,
    };
  };
}

const squaredTerms: SphericalLoss['evaluate'] = (target, squares) => ({
  loss: squares - 2 * target + 1,
  target: -2,
  squares: 1,
  sum: 0,
});

const PARAMETERS: Readonly<Record<SphericalLossName, readonly string[]>> = {
  zLoss: ['a', 'b'],
  taylorSoftmax: [],
  sphericalSoftmax: ['epsilon'],
  squaredError: [],
};

/**
 * A loss for {@link SphericalOutputLayer}:
 *
 * - `'zLoss'`: `log(1 + exp(a (b − z))) / a`, z the target's z-score among the logits
 * - `'taylorSoftmax'`: `−log` of the target's share of `1 + o + o²/2`
 * - `'sphericalSoftmax'`: `−log` of the target's share of `o² + ε`
 * - `'squaredError'`: `Σ (o − y)²` to the one-hot target
 *
 * @throws TypeError for an unknown name, or a parameter that the loss does not have; RangeError for a ≤ 0, epsilon ≤ 0
 * @example
 * sphericalLoss('zLoss', { a: 0.3, b: 10 });
 * @see de Brébisson and Vincent 2016, arXiv 1604.08859 (Z-loss) and 1511.05042 (Taylor and spherical softmax)
 */
export function sphericalLoss(
  name: SphericalLossName,
  options: SphericalLossOptions = {},
): SphericalLoss {
  if (!Object.hasOwn(PARAMETERS, name)) {
    const known = Object.keys(PARAMETERS).join(', ');
    throw new TypeError(`sphericalLoss: name must be one of ${known}, got ${String(name)}`);
  }
  checkOptions('sphericalLoss', options, PARAMETERS[name]);
  const { a = 1, b = 0, epsilon = 1e-3 } = options;
  checkNumber('sphericalLoss', 'a', a, { above: 0 });
  checkNumber('sphericalLoss', 'b', b);
  checkNumber('sphericalLoss', 'epsilon', epsilon, { above: 0 });
  const evaluate = {
    zLoss: zLossTerms(a, b),
    taylorSoftmax: taylorTerms,
    sphericalSoftmax: sphericalTerms(epsilon),
    squaredError: squaredTerms,
  }[name];
  const values = { zLoss: `(${a}, ${b})`, sphericalSoftmax: `(${epsilon})` } as Record<
    string,
    string
  >;
  return { name: `${name}${values[name] ?? ''}`, evaluate };
}
