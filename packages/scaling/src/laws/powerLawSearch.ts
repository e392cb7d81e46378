/** The power law A/x^α + E by variable projection: for a fixed α it is linear in A and E. */
import { minimizeBrent } from '../minimize.js';
import { type NonNegativeFit, nonNegativeFit } from './leastSquares.js';

/** Parameters of A/x^alpha + E. */
export interface PowerLaw {
  /** Factor, >= 0. */
  readonly A: number;
  /** Exponent, > 0. */
  readonly alpha: number;
  /** Asymptote for x → ∞, >= 0. */
  readonly E: number;
}

/** Exponents that are looked at first, and those beyond in case the best is at the upper end. */
export const ALPHA_RANGE = [1e-3, 8] as const;
const FURTHEST_ALPHA = 64;

/** Data of a fit; weights multiply squared residuals. */
export interface FitData {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  readonly weights?: ArrayLike<number> | undefined;
}

/** Logarithms of x about their mean, and that mean. */
export function centredLogs(x: ArrayLike<number>): { logs: Float64Array; mean: number } {
  const logs = Float64Array.from(x, Math.log);
  const mean = logs.reduce((s, v) => s + v, 0) / logs.length;
  return { logs: logs.map((v) => v - mean), mean };
}

/** The best exponent, and A in units of the geometric mean of x: free of any scale. */
export interface ScaledPowerLaw extends PowerLaw {
  readonly squares: number;
}

/**
 * Best parameters for x in units of its geometric mean.
 * @param points - nodes of the grid of exponents
 */
export function searchPowerLaw(
  logs: Float64Array,
  { y, weights }: Omit<FitData, 'x'>,
  points: number,
): ScaledPowerLaw {
  const ones = new Float64Array(logs.length).fill(1);
  const basis = new Float64Array(logs.length);
  const fitAt = (logAlpha: number): NonNegativeFit => {
    const alpha = Math.exp(logAlpha);
    for (let i = 0; i < logs.length; i++) basis[i] = Math.exp(-alpha * logs[i]!);
    return nonNegativeFit([basis, ones], y, weights);
  };
  const [low, high, furthest] = [...ALPHA_RANGE, FURTHEST_ALPHA].map(Math.log) as [
    number,
    number,
    number,
  ];
  const spacing = (high - low) / (points - 1);
  let best = low;
  let squares = Infinity;
  for (let u = low; u <= furthest + spacing / 2; u += spacing) {
    // Beyond the range only while that is still better.
    if (u > high + spacing / 2 && best < u - 1.5 * spacing) break;
    const found = fitAt(u).squares;
    if (found < squares) [best, squares] = [u, found];
  }
  const refined = minimizeBrent((u) => fitAt(u).squares, [best - spacing, best + spacing], 1e-10);
  const logAlpha = refined.value <= squares ? refined.x : best;
  const { coefficients, squares: least } = fitAt(logAlpha);
  const [A, E] = coefficients as [number, number];
  return { A, alpha: Math.exp(logAlpha), E, squares: least };
}
