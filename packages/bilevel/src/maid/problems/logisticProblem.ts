import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  clone,
  div,
  exp,
  keep,
  logSoftmax,
  matMul,
  mean,
  mul,
  neg,
  norm,
  oneHot,
  reshape,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { type TensorProblem, tensorProblem } from '../tensorProblem.js';

/** Data and options of {@link logisticProblem}. */
export interface LogisticOptions {
  /** Training inputs, `[N, D]`. */
  readonly x: Tensor;
  /** Their classes, `[N]`, int32 in [0, classes). */
  readonly y: Tensor;
  /** Validation inputs, `[Nv, D]`. */
  readonly validX: Tensor;
  /** Their classes, `[Nv]`. */
  readonly validY: Tensor;
  /** K ≥ 2. */
  readonly classes: number;
  /** One log-weight for each entry of w, or one for all. Default `'perParameter'` */
  readonly weights?: 'perParameter' | 'single';
}

/** A {@link logisticProblem}: holds copies of its data until disposed. */
export interface LogisticProblem extends TensorProblem {
  dispose(): void;
}

/** λ_max(Xᵀ X)/N by power iteration on the device; one number is read. */
async function largestEigenvalue(x: Tensor2D): Promise<number> {
  const estimate = tidy(() => {
    let v = matMul(x, sum(x, 1, true), true);
    let size: Tensor = norm(v);
    for (let i = 0; i < 12; i++) {
      v = div(v, add(size, 1e-30));
      v = matMul(x, matMul(x, v), true);
      size = norm(v);
    }
    return div(size, x.shape[0]);
  });
  const [value] = await estimate.data();
  estimate.dispose();
  return value!;
}

/**
 * Multinomial logistic regression whose weight decay is learned: `h(w, θ) = mean CE(X w, y) + ½ Σ_j e^{θ_j} w_j²` over
 * w `[D, K]`, `g(w) = mean CE` on validation data. θ holds a log-weight for each entry of w, row-major, or a single one.
 * Gradient and products are given in closed form, so no second derivative of log-softmax is needed.
 *
 * μ = min e^θ; L = ½ λ_max(XᵀX)/N + max e^θ (Böhning 1992). The constants of the error bound are left out, since they are
 * far too large to be of use here: `descentTest` is `'off'`.
 *
 * @returns a promise, since the largest eigenvalue is read back; dispose the problem when done
 * @throws TypeError or RangeError for bad shapes, dtypes or options
 */
export async function logisticProblem(options: LogisticOptions): Promise<LogisticProblem> {
  const caller = 'logisticProblem';
  checkOptions(caller, options, ['x', 'y', 'validX', 'validY', 'classes', 'weights']);
  const { x, y, validX, validY, classes, weights = 'perParameter' } = options;
  checkTensor(caller, 'x', x, { rank: 2 });
  const [count, inputs] = x.shape as [number, number];
  checkTensor(caller, 'y', y, { shape: [count], dtype: ['int32'] });
  checkTensor(caller, 'validX', validX, { shape: [null, inputs] });
  checkTensor(caller, 'validY', validY, { shape: [validX.shape[0]!], dtype: ['int32'] });
  checkInteger(caller, 'classes', classes, { min: 2 });
  checkOneOf(caller, 'weights', weights, ['perParameter', 'single']);

  const X = keep(clone(x)) as Tensor2D;
  const Xv = keep(clone(validX)) as Tensor2D;
  const encode = (labels: Tensor) => keep(oneHot(labels, classes, 1, 0, 'float32'));
  const [Y, Yv] = tidy(() => [encode(y), encode(validY)]) as [Tensor2D, Tensor2D];
  const top = 0.5 * 1.1 * (await largestEigenvalue(X));
  const upperTop = 0.5 * 1.1 * (await largestEigenvalue(Xv));
  const held = [X, Xv, Y, Yv];

  const shape: [number, number] = [inputs, classes];
  const single = weights === 'single';
  const decay = (theta: Tensor) => (single ? exp(theta) : reshape(exp(theta), shape));
  const crossEntropy = (data: Tensor2D, target: Tensor2D, w: Tensor) =>
    neg(mean(sum(mul(logSoftmax(matMul(data, w as Tensor2D)), target), 1)));
  const probabilities = (w: Tensor) => softmax(matMul(X, w as Tensor2D)) as Tensor2D;
  const least = (theta: Float64Array) => Math.exp(theta.reduce((a, b) => Math.min(a, b)));
  const most = (theta: Float64Array) => Math.exp(theta.reduce((a, b) => Math.max(a, b)));
  const problem = tensorProblem({
    xShape: shape,
    thetaShape: [single ? 1 : inputs * classes],
    strongConvexity: least,
    smoothness: (theta) => top + most(theta),
    upperSmoothness: upperTop,
    upperConvex: true,
    lower: (w, theta) => add(crossEntropy(X, Y, w), mul(0.5, sum(mul(decay(theta), square(w))))),
    upper: (w) => crossEntropy(Xv, Yv, w),
    lowerGradient: (w, theta) =>
      add(div(matMul(X, sub(probabilities(w), Y), true), count), mul(decay(theta), w)),
    hessianProduct: (w, theta, v) => {
      const p = probabilities(w);
      const Xu = matMul(X, v as Tensor2D);
      const inner = mul(p, sub(Xu, sum(mul(p, Xu), 1, true))) as Tensor2D;
      return add(div(matMul(X, inner, true), count), mul(decay(theta), v));
    },
    crossProduct: (w, theta, v) => {
      const each = mul(decay(theta), mul(w, v));
      return single ? reshape(sum(each), [1]) : reshape(each, [inputs * classes]);
    },
  });
  return {
    ...problem,
    dispose() {
      for (const tensor of held) if (!tensor.isDisposed) tensor.dispose();
    },
  };
}
