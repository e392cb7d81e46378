import { seededRandom } from '@orth/backend';
import { grad, mul, sum, type Tensor } from '@tensorflow/tfjs-core';
import { norm, plus } from './vectors.js';

/** How products with second derivatives are formed. */
export type SecondOrderMethod = 'auto' | 'autodiff' | 'differences';

type TensorProduct = (x: Tensor, theta: Tensor, v: Tensor) => Tensor;
type Product = (x: Float64Array, theta: Float64Array, v: Float64Array) => Promise<Float64Array>;
type Gradient = (x: Float64Array, theta: Float64Array) => Promise<Float64Array>;

/** First gradients of h, and its second derivatives by nested gradients. */
export function autodiffProducts(
  h: (x: Tensor, theta: Tensor) => Tensor,
  given: ((x: Tensor, theta: Tensor) => Tensor) | undefined,
) {
  const gradientX = given ?? ((x: Tensor, theta: Tensor) => grad((z: Tensor) => h(z, theta))(x));
  const gradientTheta = (x: Tensor, theta: Tensor) => grad((t: Tensor) => h(x, t))(theta);
  const hessianProduct: TensorProduct = (x, theta, v) =>
    grad((z: Tensor) => sum(mul(gradientX(z, theta), v)))(x);
  const crossProduct: TensorProduct = (x, theta, v) =>
    grad((t: Tensor) => sum(mul(gradientX(x, t), v)))(theta);
  return { gradientX, gradientTheta, hessianProduct, crossProduct };
}

/** Spacing of central differences in float32, relative to 1 + ‖x‖. */
const SPACING = 1e-3;

/** `(∇(x + r v) − ∇(x − r v)) / 2r` with `r = spacing (1 + ‖x‖)/‖v‖`: of ∇_x h it is H v, of ∇_θ h it is Jᵀ v. */
const differences =
  (gradient: Gradient, spacing = SPACING): Product =>
  async (x, theta, v) => {
    const size = norm(v);
    if (size === 0) return (await gradient(x, theta)).fill(0);
    const r = (spacing * (1 + norm(x))) / size;
    const above = await gradient(plus(x, r, v), theta);
    const below = await gradient(plus(x, -r, v), theta);
    return above.map((value, i) => (value - below[i]!) / (2 * r)) as Float64Array;
  };

/** Share of a product's size by which nested gradients may differ from differences and still be believed. */
const AGREEMENT = 0.05;

/**
 * Whether nested gradients do what they should near this point. They can throw (an operation whose gradient has no
 * gradient) and they can be wrong without a word (a custom gradient whose own gradient nobody wrote), so a random
 * direction at a random point is compared with differences, whose own error two spacings tell.
 */
async function nestedAgrees(
  nested: Product,
  gradient: Gradient,
  x: Float64Array,
  theta: Float64Array,
): Promise<boolean> {
  const random = seededRandom(x.length);
  const draw = () => Float64Array.from({ length: x.length }, () => random.normal());
  const at = plus(x, (0.1 * (1 + norm(x))) / Math.sqrt(x.length), draw());
  const v = draw();
  let exact: Float64Array;
  try {
    exact = await nested(at, theta, v);
  } catch {
    return false;
  }
  const near = await differences(gradient)(at, theta, v);
  const far = await differences(gradient, 2 * SPACING)(at, theta, v);
  const allowed = AGREEMENT * norm(near) + 4 * norm(plus(near, -1, far));
  return norm(plus(exact, -1, near)) <= allowed;
}

/** Products by nested gradients or by differences, decided at the first point when the method is `'auto'`. */
export function secondOrderProducts(
  method: SecondOrderMethod,
  functions: {
    gradientX: Gradient;
    gradientTheta: Gradient;
    hessianProduct: Product;
    crossProduct: Product;
  },
) {
  const make = (nested: Product, gradient: Gradient) => {
    const approximate = differences(gradient);
    let chosen: 'autodiff' | 'differences' | undefined = method === 'auto' ? undefined : method;
    const product: Product = async (x, theta, v) => {
      chosen ??= (await nestedAgrees(nested, gradient, x, theta)) ? 'autodiff' : 'differences';
      return chosen === 'autodiff' ? nested(x, theta, v) : approximate(x, theta, v);
    };
    return { product, chosen: () => chosen ?? ('undecided' as const) };
  };
  const hessian = make(functions.hessianProduct, functions.gradientX);
  const cross = make(functions.crossProduct, functions.gradientTheta);
  return {
    hessianProduct: hessian.product,
    crossProduct: cross.product,
    chosen: () => ({ hessianProduct: hessian.chosen(), crossProduct: cross.chosen() }),
  };
}
