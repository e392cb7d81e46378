/**
 * Singular values of typical matrices, divided by the Frobenius norm: what size-specific coefficients are fitted to.
 * Large shapes are stood for by quantiles, at most {@link POINTS} numbers each.
 */
import type { seededRandom } from '@orth/backend';
import { svd } from './svd.js';

type Random = ReturnType<typeof seededRandom>;

/** Numbers that stand for the spectrum of a large matrix. */
const POINTS = 128;
/** Up to this short side Gaussian matrices are drawn and decomposed; beyond, their spectra hardly vary. */
const DRAWN = 32;
/** Matrices drawn for a small shape. */
const DRAWS = 4;
/** Spectra of matrices near low rank for each shape. */
const DECAYS = 4;

/** Spectra of Gaussian matrices with short side `k` and long side `l`. */
export function gaussianSpectra(k: number, l: number, random: Random): Float64Array[] {
  if (k > DRAWN) return [marchenkoPastur(k, l)];
  return Array.from({ length: DRAWS }, () => {
    const X = Float64Array.from({ length: k * l }, () => random.normal());
    return toUnitNorm(svd(X, k, l).values, k);
  });
}

/**
 * Quantiles of the limiting spectrum of a Gaussian matrix: λ of `X Xᵀ / l` has density proportional to
 * `√((λ₊ − λ)(λ − λ₋)) / λ`, λ± = (1 ± √y)², y = k / l, and σ / ‖X‖_F = √(λ / k).
 * @see Marchenko and Pastur 1967
 */
export function marchenkoPastur(k: number, l: number): Float64Array {
  const y = k / l;
  const root = 2 * Math.sqrt(y);
  // λ = 1 + y − 2 √y cos φ makes the density smooth: sin²φ / λ dφ.
  const cells = 4096;
  const lambda = (cell: number) => 1 + y - root * Math.cos(((cell + 0.5) * Math.PI) / cells);
  const weight = Float64Array.from(
    { length: cells },
    (_, cell) => Math.sin(((cell + 0.5) * Math.PI) / cells) ** 2 / lambda(cell),
  );
  const total = weight.reduce((sum, w) => sum + w, 0);
  const count = Math.min(k, POINTS);
  const values = new Float64Array(count);
  let below = 0;
  for (let cell = 0, i = 0; cell < cells && i < count; cell++) {
    below += weight[cell]! / total;
    while (i < count && below >= (i + 0.5) / count) values[i++] = lambda(cell);
  }
  return toUnitNorm(values.map(Math.sqrt), k);
}

/** Spectra that fall by two decades, evenly in the logarithm but for a jitter of 20 %: momenta are close to low rank. */
export function decayingSpectra(k: number, random: Random): Float64Array[] {
  const count = Math.min(k, POINTS);
  return Array.from({ length: DECAYS }, () => {
    const values = Float64Array.from(
      { length: count },
      (_, i) => 10 ** ((-2 * i) / Math.max(1, count - 1)) * Math.exp(0.2 * random.normal()),
    );
    return toUnitNorm(values, k);
  });
}

/** Scales numbers that stand for `k` singular values so that the squares of those sum to 1. */
function toUnitNorm(values: Float64Array, k: number): Float64Array {
  const square = values.reduce((sum, s) => sum + s * s, 0) * (k / values.length);
  return values.map((s) => s / Math.sqrt(square));
}
