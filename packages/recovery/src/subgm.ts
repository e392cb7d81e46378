import { checkOneOf, seededRandom } from '@orth/backend';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { type DenseMatrix, type MatrixInput, readMatrix, toTensor2D } from './denseMatrix.js';
import { checkMeasurement, type LinearMeasurement } from './linearMeasurement.js';
import { median } from './order.js';
import type { Factors } from './robustLoss.js';
import { spectralInit, spectralInitRectangular } from './spectralInit.js';
import {
  type Measured,
  readMeasurements,
  runSubgm,
  type SubgmReport,
  subgmStep,
} from './subgmLoop.js';
import {
  type ResolvedSubgmOptions,
  resolveSubgmOptions,
  type SubgmOptions,
} from './subgmOptions.js';

/** Result of {@link subgm}; the caller disposes `U` and `X`. */
export interface SubgmResult extends SubgmReport {
  /** Shape `[d, rank]`; X = U Uᵀ. */
  readonly U: Tensor2D;
}

/** Result of {@link subgmRectangular}; the caller disposes `L`, `R` and `X`. */
export interface SubgmRectangularResult extends SubgmReport {
  /** Shape `[rows, rank]`. */
  readonly L: Tensor2D;
  /** Shape `[columns, rank]`; X = L Rᵀ. */
  readonly R: Tensor2D;
}

/** Reads factors that were given, checks their shapes, and that not all is 0, which no step would leave. */
async function givenFactors(
  caller: string,
  given: Readonly<Record<string, MatrixInput>>,
  shapes: Readonly<Record<string, readonly [number, number]>>,
): Promise<Factors> {
  const matrices: DenseMatrix[] = [];
  for (const [name, shape] of Object.entries(shapes)) {
    const matrix = await readMatrix(caller, name, given[name]!);
    if (`${matrix.shape}` !== `${shape}`) {
      const got = `got shape [${matrix.shape}]`;
      throw new RangeError(`${caller}: ${name} must have shape [${shape}], ${got}`);
    }
    if (matrix.data.every((x) => x === 0)) {
      throw new RangeError(`${caller}: ${name} must not be all zeros: no step leaves that point`);
    }
    matrices.push(matrix);
  }
  return matrices.map(toTensor2D) as unknown as Factors;
}

/** `alpha` in absolute terms. */
function sizeOf({ alpha, relativeAlpha }: ResolvedSubgmOptions, { values }: Measured): number {
  if (!relativeAlpha) return alpha;
  const scale = median(Array.from(values, Math.abs)) / 0.6745;
  return alpha * Math.sqrt(scale > 0 ? scale : 1);
}

const gaussianFactor = (seed: number, d: number, rank: number, alpha: number) =>
  seededRandom(seed).normalTensor([d, rank], 0, alpha / Math.sqrt(d)) as Tensor2D;

/**
 * Recovers a PSD low-rank matrix from linear measurements of which many may be grossly wrong: subgradient steps
 * `U ← U − η_t Q_t U` on the ℓ1 loss of `U Uᵀ` from a tiny start, with the rank over-estimated at will.
 *
 * Runs on the device; numbers are read back every 50 steps. Sample need and final error do not depend on `rank` as long
 * as `alpha` is small; smaller `alpha` needs about log(1/α) more steps.
 *
 * @param A - measurement of `[d, d]` matrices; its matrices need not be symmetric
 * @param y - measurements, shape `[m]`, not all 0
 * @param options.rank - columns of U, 1 … d; `options.init` may also be `U₀`, shape `[d, rank]`
 * @returns a promise of `{ U, X, history, iterations, reason, converged, medianResidual }`
 * @throws TypeError or RangeError, by rejecting, for shapes that do not fit, a bad option, NaN, or a start of zeros
 * @example
 * const { A, y } = matrixSensing({ d: 20, rank: 3, m: 400, outliers: 0.1 });
 * const { X, converged } = await subgm(A, y, { rank: 20, alpha: 1e-5 });
 * @see Ma and Fattahi 2022, arXiv 2202.08788
 */
