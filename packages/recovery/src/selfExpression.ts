import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  cast,
  customGrad,
  div,
  expandDims,
  matMul,
  mean,
  mul,
  notEqual,
  relu,
  reshape,
  type Scalar,
  sign,
  sqrt,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

function checkFeatures(caller: string, features: readonly Tensor[], n?: number): void {
  if (!Array.isArray(features) || features.length === 0) {
    throw new TypeError(`${caller}: features must be an array of at least one tensor`);
  }
  const count = n ?? (features[0] as Tensor | undefined)?.shape?.[0];
  features.forEach((F, l) => {
    checkTensor(caller, `features[${l}]`, F, { minRank: 2 });
    if (F.shape[0] === count) return;
    const got = `got shape [${F.shape}]`;
    throw new RangeError(`${caller}: features[${l}] must have ${count} rows, ${got}`);
  });
}

const flat = (F: Tensor): Tensor2D => reshape(F, [F.shape[0]!, -1]);

/**
 * How badly samples are expressed by each other in every layer: `Σ_l ‖C F_l − F_l‖_F²`. Differentiable in C and features.
 * 0 for C = I, which is why the diagonal is kept at 0.
 *
 * @param C - shape `[n, n]`; row i combines samples to sample i
 * @param features - input and layers, `[n, …]` each
 * @returns a scalar
 * @throws TypeError or RangeError for shapes that do not fit
 * @see Sindicic and Kopriva 2025, arXiv 2504.18179
 */
export function selfExpressionLoss(C: Tensor2D, features: readonly Tensor[]): Scalar {
  checkTensor('selfExpressionLoss', 'C', C, { rank: 2 });
  const n = C.shape[0];
  checkTensor('selfExpressionLoss', 'C', C, { shape: [n, n] });
  checkFeatures('selfExpressionLoss', features, n);
  return tidy(() =>
    features
      .map((F) => {
        const rows = flat(F);
        return sum(square(sub(matMul(C, rows), rows)));
      })
      .reduce((a, b) => add(a, b)),
  ) as Scalar;
}

/**
 * Weight that crosses clusters: `tr(HᵀLH) = Σ W_ij` over pairs in different clusters, `W = √(|C| + |C|ᵀ + ε)`; H one-hot
 * of the labels, L the Laplacian of W. Differentiable in C, with gradient 0 where C is 0.
 *
 * @param C - shape `[n, n]`
 * @param labels - cluster of each sample, shape `[n]`, int32
 * @param options.epsilon - > 0, keeps the root's slope finite. Default 1e−12
 * @returns a scalar
 * @throws TypeError or RangeError for shapes that do not fit or a bad option
 * @see Sindicic and Kopriva 2025, arXiv 2504.18179
 */
export function structuredNorm(
  C: Tensor2D,
  labels: Tensor1D,
  options: { readonly epsilon?: number } = {},
): Scalar {
  checkTensor('structuredNorm', 'C', C, { rank: 2 });
  const n = C.shape[0];
  checkTensor('structuredNorm', 'C', C, { shape: [n, n] });
  checkTensor('structuredNorm', 'labels', labels, { shape: [n], dtype: ['int32', 'float32'] });
  checkOptions('structuredNorm', options, ['epsilon']);
  const { epsilon = 1e-12 } = options;
  checkNumber('structuredNorm', 'epsilon', epsilon, { above: 0 });
  const apart = () => cast(notEqual(expandDims(labels, 0), expandDims(labels, 1)), 'float32');
  const root = (x: Tensor) => {
    const sizes = abs(x);
    return sqrt(add(add(sizes, transpose(sizes)), epsilon));
  };
  // Not by automatic differentiation: the root's slope at 0 meets the slope −1 of tfjs's abs there.
  const op = customGrad((x, save) => {
    (save as (tensors: Tensor[]) => void)([x as Tensor]);
    return {
      value: tidy(() => sum(mul(root(x as Tensor), apart()))),
      gradFunc: (dy: Tensor, [saved]: Tensor[]) =>
        tidy(() => mul(dy, div(mul(sign(saved!), apart()), root(saved!)))),
    };
  });
  return op(C) as Scalar;
}

/** Squared distances between rows, rounding below 0 cut off. */
function squaredDistances(F: Tensor): Tensor {
  const rows = flat(F);
  const norms = sum(square(rows), 1, true);
  const crossed = mul(matMul(rows, rows, false, true), -2);
  return relu(add(add(crossed, norms), transpose(norms)));
}

/**
 * The author code's "distance-preserving" loss: mean over layers of `Σ_ij D_ij(F_0) D_ij(F_l)` with squared distances D,
 * the input among the layers. It is least where features collapse; kept for comparison.
 *
 * @param features - input first, then layers, `[n, …]` each
 * @returns a scalar, differentiable
 * @throws TypeError or RangeError for shapes that do not fit
 */
export function distancePreservingLoss(features: readonly Tensor[]): Scalar {
  checkFeatures('distancePreservingLoss', features);
  return tidy(() => {
    const input = squaredDistances(features[0]!);
    return mean(
      stack(features.map((F, l) => sum(mul(input, l === 0 ? input : squaredDistances(F))))),
    ) as Scalar;
  });
}
