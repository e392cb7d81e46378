/** Ridge regression one observation at a time, with the inverse that confidence bounds need. */
import type { Json } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { choleskyFactor, inverseFromFactor } from './cholesky.js';

/** Updates after which the inverse is computed afresh: Sherman–Morrison alone drifts. */
export const REFACTOR_EVERY = 1000;

/** Options of a {@link RidgeModel}. */
export interface RidgeOptions {
  /** λ > 0. */
  readonly lambda: number;
  /** Share of the past that an update keeps, in (0, 1]; λ is not forgotten. */
  readonly forgetting: number;
}

/**
 * `A = λI + Σ w x xᵀ`, `b = Σ w y x`, `θ = A⁻¹ b`, in float64. The inverse follows by Sherman–Morrison,
 * `A⁻¹ −= w (A⁻¹x)(A⁻¹x)ᵀ / (1 + w xᵀA⁻¹x)`: O(dim²) an update. With forgetting ρ < 1,
 * `A ← ρA + w x xᵀ + (1 − ρ)λI` (Russac et al. 2019, arXiv:1909.09146), which costs O(dim³).
 */
export class RidgeModel {
  readonly b: Float64Array;
  /** A⁻¹ b. */
  readonly theta: Float64Array;
  /** Symmetric matrices `[dim, dim]`, of which the lower triangle is kept. */
  private readonly lowerA: Float64Array;
  private readonly lowerInverse: Float64Array;
  private sinceRefactor = 0;
  private readonly v: Float64Array;

  constructor(
    readonly dim: number,
    private readonly options: RidgeOptions,
  ) {
    this.lowerA = new Float64Array(dim * dim);
    this.lowerInverse = new Float64Array(dim * dim);
    this.b = new Float64Array(dim);
    this.theta = new Float64Array(dim);
    this.v = new Float64Array(dim);
    for (let i = 0; i < dim * dim; i += dim + 1) {
      this.lowerA[i] = options.lambda;
      this.lowerInverse[i] = 1 / options.lambda;
    }
  }

  /** A, a copy, `[dim, dim]`. */
  get A(): Float64Array {
    return mirrored(this.lowerA, this.dim);
  }

  /** A⁻¹, a copy, `[dim, dim]`. */
  get inverse(): Float64Array {
    return mirrored(this.lowerInverse, this.dim);
  }

  /** `xᵀθ` of the row at `at`. */
  mean(x: Float64Array, at: number): number {
    return dot(this.theta, 0, x, at, this.dim);
  }

  /** `xᵀA⁻¹x` of the row at `at`. */
  variance(x: Float64Array, at: number): number {
    const { lowerInverse, dim } = this;
    let sum = 0;
    for (let i = 0; i < dim; i++) {
      const xi = x[at + i]!;
      if (xi === 0) continue;
      const row = i * dim;
      sum += xi * (2 * dot(lowerInverse, row, x, at, i) + lowerInverse[row + i]! * xi);
    }
    return Math.max(0, sum);
  }

  /** Learns `y` at the row of `x` at `at` with weight `w` ≥ 0. */
  update(x: Float64Array, at: number, y: number, w: number): void {
    const { lowerA, b, theta, v, dim, options } = this;
    const { forgetting: rho, lambda } = options;
    const refactor = rho < 1 || ++this.sinceRefactor >= REFACTOR_EVERY;
    if (!refactor) {
      const scale = w / (1 + w * this.multiply(x, at));
      const step = scale * (y - this.mean(x, at));
      for (let i = 0; i < dim; i++) theta[i]! += step * v[i]!;
      addOuter(this.lowerInverse, dim, v, 0, -scale);
    }
    if (rho < 1) {
      for (let k = 0; k < lowerA.length; k++) lowerA[k]! *= rho;
      for (let i = 0; i < dim; i++) {
        b[i]! *= rho;
        lowerA[i * dim + i]! += (1 - rho) * lambda;
      }
    }
    for (let i = 0; i < dim; i++) b[i]! += y * w * x[at + i]!;
    addOuter(lowerA, dim, x, at, w);
    if (refactor) this.refactor();
  }

  /** Fills `v` with A⁻¹x; returns xᵀA⁻¹x. */
  private multiply(x: Float64Array, at: number): number {
    const { lowerInverse, v, dim } = this;
    let total = 0;
    for (let i = 0; i < dim; i++) {
      const row = i * dim;
      const xi = x[at + i]!;
      v[i] = dot(lowerInverse, row, x, at, i + 1);
      if (xi !== 0) for (let j = 0; j < i; j++) v[j]! += xi * lowerInverse[row + j]!;
    }
    for (let i = 0; i < dim; i++) total += v[i]! * x[at + i]!;
    return total;
  }

  /** Computes A⁻¹ and θ from A and b. */
  private refactor(): void {
    const { b, theta, dim } = this;
    this.sinceRefactor = 0;
    const inverse = new Float64Array(dim * dim);
    inverseFromFactor(choleskyFactor(this.lowerA, dim), dim, inverse);
    this.lowerInverse.set(inverse);
    for (let i = 0; i < dim; i++) theta[i] = dot(inverse, i * dim, b, 0, dim);
  }

  /** State for JSON. */
  save(): { [key: string]: Json } {
    return {
      A: encodeNumbers(this.lowerA),
      inverse: encodeNumbers(this.lowerInverse),
      b: encodeNumbers(this.b),
      theta: encodeNumbers(this.theta),
      sinceRefactor: this.sinceRefactor,
    };
  }

  /** Takes over a saved state. */
  load(data: SavedData): void {
    const { dim } = this;
    this.lowerA.set(data.numbers('A', dim * dim));
    this.lowerInverse.set(data.numbers('inverse', dim * dim));
    this.b.set(data.numbers('b', dim));
    this.theta.set(data.numbers('theta', dim));
    this.sinceRefactor = data.count('sinceRefactor');
  }
}

/** Σ a[aAt + i] b[bAt + i], i < n, in four sums: one would wait for itself. */
function dot(a: Float64Array, aAt: number, b: Float64Array, bAt: number, n: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 3 < n; i += 4) {
    s0 += a[aAt + i]! * b[bAt + i]!;
    s1 += a[aAt + i + 1]! * b[bAt + i + 1]!;
    s2 += a[aAt + i + 2]! * b[bAt + i + 2]!;
    s3 += a[aAt + i + 3]! * b[bAt + i + 3]!;
  }
  for (; i < n; i++) s0 += a[aAt + i]! * b[bAt + i]!;
  return s0 + s1 + (s2 + s3);
}

/** Adds w x xᵀ to a lower triangle. */
function addOuter(lower: Float64Array, n: number, x: Float64Array, at: number, w: number): void {
  for (let i = 0; i < n; i++) {
    const wx = w * x[at + i]!;
    if (wx === 0) continue;
    const row = i * n;
    for (let j = 0; j <= i; j++) lower[row + j]! += wx * x[at + j]!;
  }
}

/** The whole of a symmetric matrix. */
function mirrored(lower: Float64Array, n: number): Float64Array {
  const full = lower.slice();
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) full[j * n + i] = full[i * n + j]!;
  return full;
}
