import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  add,
  concat,
  divNoNan,
  matMul,
  mul,
  relu,
  reshape,
  type Scalar,
  scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { type DenseMatrix, type MatrixInput, toTensor2D } from './denseMatrix.js';
import { checkMeasurement, type LinearMeasurement } from './linearMeasurement.js';
import { absoluteFit } from './order.js';
import { type Factors, lossOf, productOf } from './robustLoss.js';
import { leadingSingular } from './spectralInit.js';
import type { SubgmRectangularResult } from './subgm.js';
import { type Measured, readMeasurements, runSubgm, type Step } from './subgmLoop.js';
import type { SubgmStep } from './subgmOptions.js';
import { symmetricEigen } from './symmetricEigen.js';

/** Options of {@link scaledSubgradient}. */
export interface ScaledSubgradientOptions {
  /** Columns of the factors, 1 … min(rows, columns). */
  readonly rank: number;
  /** Damping of the preconditioner, as a share of the largest eigenvalue of `LᵀL` and `RᵀR`, > 0. Default 1e−5 */
  readonly lambda?: number;
  /** Steps, integer >= 1. Default 800 */
  readonly steps?: number;
  /** `'geometric'`: first move of size `η₀ ‖X₀‖_F`, falling by ρ; `'polyakKnown'` uses the optimum. Default `'geometric'` */
  readonly schedule?: 'geometric' | 'polyakKnown';
  /** Default 0.3 */
  readonly eta0?: number;
  /** In (0, 1]. Default 0.98 */
  readonly rho?: number;
  /** `(1/m) Σ |⟨A_i, X*⟩ − y_i|`, >= 0. Default 0 */
  readonly optimum?: number;
  /** Share of the largest |y| that the start leaves out, in [0, 1): at least that of the outliers. Default 0.3 */
  readonly truncation?: number;
  /** See `SubgmOptions`. Default 1e−3 */
  readonly tolerance?: number;
  readonly truth?: MatrixInput;
  readonly onStep?: (step: SubgmStep) => void;
  readonly signal?: AbortSignal;
}

const KEYS = [
  'rank',
  'lambda',
  'steps',
  'schedule',
  'eta0',
  'rho',
  'optimum',
  'truncation',
  'tolerance',
  'truth',
  'onStep',
  'signal',
];

/**
 * Leading singular triples of `Σ y_i A_i` over all but the largest |y|, scaled to fit y in ℓ1: a start of the right
 * size, whatever the operator.
 */
async function truncatedStart(
  A: LinearMeasurement,
  { y, values }: Measured,
  rank: number,
  truncation: number,
): Promise<[Tensor2D, Tensor2D]> {
  const sizes = Float64Array.from(values, Math.abs).sort();
  const bound = sizes[Math.max(0, Math.ceil((1 - truncation) * A.m) - 1)]!;
  const small = Float32Array.from(values, (v) => (Math.abs(v) <= bound ? v : 0));
  const kept = small.some((v) => v !== 0) ? tensor1d(small) : y.clone();
  const C = tidy(() => A.adjoint(kept));
  const data = Float64Array.from(await C.data());
  const shape = [A.rows, A.columns] as const;
  C.dispose();
  kept.dispose();
  const { values: sigma, left, right } = leadingSingular({ shape, data }, rank);
  const factor = (vectors: readonly Float64Array[], scale: number): DenseMatrix => {
    const rows = vectors[0]!.length;
    const out = new Float64Array(rows * rank);
    vectors.forEach((v, k) => {
      for (let i = 0; i < rows; i++) out[i * rank + k] = v[i]! * Math.sqrt(sigma[k]! * scale);
    });
    return { shape: [rows, rank], data: out };
  };
  const [L, R] = [toTensor2D(factor(left, 1)), toTensor2D(factor(right, 1))];
  const z = tidy(() => A.apply(productOf([L, R])));
  const fit = Math.abs(absoluteFit(values, await z.data()));
  const scale = Math.sqrt(fit > 0 ? fit : 1);
  const scaled = tidy(() => [mul(L, scale), mul(R, scale)]) as [Tensor2D, Tensor2D];
  for (const x of [z, L, R]) x.dispose();
  return scaled;
}

/** `(G + λ w₁ I)⁻¹` on the host for a small Gram matrix. */
function dampedInverse(G: ArrayLike<number>, r: number, lambda: number): Float32Array {
  const { values, vectors } = symmetricEigen(G, r);
  const damping = lambda * Math.max(values[0]!, Number.MIN_VALUE);
  const out = new Float32Array(r * r);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j < r; j++) {
      let total = 0;
      for (let k = 0; k < r; k++) {
        total += (vectors[k]![i]! * vectors[k]![j]!) / (Math.max(values[k]!, 0) + damping);
      }
      out[i * r + j] = total;
    }
  }
  return out;
}

