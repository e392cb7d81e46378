import { checkFinite, checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import type { BilevelProblem } from '../problem.js';

/** Data and options of {@link tvDenoising}. */
export interface TvDenoisingOptions {
  /** `[signals, length]` or `[images, rows, columns]`. */
  readonly shape: readonly number[];
  /** Noisy signals or images, flat, row-major. */
  readonly noisy: ArrayLike<number>;
  /** What they should become. */
  readonly clean: ArrayLike<number>;
  /** One weight, or one for each position (shared by all signals). Default `'single'` */
  readonly weights?: 'single' | 'perPosition';
  /**
   * ν > 0 that rounds the kink of the total variation, or `'learned'`: the last entry of θ is then log ν. Default `'learned'`
   */
  readonly smoothing?: number | 'learned';
}

const CALLER = 'tvDenoising';

/** ∇x at one position, and what is needed of it. */
type Visit = (i: number, right: number, down: number) => void;

/**
 * Denoising by smoothed total variation with learned parameters, 1-D and 2-D, in float64 on the host:
 *
 * `h(x, θ) = ½‖x − y‖² + Σ_i e^{θ_i} √(|(∇x)_i|² + ν²)`, `g(x) = ½‖x − x_clean‖² / signals`
 *
 * with forward differences that are 0 at the border. θ is `[log weight, log ν]`, `[log weight]`, or with
 * `weights: 'perPosition'` a log weight for each position, and log ν.
 * μ = 1; L = 1 + 4 d max e^θ/ν in d dimensions.
 *
 * @throws TypeError or RangeError for bad shapes or options, or data that is not finite
 * @see Salehi et al. 2023, arXiv 2308.10098, total variation denoising
 */
export function tvDenoising(options: TvDenoisingOptions): BilevelProblem {
  checkOptions(CALLER, options, ['shape', 'noisy', 'clean', 'weights', 'smoothing']);
  const { shape, noisy, clean, weights = 'single', smoothing = 'learned' } = options;
  if (!Array.isArray(shape) || shape.length < 2 || shape.length > 3) {
    throw new RangeError(
      `${CALLER}: shape must be [signals, length] or [images, rows, columns], got [${shape}]`,
    );
  }
  for (const length of shape) checkInteger(CALLER, 'shape', length, { min: 1 });
  const [count, ...spatial] = shape as [number, ...number[]];
  const positions = spatial.reduce((a, b) => a * b, 1);
  const size = count * positions;
  for (const [name, data] of Object.entries({ noisy, clean })) {
    if (data?.length !== size) {
      throw new RangeError(`${CALLER}: ${name} must have ${size} numbers, got ${data?.length}`);
    }
    checkFinite(CALLER, name, data);
  }
  checkOneOf(CALLER, 'weights', weights, ['single', 'perPosition']);
  if (smoothing !== 'learned') checkNumber(CALLER, 'smoothing', smoothing, { above: 0 });

  const y = Float64Array.from(noisy);
  const target = Float64Array.from(clean);
  const width = spatial.length === 2 ? spatial[1]! : positions;
  const local = weights === 'perPosition';
  const learned = smoothing === 'learned';
  const weightCount = local ? positions : 1;
  const dimensions = spatial.length;
  const thetaSize = weightCount + (learned ? 1 : 0);
  const nuOf = (theta: Float64Array) => (learned ? Math.exp(theta[weightCount]!) : smoothing);
  const strengthsOf = (theta: Float64Array) => theta.subarray(0, weightCount).map(Math.exp);

  /** Forward differences of x at every position; beyond the border they are 0. */
  const eachGradient = (x: Float64Array, visit: Visit) => {
    for (let start = 0; start < size; start += positions) {
      for (let p = 0; p < positions; p++) {
        const i = start + p;
        const right = (p + 1) % width === 0 ? 0 : x[i + 1]! - x[i]!;
        const down = dimensions === 2 && p + width < positions ? x[i + width]! - x[i]! : 0;
        visit(i, right, down);
      }
    }
  };
  /** result += ∇ᵀ of one difference. */
  const scatter = (result: Float64Array, i: number, right: number, down: number) => {
    const p = i % positions;
    result[i] = result[i]! - right - down;
    if ((p + 1) % width !== 0) result[i + 1] = result[i + 1]! + right;
    if (down !== 0) result[i + width] = result[i + width]! + down;
  };
  const strengthAt = (strengths: Float64Array, i: number) => strengths[local ? i % positions : 0]!;

  return {
    xSize: size,
    thetaSize,
    precision: 'float64',
    strongConvexity: 1,
    smoothness: (theta) =>
      1 + (4 * dimensions * strengthsOf(theta).reduce((a, b) => Math.max(a, b))) / nuOf(theta),
    upperSmoothness: 1 / count,
    upperConvex: true,
    lowerGradient(x, theta) {
      const nu2 = nuOf(theta) ** 2;
      const strengths = strengthsOf(theta);
      const result = new Float64Array(size);
      eachGradient(x, (i, right, down) => {
        const scale = strengthAt(strengths, i) / Math.sqrt(right * right + down * down + nu2);
        scatter(result, i, scale * right, scale * down);
      });
      for (let i = 0; i < size; i++) result[i] = result[i]! + x[i]! - y[i]!;
      return result;
    },
    upper(x) {
      let value = 0;
      const gradient = new Float64Array(size);
      for (let i = 0; i < size; i++) {
        const error = x[i]! - target[i]!;
        value += error * error;
        gradient[i] = error / count;
      }
      return { value: value / (2 * count), gradient };
    },
    hessianProduct(x, theta, v) {
      const nu2 = nuOf(theta) ** 2;
      const strengths = strengthsOf(theta);
      const result = Float64Array.from(v);
      const [rights, downs] = [new Float64Array(size), new Float64Array(size)];
      eachGradient(v, (i, right, down) => {
        rights[i] = right;
        downs[i] = down;
      });
      eachGradient(x, (i, right, down) => {
        const square = right * right + down * down + nu2;
        const scale = strengthAt(strengths, i) / Math.sqrt(square);
        const along = (right * rights[i]! + down * downs[i]!) / square;
        scatter(
          result,
          i,
          scale * (rights[i]! - right * along),
          scale * (downs[i]! - down * along),
        );
      });
      return result;
    },
    crossProduct(x, theta, v) {
      const nu2 = nuOf(theta) ** 2;
      const strengths = strengthsOf(theta);
      const result = new Float64Array(thetaSize);
      const [rights, downs] = [new Float64Array(size), new Float64Array(size)];
      eachGradient(v, (i, right, down) => {
        rights[i] = right;
        downs[i] = down;
      });
      eachGradient(x, (i, right, down) => {
        const square = right * right + down * down + nu2;
        const along =
          (strengthAt(strengths, i) * (right * rights[i]! + down * downs[i]!)) / Math.sqrt(square);
        const at = local ? i % positions : 0;
        result[at] = result[at]! + along;
        if (learned) result[weightCount] = result[weightCount]! - (along * nu2) / square;
      });
      return result;
    },
  };
}
