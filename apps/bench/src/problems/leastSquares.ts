import type { Random } from '@orth/backend';
import {
  matMul,
  mul,
  type Optimizer,
  sub,
  type Tensor,
  tensor2d,
  tidy,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { Matrix, solve } from 'ml-matrix';

const [ROWS, INPUTS, OUTPUTS] = [40, 8, 6];

/** Steps of a run. */
export const STEPS = 60;

/** A least-squares problem: find W in `A W ≈ B`. */
export interface LeastSquares {
  readonly A: Matrix;
  readonly B: Matrix;
  /** Loss of the best W. */
  readonly optimum: number;
}

/** `½ · mean over rows of ‖A W − B‖²`, float64. */
function loss(A: Matrix, B: Matrix, W: Matrix): number {
  const residual = Matrix.sub(A.mmul(W), B);
  return (0.5 * residual.norm('frobenius') ** 2) / A.rows;
}

/** A random problem whose columns have scales from 1 down to 0.1, with noise of 0.25 on B. */
export function leastSquares(random: Random): LeastSquares {
  const normal = (rows: number, columns: number, scale = 1) =>
    Matrix.from1DArray(
      rows,
      columns,
      Array.from({ length: rows * columns }, () => scale * random.normal()),
    );
  const A = normal(ROWS, INPUTS);
  for (let j = 0; j < INPUTS; j++) A.mulColumn(j, 10 ** (-j / (INPUTS - 1)));
  const B = Matrix.add(A.mmul(normal(INPUTS, OUTPUTS)), normal(ROWS, OUTPUTS, 0.25));
  return { A, B, optimum: loss(A, B, solve(A, B, true)) };
}

/**
 * Loss above the optimum after {@link STEPS} steps from W = 0.
 *
 * @param create - makes the optimizer, given the factor of its learning rate at a step: linear from 1 to 0
 */
export function excessLoss(
  { A, B, optimum }: LeastSquares,
  create: (decay: (step: number) => number) => Optimizer,
): number {
  const optimizer = create((step) => 1 - step / STEPS);
  const [a, b] = [tensor2d(A.to2DArray()), tensor2d(B.to2DArray())];
  const initial = zeros([INPUTS, OUTPUTS]);
  const W = variable(initial, true);
  for (let step = 0; step < STEPS; step++) {
    // The gradient by hand, Aᵀ(AW − B)/rows: a run this small is mostly overhead.
    const gradient = tidy((): Tensor => {
      const residual = sub(matMul(a, W), b);
      return mul(matMul(a, residual, true), 1 / ROWS);
    });
    optimizer.applyGradients({ [W.name]: gradient });
    gradient.dispose();
  }
  const result = Matrix.from1DArray(INPUTS, OUTPUTS, Array.from(W.dataSync()));
  optimizer.dispose();
  for (const x of [a, b, initial, W]) x.dispose();
  return loss(A, B, result) - optimum;
}
