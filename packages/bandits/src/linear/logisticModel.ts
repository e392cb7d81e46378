/** Logistic regression one observation at a time, by Newton steps on its quadratic approximation. */
import type { Json } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { choleskyFactor, inverseFromFactor } from './cholesky.js';
import { REFACTOR_EVERY } from './ridgeModel.js';

/** 1 / (1 + exp(−z)) without overflow. */
export function sigmoid(z: number): number {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const e = Math.exp(z);
  return e / (1 + e);
}

/**
 * The posterior of `P(y = 1 | x) = σ(xᵀθ)` under θ ~ N(0, I/λ), kept Gaussian by an approximation of Laplace at each
 * observation: `A ← A + w σ(1 − σ) x xᵀ`, then `θ ← θ − A⁻¹ x w (σ − y)` with σ at the old θ. O(dim²) an update, no
 * learning rate. Observations y may be any number in [0, 1].
 */
export class LogisticModel {
  readonly A: Float64Array;
  readonly inverse: Float64Array;
  readonly theta: Float64Array;
  private sinceRefactor = 0;
  private readonly v: Float64Array;

  constructor(
    readonly dim: number,
    lambda: number,
  ) {
    this.A = new Float64Array(dim * dim);
    this.inverse = new Float64Array(dim * dim);
    this.theta = new Float64Array(dim);
    this.v = new Float64Array(dim);
    for (let i = 0; i < dim * dim; i += dim + 1) {
      this.A[i] = lambda;
      this.inverse[i] = 1 / lambda;
    }
  }

  /** σ(xᵀθ) of the row at `at`. */
  mean(x: Float64Array, at: number): number {
    let z = 0;
    for (let i = 0; i < this.dim; i++) z += x[at + i]! * this.theta[i]!;
    return sigmoid(z);
  }

  /** Learns `y` in [0, 1] at the row of `x` at `at` with weight `w` ≥ 0. */
  update(x: Float64Array, at: number, y: number, w: number): void {
    const { A, inverse, theta, v, dim } = this;
    const p = this.mean(x, at);
    const curvature = w * p * (1 - p);
    const product = () => {
      let s = 0;
      for (let i = 0; i < dim; i++) {
        let sum = 0;
        for (let j = 0, k = i * dim; j < dim; j++, k++) sum += inverse[k]! * x[at + j]!;
        v[i] = sum;
        s += sum * x[at + i]!;
      }
      return s;
    };
    for (let i = 0; i < dim; i++) {
      const cx = curvature * x[at + i]!;
      for (let j = 0, k = i * dim; j < dim; j++, k++) A[k]! += cx * x[at + j]!;
    }
    // A⁻¹x with the new A is (A_old⁻¹x) / (1 + c xᵀA_old⁻¹x).
    let shrink = 1;
    if (++this.sinceRefactor >= REFACTOR_EVERY) {
      this.sinceRefactor = 0;
      inverseFromFactor(choleskyFactor(A, dim), dim, inverse);
      product();
    } else {
      shrink = 1 / (1 + curvature * product());
      for (let i = 0; i < dim; i++) {
        const vi = curvature * shrink * v[i]!;
        for (let j = 0, k = i * dim; j < dim; j++, k++) inverse[k]! -= vi * v[j]!;
      }
    }
    const step = shrink * w * (p - y);
    for (let i = 0; i < dim; i++) theta[i]! -= step * v[i]!;
  }

  /** State for JSON. */
  save(): { [key: string]: Json } {
    return {
      A: encodeNumbers(this.A),
      inverse: encodeNumbers(this.inverse),
      theta: encodeNumbers(this.theta),
      sinceRefactor: this.sinceRefactor,
    };
  }

  /** Takes over a saved state. */
  load(data: SavedData): void {
    const { dim } = this;
    this.A.set(data.numbers('A', dim * dim));
    this.inverse.set(data.numbers('inverse', dim * dim));
    this.theta.set(data.numbers('theta', dim));
    this.sinceRefactor = data.count('sinceRefactor');
  }
}
