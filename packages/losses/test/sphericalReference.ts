/** The spherical family and a dense output layer in float64, from their definitions. */
import type { SphericalLossName, SphericalLossOptions } from '../src/index.js';

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Loss of a row of logits at class c. */
export function spherical64(
  name: SphericalLossName,
  o: readonly number[],
  c: number,
  { a = 1, b = 0, epsilon = 1e-3 }: SphericalLossOptions = {},
): number {
  const target = o[c]!;
  const sum = (f: (x: number) => number) => o.reduce((total, x) => total + f(x), 0);
  if (name === 'zLoss') {
    const mean = sum((x) => x) / o.length;
    const deviation = Math.sqrt(sum((x) => (x - mean) ** 2) / o.length);
    return softplus(a * (b - (deviation > 0 ? (target - mean) / deviation : 0))) / a;
  }
  if (name === 'squaredError') return sum((x) => x * x) - 2 * target + 1;
  const score = (x: number) => (name === 'taylorSoftmax' ? 1 + x + (x * x) / 2 : x * x + epsilon);
  return Math.log(sum(score) / score(target));
}

/** Gradient of {@link spherical64} by the logits, each loss's own formula. */
export function sphericalGradient64(
  name: SphericalLossName,
  o: readonly number[],
  c: number,
  { a = 1, b = 0, epsilon = 1e-3 }: SphericalLossOptions = {},
): number[] {
  const sum = (f: (x: number) => number) => o.reduce((total, x) => total + f(x), 0);
  const at = (k: number) => Number(k === c);
  if (name === 'zLoss') {
    const D = o.length;
    const mean = sum((x) => x) / D;
    const deviation = Math.sqrt(sum((x) => (x - mean) ** 2) / D);
    if (deviation === 0) return o.map(() => 0);
    const z = o.map((x) => (x - mean) / deviation);
    const g = -1 / (1 + Math.exp(-a * (b - z[c]!)));
    return z.map((zk, k) => (g * (at(k) - 1 / D - (z[c]! * zk) / D)) / deviation);
  }
  if (name === 'squaredError') return o.map((x, k) => 2 * x - 2 * at(k));
  const taylor = name === 'taylorSoftmax';
  const score = (x: number) => (taylor ? 1 + x + (x * x) / 2 : x * x + epsilon);
  const slope = (x: number) => (taylor ? 1 + x : 2 * x);
  const total = sum(score);
  return o.map((x, k) => slope(x) / total - (at(k) * slope(x)) / score(x));
}

/** A dense output layer in float64 that descends along the gradient of a weighted sum of losses. */
export class DenseLayer64 {
  readonly W: Float64Array;
  constructor(
    readonly D: number,
    readonly d: number,
    W: ArrayLike<number>,
    readonly loss: SphericalLossName,
    readonly options: SphericalLossOptions = {},
  ) {
    this.W = Float64Array.from(W);
  }

  logits(h: ArrayLike<number>): number[] {
    const { D, d, W } = this;
    return Array.from({ length: D }, (_, c) => {
      let o = 0;
      for (let j = 0; j < d; j++) o += W[c * d + j]! * h[j]!;
      return o;
    });
  }

  /** @param labels - K of each example */
  step(
    hidden: readonly ArrayLike<number>[],
    labels: readonly (readonly number[])[],
    weights: readonly number[],
    rate: number,
  ) {
    const { D, d, W, loss, options } = this;
    const slopes = hidden.map((h, i) => {
      const o = this.logits(h);
      const each = labels[i]!.map((c) => sphericalGradient64(loss, o, c, options));
      const losses = labels[i]!.map((c) => spherical64(loss, o, c, options));
      const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
      return {
        loss: mean(losses),
        slope: o.map((_, k) => weights[i]! * mean(each.map((g) => g[k]!))),
      };
    });
    const gradients = slopes.map(({ slope }) => {
      const g = new Array<number>(d).fill(0);
      for (let c = 0; c < D; c++) for (let j = 0; j < d; j++) g[j]! += slope[c]! * W[c * d + j]!;
      return g;
    });
    for (const [i, { slope }] of slopes.entries()) {
      for (let c = 0; c < D; c++) {
        for (let j = 0; j < d; j++) W[c * d + j]! -= rate * slope[c]! * hidden[i]![j]!;
      }
    }
    return { losses: slopes.map((s) => s.loss), gradients };
  }
}
