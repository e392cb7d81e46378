/** The output perturbation of NeuCB and the projected gradient steps that it makes strongly convex. */
import type { Random } from '@orth/backend';
import type { Mlp } from './mlp.js';
import { lossAt, type RegressionLoss, slopeAt } from './regressionLoss.js';

/** Factor `c_p · m^(−1/4)` of the perturbation, m the width of the last hidden layer. */
export const perturbationFactor = (scale: number, width: number) => scale * width ** -0.25;

/** Coefficient `c_p²/√m` of the pull to θ₀ that the perturbation is in expectation (square loss). */
export const expectedPull = (scale: number, width: number) => (scale * scale) / Math.sqrt(width);

/** S × p signs, each ±1 with equal probability. */
export function drawSigns(random: Random, count: number): Int8Array {
  const signs = new Int8Array(count);
  for (let i = 0; i < count; ) {
    let bits = Math.floor(random.uniform() * 2 ** 32);
    for (let k = 0; k < 32 && i < count; k++, i++) {
      signs[i] = bits & 1 ? 1 : -1;
      bits >>>= 1;
    }
  }
  return signs;
}

/** `κ⟨θ − θ₀, ε_s⟩` for each of the S rows of `signs`: the same for every input. */
export function perturbationShifts(
  theta: ArrayLike<number>,
  theta0: ArrayLike<number>,
  signs: ArrayLike<number>,
  factor: number,
): Float64Array {
  const p = theta.length;
  const shifts = new Float64Array(signs.length / p);
  for (let s = 0; s < shifts.length; s++) {
    let sum = 0;
    for (let i = 0; i < p; i++) sum += signs[s * p + i]! * (theta[i]! - theta0[i]!);
    shifts[s] = factor * sum;
  }
  return shifts;
}

/** Mean of numbers. */
export const meanOf = (values: Float64Array) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * `L = (1/S) Σ_s ℓ(y, f + κ⟨θ − θ₀, ε_s⟩)` at one input, and its gradient
 * `(1/S) Σ_s ℓ'(y, f̃_s)(∇f + κ ε_s)`.
 *
 * @param signs - S rows of p signs
 * @returns the loss; `gradient` is filled
 * @see Deb et al. 2024, arXiv:2312.07145
 */
export function perturbedGradient(
  net: Mlp,
  theta0: ArrayLike<number>,
  signs: ArrayLike<number>,
  factor: number,
  sample: { x: Float64Array; at: number; block: number; y: number; loss: RegressionLoss },
  gradient: Float64Array,
): number {
  const { x, at, block, y, loss } = sample;
  const p = net.parameterCount;
  const shifts = perturbationShifts(net.theta, theta0, signs, factor);
  const f = net.forward(x, at, block);
  const S = shifts.length;
  gradient.fill(0);
  let total = 0;
  let slopes = 0;
  for (let s = 0; s < S; s++) {
    const z = f + shifts[s]!;
    const slope = slopeAt(loss, y, z) / S;
    total += lossAt(loss, y, z) / S;
    slopes += slope;
    for (let i = 0; i < p; i++) gradient[i]! += slope * factor * signs[s * p + i]!;
  }
  net.backward(slopes);
  net.addGradient(block, 1, gradient);
  return total;
}

/**
 * Projects each block of parameters (weights and biases of each layer) on the ball around its initial value.
 *
 * @param radius - Frobenius norm allowed to hidden layers
 * @param outputRadius - to the output layer
 */
export function projectToBall(
  net: Mlp,
  theta0: ArrayLike<number>,
  radius: number,
  outputRadius: number,
): void {
  if (radius === Infinity && outputRadius === Infinity) return;
  const { theta, layers } = net;
  for (const [l, { inputs, outputs, weights, biases }] of layers.entries()) {
    const limit = l === layers.length - 1 ? outputRadius : radius;
    for (const [start, count] of [
      [weights, inputs * outputs],
      [biases, outputs],
    ] as const) {
      let square = 0;
      for (let i = start; i < start + count; i++) square += (theta[i]! - theta0[i]!) ** 2;
      const norm = Math.sqrt(square);
      if (norm <= limit) continue;
      const factor = limit / norm;
      for (let i = start; i < start + count; i++) {
        theta[i] = theta0[i]! + factor * (theta[i]! - theta0[i]!);
      }
    }
  }
}
