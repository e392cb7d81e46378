/** The bandits of the bench in float64, written for reading: ridge regression, and a network with one hidden layer. */
import { Matrix, solve } from 'ml-matrix';

/** A decision's features, one row an action. */
export type Actions = readonly Float64Array[];

/** θ of ridge regression, λ = 1, on the rows that were played. */
export function ridge64(rows: readonly Float64Array[], rewards: readonly number[]): Float64Array {
  const dim = rows[0]!.length;
  const X = new Matrix(rows.map((row) => [...row]));
  const A = X.transpose().mmul(X).add(Matrix.eye(dim));
  const b = X.transpose().mmul(Matrix.columnVector([...rewards]));
  return Float64Array.from(solve(A, b).to1DArray());
}

/** `f(x) = v·relu(xW + b) + c`, parameters in one array: W `[dim, hidden]`, b, v, c. */
export class Network64 {
  readonly theta: Float64Array;

  constructor(
    theta: ArrayLike<number>,
    private readonly dim: number,
    private readonly hidden: number,
  ) {
    this.theta = Float64Array.from(theta);
  }

  private activations(x: ArrayLike<number>): Float64Array {
    const { theta, dim, hidden } = this;
    return Float64Array.from({ length: hidden }, (_, j) => {
      let z = theta[dim * hidden + j]!;
      for (let i = 0; i < dim; i++) z += x[i]! * theta[i * hidden + j]!;
      return Math.max(0, z);
    });
  }

  predict(x: ArrayLike<number>): number {
    const { theta, dim, hidden } = this;
    const v = (dim + 1) * hidden;
    return this.activations(x).reduce((sum, h, j) => sum + h * theta[v + j]!, theta[v + hidden]!);
  }

  /** ∇f in the parameters. */
  gradient(x: ArrayLike<number>): Float64Array {
    const { theta, dim, hidden } = this;
    const v = (dim + 1) * hidden;
    const gradient = new Float64Array(theta.length);
    gradient[v + hidden] = 1;
    for (const [j, h] of this.activations(x).entries()) {
      gradient[v + j] = h;
      if (h === 0) continue;
      const slope = theta[v + j]!;
      gradient[dim * hidden + j] = slope;
      for (let i = 0; i < dim; i++) gradient[i * hidden + j] = slope * x[i]!;
    }
    return gradient;
  }

  /** One step `θ ← θ − η s ∇f`. */
  descend(x: ArrayLike<number>, slope: number, learningRate: number): void {
    const gradient = this.gradient(x);
    for (const [k, g] of gradient.entries()) this.theta[k]! -= learningRate * slope * g;
  }
}