export async function subgm(
  A: LinearMeasurement,
  y: Tensor | ArrayLike<number>,
  options: Omit<SubgmOptions, 'init'> & { readonly init?: SubgmOptions['init'] | MatrixInput },
): Promise<SubgmResult> {
  checkMeasurement('subgm', A, true);
  const d = A.rows;
  const resolved = resolveSubgmOptions('subgm', options, d);
  const { rank, seed } = resolved;
  const { init = 'spectral' } = options;
  if (typeof init === 'string') checkOneOf('subgm', 'init', init, ['spectral', 'gaussian']);
  const given =
    typeof init === 'string'
      ? undefined
      : await givenFactors('subgm', { init }, { init: [d, rank] });
  let measured: Measured | undefined;
  try {
    measured = await readMeasurements('subgm', A, y);
    const alpha = sizeOf(resolved, measured);
    const start: Factors =
      given ??
      (init === 'spectral'
        ? [await spectralInit(A, measured.y, { rank, alpha })]
        : [gaussianFactor(seed, d, rank, alpha)]);
    const held = measured;
    const run = await runSubgm('subgm', A, held, start, resolved, (factors, t) =>
      subgmStep(A, held.y, factors, resolved, t),
    );
    const { factors, ...report } = run;
    return { U: factors[0], ...report };
  } catch (error) {
    if (given && !given[0].isDisposed) given[0].dispose();
    throw error;
  } finally {
    measured?.y.dispose();
  }
}

/**
 * {@link subgm} for matrices of any shape, `X = L Rᵀ`: `L ← L − η_t Q_t R`, `R ← R − η_t Q_tᵀ L`, which is the
 * symmetric method on `[[0, X], [Xᵀ, 0]]`.
 *
 * @param A - measurement of `[rows, columns]` matrices, e.g. a `maskMeasurement`
 * @param options.init - may also be `{ L, R }`, shapes `[rows, rank]` and `[columns, rank]`
 * @returns a promise of `{ L, R, X, … }`
 * @throws as {@link subgm}
 */
export async function subgmRectangular(
  A: LinearMeasurement,
  y: Tensor | ArrayLike<number>,
  options: Omit<SubgmOptions, 'init'> & {
    readonly init?: SubgmOptions['init'] | { readonly L: MatrixInput; readonly R: MatrixInput };
  },
): Promise<SubgmRectangularResult> {
  const caller = 'subgmRectangular';
  checkMeasurement(caller, A, false);
  const { rows, columns } = A;
  const resolved = resolveSubgmOptions(caller, options, Math.min(rows, columns));
  const { rank, seed } = resolved;
  const { init = 'spectral' } = options;
  if (typeof init === 'string') checkOneOf(caller, 'init', init, ['spectral', 'gaussian']);
  const given =
    typeof init === 'string'
      ? undefined
      : await givenFactors(
          caller,
          { L: init.L, R: init.R },
          {
            L: [rows, rank],
            R: [columns, rank],
          },
        );
  let measured: Measured | undefined;
  try {
    measured = await readMeasurements(caller, A, y);
    const alpha = sizeOf(resolved, measured);
    let start = given;
    if (!start && init === 'spectral') {
      const { L, R } = await spectralInitRectangular(A, measured.y, { rank, alpha });
      start = [L, R];
    }
    start ??= [
      gaussianFactor(seed, rows, rank, alpha),
      gaussianFactor(seed + 1, columns, rank, alpha),
    ];
    const held = measured;
    const run = await runSubgm(caller, A, held, start, resolved, (factors, t) =>
      subgmStep(A, held.y, factors, resolved, t),
    );
    const { factors, ...report } = run;
    return { L: factors[0], R: factors[1]!, ...report };
  } catch (error) {
    for (const F of given ?? []) if (!F.isDisposed) F.dispose();
    throw error;
  } finally {
    measured?.y.dispose();
  }
}
