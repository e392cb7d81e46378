import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { sum, Tensor, tensor, tidy, valueAndGrad } from '@tensorflow/tfjs-core';
import { type BilevelConstants, type BilevelProblem, checkConstants } from './problem.js';
import { autodiffProducts, type SecondOrderMethod, secondOrderProducts } from './secondOrder.js';

/** A bilevel problem as TensorFlow.js functions. */
export interface TensorProblemOptions extends BilevelConstants {
  /** h(x, θ): a scalar tensor; differentiable in both. */
  readonly lower: (x: Tensor, theta: Tensor) => Tensor;
  /** g(x): a scalar tensor; differentiable. */
  readonly upper: (x: Tensor) => Tensor;
  readonly xShape: readonly number[];
  readonly thetaShape: readonly number[];
  /** ∇_x h, if you have it in closed form; otherwise by autodiff of `lower`. */
  readonly lowerGradient?: (x: Tensor, theta: Tensor) => Tensor;
  /** H v; otherwise as `secondOrder` says. */
  readonly hessianProduct?: (x: Tensor, theta: Tensor, v: Tensor) => Tensor;
  /** Jᵀ v, of θ's shape; otherwise as `secondOrder` says. */
  readonly crossProduct?: (x: Tensor, theta: Tensor, v: Tensor) => Tensor;
  /**
   * How products that are not given are formed: `'autodiff'` (nested gradients), `'differences'` (central differences of
   * first gradients), or `'auto'`: nested gradients if they run on the backend at hand and agree with differences at the
   * first point, else differences. Default `'auto'`
   */
  readonly secondOrder?: SecondOrderMethod;
}

const TENSOR_OPTIONS = [
  ...['lower', 'upper', 'xShape', 'thetaShape', 'lowerGradient', 'hessianProduct'],
  ...['crossProduct', 'secondOrder', 'strongConvexity', 'smoothness', 'upperSmoothness'],
  ...['upperConvex', 'inverseHessianLipschitz', 'crossLipschitz', 'crossNorm'],
] as const;

