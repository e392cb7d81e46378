/**
 * One exact step of stochastic gradient descent on `W = V U + 1ωᵀ`: Vincent, de Brébisson and Bouthillier 2015, arXiv
 * 1412.7091, whose letters are kept. Here the update: O(m d² + m² d) for m examples, whatever D is;
 * for m > d also O(d³).
 */
import { NonFiniteError } from '@orth/backend';
import type { FactoredForward } from './factoredForward.js';
import { type FactoredWeights, isNear } from './factoredWeights.js';
import {
  addRowTimes,
  addScaled,
  dot,
  multiply,
  setIdentity,
  solveInPlace,
  sumOfSquares,
  total,
} from './hostProduct.js';

/**
 * Descends along the gradient of the weighted sum of losses.
 *
 * @param learningRate - η >= 0; at 0 nothing changes
 * @param conditionLimit - U is renormalised once it is further than this from the identity
 * @throws NonFiniteError if a weight would overflow; then nothing was changed
 */
export function factoredUpdate(
  weights: FactoredWeights,
  forward: FactoredForward,
  learningRate: number,
  conditionLimit: number,
): void {
  if (learningRate === 0) return;
  const eta = learningRate;
  const { D, d } = weights;
  const { m, K, hidden: H, HU, Z, byTarget, bySquares, bySum, hiddenGradient } = forward;
  const { current, next } = weights;

  // B = 2 diag(gq) H.
  const B = new Float64Array(m * d);
  for (let i = 0; i < m; i++) addScaled(d, 2 * bySquares[i]!, H, i * d, B, i * d);

  // U ← U − η (H Uᵀ)ᵀ B
  next.U.set(current.U);
  multiply(d, d, m, { data: HU, transposed: true }, { data: B }, next.U, 1, -eta);
  const near = updateInverse(weights, eta, H, B, bySquares, m) && isNear(d, next, conditionLimit);

  // M = (∂L/∂O)(∂L/∂O)ᵀ, m × m
  const M = outputGradientProducts(D, forward);
  const ZB = new Float64Array(m * m);
  multiply(m, m, d, { data: Z }, { data: B, transposed: true }, ZB);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) M[i * m + j] = M[i * m + j]! + ZB[i * m + j]! + ZB[j * m + i]!;
  }

  // Q ← Q − η (GᵀH + HᵀG) + η² HᵀMH = Q − η (FᵀH + HᵀF) with F = G − η/2 M H
  const F = new Float64Array(m * d);
  multiply(m, d, m, { data: M }, { data: H }, F);
  for (let i = 0; i < F.length; i++) F[i] = hiddenGradient[i]! - (eta / 2) * F[i]!;
  const FH = new Float64Array(d * d);
  multiply(d, d, m, { data: F, transposed: true }, { data: H }, FH);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < d; j++) {
      next.Q[i * d + j] = current.Q[i * d + j]! - eta * (FH[i * d + j]! + FH[j * d + i]!);
    }
  }

  // ω ← ω − η Hᵀ(2 gq (Hω) + gs);  w̄ ← w̄ − η Hᵀ(ga + D gs + B w̄)
  next.omega.set(current.omega);
  next.columnSums.set(current.columnSums);
  for (let i = 0; i < m; i++) {
    const twice = 2 * bySquares[i]!;
    const HOmega = dot(d, H, i * d, current.omega, 0);
    addScaled(d, -eta * (twice * HOmega + bySum[i]!), H, i * d, next.omega, 0);
    const change = total(byTarget, i * K, K) + D * bySum[i]! + twice * forward.sums[i]!;
    addScaled(d, -eta * change, H, i * d, next.columnSums, 0);
  }

  // V[c] ← V[c] − η ga H U⁻¹. Where U has gone too far from the identity, or become singular, it becomes a map that
  // rows pass, and the update is made in the new coordinates, where U = I: no inverse, and no digit of V lost to it.
  const rows = Float64Array.from(forward.rows);
  const directions = new Float64Array(m * d);
  if (near) {
    multiply(m, d, d, { data: H }, { data: next.inverse, transposed: true }, directions);
  } else {
    directions.set(H);
    rows.fill(0);
    for (let u = 0; u < forward.classes.length; u++) {
      rows.set(next.omega, u * d);
      addRowTimes(d, d, forward.rows, u * d, next.U, rows, u * d);
    }
  }
  for (let t = 0; t < m * K; t++) {
    const i = Math.floor(t / K);
    addScaled(d, -eta * byTarget[t]!, directions, i * d, rows, forward.classOf[t]! * d);
  }

  const size =
    sumOfSquares(next.U) +
    sumOfSquares(next.Q) +
    sumOfSquares(next.omega) +
    sumOfSquares(next.columnSums) +
    sumOfSquares(rows);
  // Rows are kept in float32: anything that rounds to its infinity is too large.
  if (!Number.isFinite(size) || rows.some((x) => !Number.isFinite(Math.fround(x)))) {
    throw new NonFiniteError(
      'SphericalOutputLayer: the step makes weights infinite, nothing was changed; lower the learning rate',
    );
  }
  weights.exchange();
  if (!near) weights.renormalize();
  for (let u = 0; u < forward.classes.length; u++) {
    weights.writeRow(forward.classes[u]!, rows, u * d);
  }
}

