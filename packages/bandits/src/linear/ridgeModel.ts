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
  /** A, `[dim, dim]`. */
  readonly A: Float64Array;
  /** A⁻¹, `[dim, dim]`. */
  readonly inverse: Float64Array;
  readonly b: Float64Array;
  /** A⁻¹ b. */
  readonly theta: Float64Array;
  private sinceRefactor = 0;
  private readonly v: Float64Array;

  constructor(
    readonly dim: number,
    private readonly options: RidgeOptions,
  ) {
    this.A = new Float64Array(dim * dim);
    this.inverse = new Float64Array(dim * dim);
    this.b = new Float64Array(dim);
    this.theta = new Float64Array(dim);
    this.v = new Float64Array(dim);
    for (let i = 0; i < dim * dim; i += dim + 1) {
      this.A[i] = options.lambda;
      this.inverse[i] = 1 / options.lambda;
    }
  }

  /** `xᵀθ` of the row at `at`. */
  mean(x: Float64Array, at: number): number {
    const { theta, dim } = this;
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += x[at + i]! * theta[i]!;
    return sum;
  }

  /** `xᵀA⁻¹x` of the row at `at`. */
  variance(x: Float64Array, at: number): number {
    const { inverse, dim } = this;
    let sum = 0;
    for (let i = 0; i < dim; i++) {
      const xi = x[at + i]!;
      if (xi === 0) continue;
      // Symmetric: half of the off-diagonal entries, twice.
      let row = 0;
      const start = i * dim;
      for (let j = 0; j < i; j++) row += inverse[start + j]! * x[at + j]!;
      sum += xi * (2 * row + inverse[start + i]! * xi);
    }
    return Math.max(0, sum);
  }

  /** Learns `y` at the row of `x` at `at` with weight `w` ≥ 0. */
  update(x: Float64Array, at: number, y: number, w: number): void {
    const { A, inverse, b, theta, v, dim, options } = this;
    const { forgetting: rho, lambda } = options;
    const refactor = rho < 1 || ++this.sinceRefactor >= REFACTOR_EVERY;
    let s = 0;
    if (!refactor) {
      for (let i = 0; i < dim; i++) {
        let sum = 0;
        for (let j = 0, k = i * dim; j < dim; j++, k++) sum += inverse[k]! * x[at + j]!;
        v[i] = sum;
        s += sum * x[at + i]!;
      }
      const scale = w / (1 + w * s);
      const step = scale * (y - this.mean(x, at));
      for (let i = 0; i < dim; i++) {
        theta[i]! += step * v[i]!;
        const vi = scale * v[i]!;
        for (let j = 0, k = i * dim; j < dim; j++, k++) inverse[k]! -= vi * v[j]!;
      }
    }
    for (let i = 0; i < dim; i++) {
      const wx = w * x[at + i]!;
      const k = i * dim;
      if (rho < 1) {
        b[i]! *= rho;
        for (let j = 0; j < dim; j++) A[k + j]! *= rho;
        A[k + i]! += (1 - rho) * lambda;
      }
      b[i]! += y * wx;
      for (let j = 0; j < dim; j++) A[k + j]! += wx * x[at + j]!;
    }
    if (refactor) this.refactor();
  }

  /** Computes A⁻¹ and θ from A and b. */
  private refactor(): void {
    const { A, inverse, b, theta, dim } = this;
    this.sinceRefactor = 0;
    const L = choleskyFactor(A, dim);
    inverseFromFactor(L, dim, inverse);
    for (let i = 0; i < dim; i++) {
      let sum = 0;
      for (let j = 0; j < dim; j++) sum += inverse[i * dim + j]! * b[j]!;
      theta[i] = sum;
    }
  }

  /** State for JSON. */
  save(): { [key: string]: Json } {
    return {
      A: encodeNumbers(this.A),
      inverse: encodeNumbers(this.inverse),
      b: encodeNumbers(this.b),
      theta: encodeNumbers(this.theta),
      sinceRefactor: this.sinceRefactor,
    };
  }

  /** Takes over a saved state. */
  load(data: SavedData): void {
    const { dim } = this;
    this.A.set(data.numbers('A', dim * dim));
    this.inverse.set(data.numbers('inverse', dim * dim));
    this.b.set(data.numbers('b', dim));
    this.theta.set(data.numbers('theta', dim));
    this.sinceRefactor = data.count('sinceRefactor');
  }
}