/** A {@link BilevelProblem} from TensorFlow.js functions. */
export interface TensorProblem extends BilevelProblem {
  readonly xShape: readonly number[];
  readonly thetaShape: readonly number[];
  /** h(x, θ). */
  lowerValue(x: Float64Array, theta: Float64Array): Promise<number>;
  /** How products with H and Jᵀ are formed: fixed once the first of them was asked for. */
  secondOrder(): {
    readonly hessianProduct: 'given' | 'autodiff' | 'differences' | 'undecided';
    readonly crossProduct: 'given' | 'autodiff' | 'differences' | 'undecided';
  };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((n, length) => n * length, 1);

function checkShape(caller: string, argument: string, shape: unknown): void {
  if (!Array.isArray(shape)) {
    throw new TypeError(`${caller}: ${argument} must be an array of lengths, got ${String(shape)}`);
  }
  for (const length of shape) checkInteger(caller, argument, length, { min: 1 });
}

/** Uploads vectors, runs `f` on them, and reads back what it gives; leaves no tensor. */
export async function onDevice(
  inputs: readonly { readonly data: Float64Array; readonly shape: readonly number[] }[],
  f: (...tensors: Tensor[]) => Tensor[],
): Promise<Float64Array[]> {
  const outputs = tidy(() =>
    f(
      ...inputs.map(({ data, shape }) =>
        tensor(Float32Array.from(data), [...shape] as number[], 'float32'),
      ),
    ),
  );
  try {
    const read = await Promise.all(outputs.map((output) => output.data()));
    return read.map((values) => Float64Array.from(values));
  } finally {
    for (const output of outputs) output.dispose();
  }
}

/**
 * A bilevel problem from TensorFlow.js functions, on whichever backend is active. Every evaluation uploads x and θ as
 * float32 and reads the result back; the iterations themselves are float64 on the host. Nothing stays on the device but
 * what your functions hold.
 *
 * Not every TensorFlow.js operation has a second derivative (`logSoftmax`, `logSumExp` and the filter of a convolution do
 * not): differences then take over, at two gradients a product and a relative error of about 1e-3 in float32.
 *
 * @throws TypeError or RangeError for missing functions, bad shapes or constants, unknown options
 * @example
 * const problem = tensorProblem({
 *   xShape: [3], thetaShape: [1],
 *   lower: (x, theta) => add(sum(square(sub(x, data))), mul(exp(sum(theta)), sum(square(x)))),
 *   upper: (x) => sum(square(sub(x, target))),
 *   strongConvexity: (theta) => 2 + 2 * Math.exp(theta[0]), smoothness: (theta) => 2 + 2 * Math.exp(theta[0]),
 *   upperSmoothness: 2, upperConvex: true,
 * });
 */
export function tensorProblem(options: TensorProblemOptions): TensorProblem {
  const caller = 'tensorProblem';
  checkOptions(caller, options, TENSOR_OPTIONS);
  const { lower, upper, xShape, thetaShape, secondOrder = 'auto' } = options;
  for (const name of ['lower', 'upper'] as const) {
    if (typeof options[name] === 'function') continue;
    throw new TypeError(`${caller}: ${name} must be a function, got ${typeof options[name]}`);
  }
  for (const name of ['lowerGradient', 'hessianProduct', 'crossProduct'] as const) {
    if (options[name] === undefined || typeof options[name] === 'function') continue;
    throw new TypeError(`${caller}: ${name} must be a function, got ${typeof options[name]}`);
  }
  checkShape(caller, 'xShape', xShape);
  checkShape(caller, 'thetaShape', thetaShape);
  checkOneOf(caller, 'secondOrder', secondOrder, ['auto', 'autodiff', 'differences']);
  checkConstants(caller, options);

  // Told after the gradient, not inside it: tfjs leaks what a gradient had saved when its function throws.
  let fault: string | undefined;
  const scalar = (name: string, value: Tensor): Tensor => {
    if (value instanceof Tensor && value.size !== 1) {
      fault = `${caller}: ${name} must give a scalar tensor, got shape [${value.shape}]`;
    }
    return value.rank === 0 ? value : sum(value);
  };
  const run = async (inputs: Parameters<typeof onDevice>[0], f: (...t: Tensor[]) => Tensor[]) => {
    const outputs = await onDevice(inputs, f);
    if (fault === undefined) return outputs;
    const message = fault;
    fault = undefined;
    throw new RangeError(message);
  };
  const h = (x: Tensor, theta: Tensor) => scalar('lower', lower(x, theta));
  const atX = (data: Float64Array) => ({ data, shape: xShape });
  const atTheta = (data: Float64Array) => ({ data, shape: thetaShape });
  const products = autodiffProducts(h, options.lowerGradient);
  const first = async (inputs: Parameters<typeof onDevice>[0], f: (...t: Tensor[]) => Tensor) =>
    (await run(inputs, (...t) => [f(...t)]))[0]!;

  const gradientX = (x: Float64Array, theta: Float64Array) =>
    first([atX(x), atTheta(theta)], (a, b) => products.gradientX(a!, b!));
  const gradientTheta = (x: Float64Array, theta: Float64Array) =>
    first([atX(x), atTheta(theta)], (a, b) => products.gradientTheta(a!, b!));
  const withV =
    (f: (x: Tensor, theta: Tensor, v: Tensor) => Tensor) =>
    (x: Float64Array, theta: Float64Array, v: Float64Array) =>
      first([atX(x), atTheta(theta), atX(v)], (a, b, c) => f(a!, b!, c!));

  const second = secondOrderProducts(secondOrder, {
    gradientX,
    gradientTheta,
    hessianProduct: withV(products.hessianProduct),
    crossProduct: withV(products.crossProduct),
  });
  const { hessianProduct, crossProduct } = options;
  const { lower: _l, upper: _u, secondOrder: _s, ...constants } = options;
  return {
    ...constants,
    xShape: [...xShape],
    thetaShape: [...thetaShape],
    xSize: sizeOf(xShape),
    thetaSize: sizeOf(thetaShape),
    precision: 'float32',
    lowerGradient: gradientX,
    hessianProduct: hessianProduct ? withV(hessianProduct) : second.hessianProduct,
    crossProduct: crossProduct ? withV(crossProduct) : second.crossProduct,
    async lowerValue(x, theta) {
      return (await first([atX(x), atTheta(theta)], (a, b) => h(a!, b!)))[0]!;
    },
    async upper(x) {
      const [value, gradient] = await run([atX(x)], (a) => {
        const result = valueAndGrad((z: Tensor) => scalar('upper', upper(z)))(a!);
        return [result.value, result.grad];
      });
      return { value: value![0]!, gradient: gradient! };
    },
    secondOrder: () => ({
      hessianProduct: hessianProduct ? 'given' : second.chosen().hessianProduct,
      crossProduct: crossProduct ? 'given' : second.chosen().crossProduct,
    }),
  };
}
