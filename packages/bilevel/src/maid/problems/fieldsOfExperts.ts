import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  clone,
  conv2d,
  div,
  exp,
  grad,
  keep,
  mul,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor4D,
  transpose,
} from '@tensorflow/tfjs-core';
import { type TensorProblem, tensorProblem } from '../tensorProblem.js';

/** Data and options of {@link fieldsOfExperts}. */
export interface FieldsOfExpertsOptions {
  /** `[images, rows, columns, 1]`. */
  readonly noisy: Tensor;
  /** What they should become; same shape. */
  readonly clean: Tensor;
  /** Filters to learn, ≥ 1. Default 8 */
  readonly filters?: number;
  /** Their side in pixels, odd, ≥ 1. Default 3 */
  readonly filterSize?: number;
  /** ν > 0 that rounds the kink of the absolute value. Default 0.01 */
  readonly smoothing?: number;
}

/** A {@link fieldsOfExperts} problem: holds copies of its data until disposed. */
export interface FieldsOfExpertsProblem extends TensorProblem {
  dispose(): void;
}

/**
 * Denoising by learned filters: `h(x, θ) = ½‖x − y‖² + Σ_k e^{θ_k} Σ_p √((c_k * x)_p² + ν²)`,
 * `g(x) = ½‖x − x_clean‖² / images`. θ is the K log-weights followed by the K filters, `[K, side, side]` row-major.
 *
 * `⟨∇_x h, v⟩` is given in closed form, so that both products with second derivatives are first gradients: nothing rests
 * on the second derivative of a convolution, which TensorFlow.js does not have for filters. On tfjs's wasm backend,
 * `useBackend('wasm')` of `@orth/backend` supplies the first.
 * μ = 1; L = 1 + Σ_k e^{θ_k} ‖c_k‖₁²/ν.
 *
 * @throws TypeError or RangeError for bad shapes or options
 * @see Roth and Black 2009; Salehi et al. 2023, arXiv 2308.10098
 */
export function fieldsOfExperts(options: FieldsOfExpertsOptions): FieldsOfExpertsProblem {
  const caller = 'fieldsOfExperts';
  checkOptions(caller, options, ['noisy', 'clean', 'filters', 'filterSize', 'smoothing']);
  const { noisy, clean, filters = 8, filterSize = 3, smoothing = 0.01 } = options;
  checkTensor(caller, 'noisy', noisy, { shape: [null, null, null, 1] });
  checkTensor(caller, 'clean', clean, { shape: noisy.shape });
  checkInteger(caller, 'filters', filters, { min: 1 });
  checkInteger(caller, 'filterSize', filterSize, { min: 1 });
  if (filterSize % 2 === 0) {
    throw new RangeError(`${caller}: filterSize must be odd, got ${filterSize}`);
  }
  checkNumber(caller, 'smoothing', smoothing, { above: 0 });
  const y = keep(clone(noisy));
  const target = keep(clone(clean));
  const images = noisy.shape[0]!;
  const area = filterSize * filterSize;
  const thetaSize = filters * (1 + area);

  const weights = (theta: Tensor) => exp(slice(theta, [0], [filters]));
  const responses = (x: Tensor, theta: Tensor) => {
    const flat = reshape(slice(theta, [filters], [filters * area]), [filters, area]);
    const kernel = reshape(transpose(flat), [filterSize, filterSize, 1, filters]) as Tensor4D;
    return conv2d(x as Tensor4D, kernel, 1, 'same');
  };
  const nu2 = smoothing ** 2;
  const penaltyAlong = (x: Tensor, theta: Tensor, v: Tensor) => {
    const r = responses(x, theta);
    const slope = div(r, sqrt(add(square(r), nu2)));
    return sum(mul(mul(slope, responses(v, theta)), weights(theta)));
  };
  const penalty = (x: Tensor, theta: Tensor) =>
    sum(mul(sqrt(add(square(responses(x, theta)), nu2)), weights(theta)));
  const problem = tensorProblem({
    xShape: noisy.shape,
    thetaShape: [thetaSize],
    strongConvexity: 1,
    smoothness: (theta) => {
      let total = 1;
      for (let k = 0; k < filters; k++) {
        let size = 0;
        for (let i = 0; i < area; i++) size += Math.abs(theta[filters + k * area + i]!);
        total += (Math.exp(theta[k]!) * size * size) / smoothing;
      }
      return total;
    },
    upperSmoothness: 1 / images,
    upperConvex: true,
    lower: (x, theta) => add(mul(0.5, sum(square(sub(x, y)))), penalty(x, theta)),
    upper: (x) => div(sum(square(sub(x, target))), 2 * images),
    lowerGradient: (x, theta) => add(sub(x, y), grad((z: Tensor) => penalty(z, theta))(x)),
    hessianProduct: (x, theta, v) => add(v, grad((z: Tensor) => penaltyAlong(z, theta, v))(x)),
    crossProduct: (x, theta, v) => grad((t: Tensor) => penaltyAlong(x, t, v))(theta),
  });
  return {
    ...problem,
    dispose() {
      for (const tensor of [y, target]) if (!tensor.isDisposed) tensor.dispose();
    },
  };
}