/**
 * U⁻ᵀ after the step. With P = diag(2 gq): `U' = U (I − η HᵀPH)`, so `U'⁻ᵀ = U⁻ᵀ (I − η HᵀPH)⁻¹`, by Woodbury's identity
 * `U⁻ᵀ + η (U⁻ᵀ Hᵀ P) (I − η H Hᵀ P)⁻¹ H` where m <= d.
 * @returns false where U' is singular to rounding; then the inverse is not written
 */
function updateInverse(
  weights: FactoredWeights,
  eta: number,
  H: Float64Array,
  B: Float64Array,
  bySquares: Float64Array,
  m: number,
): boolean {
  const { d } = weights;
  const old = weights.current.inverse;
  const out = weights.next.inverse;
  if (m > d) {
    const E = new Float64Array(d * d);
    setIdentity(d, E);
    multiply(d, d, m, { data: H, transposed: true }, { data: B }, E, 1, -eta);
    // E is symmetric, so the transpose of U'⁻ᵀ = U⁻ᵀ E⁻¹ solves E X = U⁻¹.
    const inverse = transposed(d, old);
    if (!solveInPlace(d, d, E, inverse)) return false;
    out.set(transposed(d, inverse));
  } else {
    const K = new Float64Array(m * m);
    setIdentity(m, K);
    multiply(m, m, d, { data: H }, { data: B, transposed: true }, K, 1, -eta);
    // The inverse times H: fewer columns to eliminate than H has, and the product is faster than elimination.
    const inverse = new Float64Array(m * m);
    setIdentity(m, inverse);
    if (!solveInPlace(m, m, K, inverse)) return false;
    const X = new Float64Array(m * d);
    multiply(m, d, m, { data: inverse }, { data: H }, X);
    const HInverse = new Float64Array(m * d);
    multiply(m, d, d, { data: H }, { data: old, transposed: true }, HInverse);
    for (let i = 0; i < m; i++) {
      const factor = 2 * eta * bySquares[i]!;
      for (let j = i * d; j < (i + 1) * d; j++) HInverse[j] = HInverse[j]! * factor;
    }
    out.set(old);
    multiply(d, d, m, { data: HInverse, transposed: true }, { data: X }, out, 1);
  }
  return Number.isFinite(sumOfSquares(out));
}

/** `4 gq gqᵀ ∘ (H Q Hᵀ) + D gs gsᵀ + Y + gs gaᵀ + ga gsᵀ`: products of the output gradients but for the terms of B. */
function outputGradientProducts(D: number, forward: FactoredForward): Float64Array {
  const { m, K, byTarget, bySquares, bySum, classOf, logitProducts } = forward;
  const M = new Float64Array(m * m);
  const targets = Float64Array.from({ length: m }, (_, i) => total(byTarget, i * K, K));
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      const at = i * m + j;
      M[at] =
        4 * bySquares[i]! * bySquares[j]! * logitProducts[at]! +
        D * bySum[i]! * bySum[j]! +
        bySum[i]! * targets[j]! +
        targets[i]! * bySum[j]!;
    }
  }
  // Y: labels that name the same class.
  const byClass: number[][] = Array.from({ length: forward.classes.length }, () => []);
  for (let t = 0; t < m * K; t++) byClass[classOf[t]!]!.push(t);
  for (const same of byClass) {
    for (const t of same) {
      const row = Math.floor(t / K) * m;
      for (const r of same) {
        const at = row + Math.floor(r / K);
        M[at] = M[at]! + byTarget[t]! * byTarget[r]!;
      }
    }
  }
  return M;
}

function transposed(d: number, A: Float64Array): Float64Array {
  return Float64Array.from({ length: d * d }, (_, at) => A[(at % d) * d + Math.floor(at / d)]!);
}