/**
 * Robust low-rank recovery whose speed does not depend on the condition number: the preconditioned neighbour of
 * `subgmRectangular`. `L ← L − η Z R (RᵀR + λI)⁻¹`, `R ← R − η Zᵀ L (LᵀL + λI)⁻¹` on the ℓ1 loss of `L Rᵀ`.
 *
 * Two `rank × rank` matrices are read back and inverted in each step. Unlike SubGM it starts at full size, so the rank
 * may be over-estimated by a factor of two, not at will: take it from `estimateRank` of a run of `subgm`.
 *
 * @param A - measurement of `[rows, columns]` matrices
 * @param y - measurements, shape `[m]`, not all 0
 * @returns a promise of `{ L, R, X, history, iterations, reason, converged, medianResidual }`
 * @throws TypeError or RangeError, by rejecting, for shapes that do not fit, a bad option, or NaN
 * @see Tong, Ma and Chi 2021, arXiv 2010.13364 (geometric steps); Giampouras, Cai and Vidal 2025, OPSA (damping,
 *   Polyak steps)
 */
export async function scaledSubgradient(
  A: LinearMeasurement,
  y: Tensor | ArrayLike<number>,
  options: ScaledSubgradientOptions,
): Promise<SubgmRectangularResult> {
  const caller = 'scaledSubgradient';
  checkMeasurement(caller, A, false);
  checkOptions(caller, options, KEYS);
  const { rank, lambda = 1e-5, steps = 800, schedule = 'geometric', eta0 = 0.3 } = options;
  const { rho = 0.98, optimum = 0, truncation = 0.3, tolerance = 1e-3 } = options;
  const { truth, onStep, signal } = options;
  checkInteger(caller, 'rank', rank, { min: 1, max: Math.min(A.rows, A.columns) });
  checkNumber(caller, 'lambda', lambda, { above: 0 });
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkOneOf(caller, 'schedule', schedule, ['geometric', 'polyakKnown']);
  checkNumber(caller, 'eta0', eta0, { above: 0 });
  checkNumber(caller, 'rho', rho, { above: 0, max: 1 });
  checkNumber(caller, 'optimum', optimum, { min: 0 });
  checkNumber(caller, 'truncation', truncation, { min: 0, below: 1 });
  checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  const measured = await readMeasurements(caller, A, y);
  try {
    const start = await truncatedStart(A, measured, rank, truncation);
    const size = tidy(() => sqrt(sum(square(productOf(start)))));
    const scale = (await size.data())[0]!;
    size.dispose();
    const stepOf = async (factors: Factors, t: number): Promise<Step> => {
      const [L, R] = factors as [Tensor2D, Tensor2D];
      const grams = tidy(() =>
        concat([reshape(matMul(L, L, true), [-1]), reshape(matMul(R, R, true), [-1])]),
      );
      const values = await grams.data();
      grams.dispose();
      // What has overflown is carried on, and reported as divergence.
      const finite = values.every(Number.isFinite);
      const inverse = (G: ArrayLike<number>) =>
        finite ? dampedInverse(G, rank, lambda) : new Float32Array(rank * rank).fill(Number.NaN);
      const r2 = rank * rank;
      return tidy(() => {
        const forR = tensor2d(inverse(values.slice(0, r2)), [rank, rank]);
        const forL = tensor2d(inverse(values.slice(r2)), [rank, rank]);
        const { value, Q } = lossOf(A, measured.y as Tensor1D, factors);
        const [gL, gR] = [matMul(Q, R), matMul(Q, L, true)];
        const [dL, dR] = [matMul(gL, forL), matMul(gR, forR)];
        const square2 = add(sum(mul(gL, dL)), sum(mul(gR, dR)));
        const step =
          schedule === 'geometric'
            ? divNoNan(scalar(eta0 * rho ** t * scale), sqrt(square2))
            : divNoNan(relu(sub(value, optimum)), square2);
        return {
          factors: [sub(L, mul(step, dL)), sub(R, mul(step, dR))] as [Tensor2D, Tensor2D],
          numbers: [value, sqrt(sum(square(Q))), step] as [Scalar, Scalar, Scalar],
        };
      });
    };
    const held = {
      steps,
      tolerance,
      ...(truth !== undefined && { truth }),
      ...(onStep && { onStep }),
      ...(signal && { signal }),
    };
    const { factors, ...report } = await runSubgm(caller, A, measured, start, held, stepOf);
    return { L: factors[0], R: factors[1]!, ...report };
  } finally {
    measured.y.dispose();
  }
}
