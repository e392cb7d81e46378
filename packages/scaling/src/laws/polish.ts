/** Levenberg–Marquardt steps from a good start to the last digits, and the covariance there. */
import { levenbergMarquardt } from 'ml-levenberg-marquardt';
import { inverse, Matrix } from 'ml-matrix';

/** A model of data points with its derivatives, both by the point's index. */
export interface Model {
  value(parameters: readonly number[], point: number): number;
  gradient(parameters: readonly number[], point: number): number[];
}

const ITERATIONS = 60;

/** Weighted sum of squared residuals. */
export function squaresOf(
  model: Model,
  parameters: readonly number[],
  y: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number {
  let sum = 0;
  for (let i = 0; i < y.length; i++) {
    sum += (weights?.[i] ?? 1) * (y[i]! - model.value(parameters, i)) ** 2;
  }
  return sum;
}

/**
 * Improves parameters; those at 0 stay there (a bound that is active), the others stay >= 0. What is not better is not
 * taken.
 */
export function polish(
  model: Model,
  start: readonly number[],
  y: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number[] {
  const free = start.flatMap((p, i) => (p > 0 ? [i] : []));
  if (free.length === 0) return [...start];
  const full = (reduced: readonly number[]) => {
    const all = [...start];
    free.forEach((i, k) => {
      all[i] = reduced[k]!;
    });
    return all;
  };
  // Steps in units of the parameters themselves: their sizes differ by orders of magnitude.
  const units = free.map((i) => start[i]!);
  const scaled = (reduced: readonly number[]) => full(reduced.map((p, k) => p * units[k]!));
  const x = Array.from(y, (_, i) => i);
  try {
    const { parameterValues } = levenbergMarquardt(
      { x, y: Array.from(y) },
      (p) => (i) => model.value(scaled(p), i),
      {
        initialValues: free.map(() => 1),
        jacobianFunction: (p) => (i) => {
          const g = model.gradient(scaled(p), i);
          return free.map((j, k) => g[j]! * units[k]!);
        },
        minValues: free.map(() => 0),
        ...(weights && { weights: Array.from(weights, (w) => 1 / Math.sqrt(w)) }),
        maxIterations: ITERATIONS,
        damping: 1e-4,
        improvementThreshold: 1e-9,
        errorTolerance: 0,
      },
    );
    const found = scaled(parameterValues);
    if (!found.every(Number.isFinite)) return [...start];
    return squaresOf(model, found, y, weights) <= squaresOf(model, start, y, weights)
      ? found
      : [...start];
  } catch {
    // A singular step: the data does not determine the parameters, and the start is as good as any.
    return [...start];
  }
}

/** σ² (JᵀWJ)⁻¹ over the positive parameters, NaN for those at a bound; undefined if it is singular. */
export function covarianceOf(
  model: Model,
  parameters: readonly number[],
  y: ArrayLike<number>,
  weights: ArrayLike<number> | undefined,
  variance: number,
): number[][] | undefined {
  const free = parameters.flatMap((p, i) => (p > 0 ? [i] : []));
  const units = free.map((i) => parameters[i]!);
  const J = Array.from(y, (_, i) => {
    const g = model.gradient(parameters, i);
    const root = Math.sqrt(weights?.[i] ?? 1);
    return free.map((j, k) => g[j]! * units[k]! * root);
  });
  try {
    const jacobian = new Matrix(J);
    const inverted = inverse(jacobian.transpose().mmul(jacobian));
    const covariance = parameters.map(() => parameters.map(() => Number.NaN));
    free.forEach((i, a) => {
      free.forEach((j, b) => {
        covariance[i]![j] = variance * inverted.get(a, b) * units[a]! * units[b]!;
      });
    });
    const sound = free.every((i) => covariance[i]![i]! >= 0);
    return sound ? covariance : undefined;
  } catch {
    return undefined;
  }
}
