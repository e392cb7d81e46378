/** Kernels that random features approach. */
import { checkNumber, checkTensor } from '@orth/backend';
import {
  acos,
  add,
  clipByValue,
  customGrad,
  div,
  exp,
  type GradSaveFunc,
  matMul,
  maximum,
  mul,
  norm,
  relu,
  sin,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import type { HostMatrix } from '../hostMatrix.js';

function checkPoints(caller: string, X: Tensor2D, X2: Tensor2D): void {
  checkTensor(caller, 'X', X, { rank: 2 });
  checkTensor(caller, 'X2', X2, { shape: [null, X.shape[1]] });
}

/** Smallest norm that a direction is computed from. */
const TINY = 1e-30;

/** Norms `[n, 1]` and `[1, m]`, and the angles between rows. */
function angles(X: Tensor2D, X2: Tensor2D) {
  const left = norm(X, 'euclidean', 1, true);
  const right = transpose(norm(X2, 'euclidean', 1, true) as Tensor2D);
  const cosine = div(matMul(X, X2, false, true), maximum(mul(left, right), TINY));
  return { left, right, angle: acos(clipByValue(cosine, -1, 1)) };
}

/**
 * The kernel of infinitely many ReLU features relu(Wx)·√(1/k), W ~ N(0, 2/d):
 *
 *     K(x, x') = |x||x'|/d · (sin t + (π − t) cos t)/π,   t the angle between x and x'
 *
 * @param X - points, `[n, d]`, float32
 * @param X2 - other points, `[m, d]`. Default `X`
 * @returns `[n, m]`; differentiable in both
 * @throws TypeError or RangeError if the shapes do not fit
 * @see Cho and Saul 2009, "Kernel Methods for Deep Learning", arc-cosine kernel of degree 1
 */
export function reluKernel(X: Tensor2D, X2: Tensor2D = X): Tensor2D {
  checkPoints('reluKernel', X, X2);
  const d = X.shape[1];
  // The angle has no derivative at 0 and π, where the kernel has one.
  const op = customGrad((...inputs) => {
    const [a, b, save] = inputs as unknown as [Tensor2D, Tensor2D, GradSaveFunc];
    const { left, right, angle } = angles(a, b);
    const product = matMul(a, b, false, true);
    const length = mul(left, right);
    const value = div(add(mul(length, sin(angle)), mul(sub(Math.PI, angle), product)), Math.PI * d);
    save([a, b]);
    const gradFunc = (dy: Tensor, saved: Tensor[]) => {
      const [x, y] = saved as [Tensor2D, Tensor2D];
      const { left: l, right: r, angle: t } = angles(x, y);
      const direct = mul(dy, sub(Math.PI, t)) as Tensor2D;
      const bent = mul(dy, sin(t));
      const along = (weights: Tensor, axis: number, norms: Tensor, points: Tensor2D) => {
        const total = sum(mul(bent, weights), axis, true);
        const column = axis === 1 ? total : transpose(total as Tensor2D);
        const size = axis === 1 ? norms : transpose(norms as Tensor2D);
        return mul(points, div(column, maximum(size, TINY)));
      };
      const dx = () => div(add(along(r, 1, l, x), matMul(direct, y)), Math.PI * d);
      const dy2 = () => div(add(along(l, 0, r, y), matMul(direct, x, true)), Math.PI * d);
      return [tidy(dx), tidy(dy2)];
    };
    return { value, gradFunc };
  });
  return tidy(() => op(X, X2) as Tensor2D);
}

/**
 * The kernel of infinitely many random Fourier features: exp(−|x − x'|²/(2·bandwidth²)).
 *
 * @param X - points, `[n, d]`, float32
 * @param X2 - other points, `[m, d]`. Default `X`
 * @param bandwidth - > 0. Default 1
 * @returns `[n, m]`; differentiable in both
 * @throws TypeError or RangeError if the shapes do not fit or `bandwidth` is not > 0
 * @see Rahimi and Recht 2007, "Random Features for Large-Scale Kernel Machines"
 */
export function gaussianKernel(X: Tensor2D, X2: Tensor2D = X, bandwidth = 1): Tensor2D {
  checkPoints('gaussianKernel', X, X2);
  checkNumber('gaussianKernel', 'bandwidth', bandwidth, { above: 0 });
  return tidy(() => {
    const left = sum(square(X), 1, true);
    const right = transpose(sum(square(X2), 1, true) as Tensor2D);
    const distance = relu(sub(add(left, right), mul(2, matMul(X, X2, false, true))));
    return exp(div(distance, -2 * bandwidth * bandwidth)) as Tensor2D;
  });
}

/**
 * {@link reluKernel} in float64 on the host, for spectra whose small eigenvalues float32 would drown.
 * @throws RangeError if the points differ in dimension
 */
export function reluKernelHost(X: HostMatrix, X2: HostMatrix = X): HostMatrix {
  const [n, d] = X.shape;
  const [m, d2] = X2.shape;
  if (d !== d2) {
    throw new RangeError(`reluKernelHost: X2 must have ${d} columns, got shape [${X2.shape}]`);
  }
  const norms = (P: HostMatrix) =>
    Float64Array.from({ length: P.shape[0] }, (_, i) => {
      let s = 0;
      for (let c = 0; c < d; c++) s += P.data[i * d + c]! ** 2;
      return Math.sqrt(s);
    });
  const [left, right] = [norms(X), norms(X2)];
  const data = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let dot = 0;
      for (let c = 0; c < d; c++) dot += X.data[i * d + c]! * X2.data[j * d + c]!;
      const length = left[i]! * right[j]!;
      const t = length > 0 ? Math.acos(Math.min(1, Math.max(-1, dot / length))) : 0;
      data[i * m + j] = (length * Math.sin(t) + (Math.PI - t) * dot) / (Math.PI * d);
    }
  }
  return { shape: [n, m], data };
}

/** {@link gaussianKernel} in float64 on the host. */
export function gaussianKernelHost(X: HostMatrix, X2: HostMatrix, bandwidth: number): HostMatrix {
  const [n, d] = X.shape;
  const [m] = X2.shape;
  const data = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let distance = 0;
      for (let c = 0; c < d; c++) distance += (X.data[i * d + c]! - X2.data[j * d + c]!) ** 2;
      data[i * m + j] = Math.exp(-distance / (2 * bandwidth * bandwidth));
    }
  }
  return { shape: [n, m], data };
}
