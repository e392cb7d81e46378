import {
  type Matrix64,
  norm64,
  productTransposed,
  symmetricProduct,
  transpose64,
} from './matrix64.js';

/** Coefficients [a, b, c] of Muon's quintic (Jordan et al. 2024), written here so that the reference is independent. */
export const MUON_QUINTIC = [3.4445, -4.775, 2.0315] as const;

/** `scale·x + other`, elementwise. */
function combine(scale: number, x: Matrix64, other: Matrix64): Matrix64 {
  return { ...x, data: x.data.map((value, i) => scale * value + other.data[i]!) };
}

/**
 * Newton–Schulz iteration in float64: X ← aX + (bA + cA²)X with A = XXᵀ, from X = G/(‖G‖ + epsilon).
 *
 * Computed in the Gram form (all factors commute, so only the first and the last product touch the long side), which
 * float64 carries to about 1e-10; the test compares it with the plain form.
 *
 * @param rows - one [a, b, c] a step
 */
export function newtonSchulz64(
  g: Matrix64,
  rows: readonly (readonly [number, number, number])[],
  epsilon = 1e-7,
): Matrix64 {
  if (g.rows > g.columns) {
    return transpose64(newtonSchulz64(transpose64(g), rows, epsilon));
  }
  const norm = norm64(g.data) + epsilon;
  const x: Matrix64 = { ...g, data: g.data.map((value) => value / norm) };
  let r = symmetricProduct(x, x);
  let q: Matrix64 | undefined;
  for (const [a, b, c] of rows) {
    const square = symmetricProduct(r, r);
    const z: Matrix64 = { ...r, data: r.data.map((v, i) => b * v + c * square.data[i]!) };
    for (let i = 0; i < z.rows; i++) z.data[i * (z.rows + 1)]! += a;
    q = q ? symmetricProduct(z, q) : z;
    r = symmetricProduct(z, symmetricProduct(z, r));
  }
  return q ? productTransposed(q, transpose64(x)) : x;
}

/** Steps of Muon's quintic in float64. */
export const muonOrthogonalize64 = (g: Matrix64, steps = 5): Matrix64 =>
  newtonSchulz64(g, Array<typeof MUON_QUINTIC>(steps).fill(MUON_QUINTIC));

/** The plain form, as a check of the Gram form: 3 products a step on the whole matrix. */
export function newtonSchulzPlain64(
  g: Matrix64,
  rows: readonly (readonly [number, number, number])[],
  epsilon = 1e-7,
): Matrix64 {
  const norm = norm64(g.data) + epsilon;
  let x: Matrix64 = { ...g, data: g.data.map((value) => value / norm) };
  for (const [a, b, c] of rows) {
    const gram = productTransposed(x, x);
    const square = productTransposed(gram, transpose64(gram));
    const polynomial: Matrix64 = {
      ...gram,
      data: gram.data.map((v, i) => b * v + c * square.data[i]!),
    };
    x = combine(a, x, productTransposed(polynomial, transpose64(x)));
  }
  return x;
}

/** ‖XXᵀ − I‖ / √k on the short side of length k, Frobenius. */
export function orthogonalityError64(x: Matrix64): number {
  const wide = x.rows > x.columns ? transpose64(x) : x;
  const gram = symmetricProduct(wide, wide);
  for (let i = 0; i < gram.rows; i++) gram.data[i * (gram.rows + 1)]! -= 1;
  return norm64(gram.data) / Math.sqrt(gram.rows);
}
