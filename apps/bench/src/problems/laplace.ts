/** A Laplacian seen through Gaussian noise of variance 1: samples, and both Bayes estimators in closed form. */
import type { Random } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/** Laplacian numbers of scale 1, `[count, 1]`. */
export function laplaceSampler(random: Random, count: number): Tensor2D {
  const data = Float32Array.from({ length: count }, () => {
    const u = random.uniform() - 0.5;
    return -Math.sign(u) * Math.log(Math.max(1 - 2 * Math.abs(u), 1e-30));
  });
  return tensor2d(data, [count, 1]);
}

/** The posterior mode: soft thresholds. */
export const softThresholds = (x: Float64Array, s: number): Float64Array =>
  x.map((v) => Math.sign(v) * Math.max(Math.abs(v) - s, 0));

/** `log Φ(t)` by a continued fraction far out, where Φ underflows. */
function logNormalCdf(t: number): number {
  if (t > -6) return Math.log(0.5 * erfc(-t / Math.SQRT2));
  let tail = t;
  for (let k = 40; k >= 1; k--) tail = t + k / tail;
  return -0.5 * t * t - Math.log(Math.sqrt(2 * Math.PI)) - Math.log(-tail);
}

/** Complementary error function by its series or continued fraction, to about 1e-12. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let k = 1; k < 80; k++) {
      term *= (-x * x) / k;
      sum += term / (2 * k + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = x;
  for (let k = 80; k >= 1; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

/** The posterior mean: a mixture of two truncated normal means. */
export function laplaceMeans(x: Float64Array): Float64Array {
  const logPdf = (t: number) => -0.5 * t * t - Math.log(Math.sqrt(2 * Math.PI));
  return x.map((y) => {
    const [left, right] = [y + logNormalCdf(-y - 1), -y + logNormalCdf(y - 1)];
    const weight = 1 / (1 + Math.exp(right - left));
    const leftMean = y + 1 - Math.exp(logPdf(y + 1) - logNormalCdf(-y - 1));
    const rightMean = y - 1 + Math.exp(logPdf(y - 1) - logNormalCdf(y - 1));
    return weight * leftMean + (1 - weight) * rightMean;
  });
}

/** `√(mean (a − b)²)`. */
export const rootMeanSquare = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.sqrt(Array.from(a).reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0) / a.length);
