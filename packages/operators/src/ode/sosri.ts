/**
 * Strong order 1.5 stochastic Runge–Kutta methods for diagonal noise, SOSRI and SOSRI2 (C. Rackauckas, Q. Nie, *Stability-
 * optimized high order methods and stiffness detection for pathwise stiff stochastic differential equations*, 2020; constants
 * and estimates of StochasticDiffEq.jl).
 */
import { add, div, mul, type Scalar, square, sub, type Tensor } from '@tensorflow/tfjs-core';
import { scaledError, stiffnessEstimate, type Tolerances, weightedSum } from './combination.js';

/** Drift or diffusion: a function of time and state with the state's shape. */
export type Coefficient = (t: number, u: Tensor) => Tensor;

/** SOSRI is the more accurate, SOSRI2 the more stable. */
export type SdeMethod = 'sosri' | 'sosri2';

interface SosriTableau {
  readonly c0: readonly number[];
  readonly c1: readonly number[];
  readonly a0: readonly (readonly number[])[];
  readonly b0: readonly (readonly number[])[];
  readonly a1: readonly (readonly number[])[];
  readonly b1: readonly (readonly number[])[];
  readonly alpha: readonly number[];
  readonly beta1: readonly number[];
  readonly beta2: readonly number[];
  readonly beta3: readonly number[];
  readonly beta4: readonly number[];
}

/** |h| times the stiffness estimate beyond this is limited by stability. */
export const SOSRI_STABILITY = 10.6;

const TABLEAUS: Record<SdeMethod, SosriTableau> = {
  sosri: {
    c0: [0, -0.04199224421316468, 0.7898405466170333, 3.7504010171562823],
    c1: [0, 0.26204282091330466, 0.05879875232001766, 0.758661169101175],
    a0: [
      [],
      [-0.04199224421316468],
      [2.842612915017106, -2.0527723684000727],
      [4.338237071435815, -2.8895936137439793, 2.3017575594644466],
    ],
    b0: [
      [],
      [-0.21641093549612528],
      [1.5336352863679572, 0.26066223492647056],
      [-1.0536037558179159, 1.7015284721089472, -0.20725685784180017],
    ],
    a1: [
      [],
      [0.26204282091330466],
      [0.20903646383505375, -0.1502377115150361],
      [0.05836595312746999, 0.6149440396332373, 0.08535117634046772],
    ],
    b1: [
      [],
      [-0.5119011827621657],
      [2.67767339866713, -4.9395031322250995],
      [0.15580956238299215, 3.2361551006624674, -1.4223118283355949],
    ],
    alpha: [1.140099274172029, -0.6401334255743456, 0.4736296532772559, 0.026404498125060714],
    beta1: [-1.8453464565104432, 2.688764531100726, -0.2523866501071323, 0.40896857551684956],
    beta2: [0.4969658141589478, -0.5771202869753592, -0.12919702470322217, 0.2093514975196336],
    beta3: [2.8453464565104425, -2.688764531100725, 0.2523866501071322, -0.40896857551684945],
    beta4: [0.11522663875443433, -0.57877086147738, 0.2857851028163886, 0.17775911990655704],
  },
  sosri2: {
    c0: [0, 0.13804532298278663, 1, 1],
    c1: [0, 0.45605532163856893, 1, 1],
    a0: [
      [],
      [0.13804532298278663],
      [0.5818361298250374, 0.4181638701749618],
      [0.4670018408674211, 0.8046204792187386, -0.27162232008616016],
    ],
    b0: [
      [],
      [0.08852381537667678],
      [1.0317752458971061, 0.4563552922077882],
      [1.73078280444124, -0.46089678470929774, -0.9637509618944188],
    ],
    a1: [
      [],
      [0.45605532163856893],
      [0.7555807846451692, 0.24441921535482677],
      [0.6981181143266059, 0.3453277086024727, -0.04344582292908241],
    ],
    b1: [
      [],
      [0.6753186815412179],
      [-0.07452812525785148, -0.49783736486149366],
      [-0.5591906709928903, 0.022696571806569924, -0.8984927888368557],
    ],
    alpha: [-0.15036858140642623, 0.7545275855696072, 0.686995463807979, -0.2911544680711602],
    beta1: [-0.45315689727309133, 0.8330937231303951, 0.3792843195533544, 0.24077885458934192],
    beta2: [-0.4994383733810986, 0.9181786186154077, -0.25613778661003145, -0.16260245862427797],
    beta3: [1.4531568972730915, -0.8330937231303933, -0.3792843195533583, -0.24077885458934023],
    beta4: [-0.4976090683622265, 0.9148155835648892, -1.4102107084476505, 0.9930041932449877],
  },
};

/** Increments of the two Brownian motions over a step: independent, N(0, step), of the state's shape. */
export interface NoiseIncrements {
  readonly dW: Tensor;
  readonly dZ: Tensor;
}

/** A step of SOSRI or SOSRI2. */
export interface SosriStep {
  /** The state at the end. */
  readonly u: Tensor;
  /** Estimate of the error over the allowed error. */
  readonly errorEstimate: Scalar;
  /** Estimate of the drift's greatest eigenvalue, 1/time. */
  readonly stiffness: Scalar;
}

/** Options of {@link sosriStep}. */
export interface SosriOptions extends Tolerances {
  readonly method: SdeMethod;
  /** Weight of the drift's part in the error estimate. Default 1 */
  readonly delta?: number;
}

/** `base` plus the weighted stages, which may all have weight 0. */
function offset(base: Tensor, ...sums: [readonly number[], readonly Tensor[]][]): Tensor {
  return sums.reduce<Tensor>(
    (total, [weights, stages]) =>
      weights.some((w) => w !== 0) ? add(total, weightedSum(weights, stages)) : total,
    base,
  );
}

/**
 * One step of du = f(t, u) dt + g(t, u) dW, Itô, with diagonal noise: entry i of g multiplies entry i of dW. Differentiable, with
 * step and noise constant. Makes tensors without tidying.
 *
 * @param drift - f
 * @param diffusion - g
 * @param t - time at the start
 * @param u - state at the start, any shape
 * @param step - length of the step, positive
 * @param noise - increments over the step
 */
export function sosriStep(
  drift: Coefficient,
  diffusion: Coefficient,
  t: number,
  u: Tensor,
  step: number,
  { dW, dZ }: NoiseIncrements,
  { method, delta = 1, ...tolerances }: SosriOptions,
): SosriStep {
  const T = TABLEAUS[method];
  const root = Math.sqrt(step);
  const chi1 = div(sub(square(dW), step), 2 * root);
  const chi2 = mul(add(dW, div(dZ, Math.sqrt(3))), 0.5);
  const chi3 = div(sub(mul(square(dW), dW), mul(dW, 3 * step)), 6 * step);
  const times = (weights: readonly number[], factor: number) => weights.map((w) => w * factor);
  const f: Tensor[] = [];
  const g: Tensor[] = [];
  for (let i = 0; i < 4; i++) {
    let state0 = u;
    let state1 = u;
    if (i > 0) {
      state0 = add(offset(u, [times(T.a0[i]!, step), f]), mul(chi2, weightedSum(T.b0[i]!, g)));
      state1 = offset(u, [times(T.a1[i]!, step), f], [times(T.b1[i]!, root), g]);
    }
    f.push(drift(t + T.c0[i]! * step, state0));
    g.push(diffusion(t + T.c1[i]! * step, state1));
  }
  const second = add(mul(chi2, weightedSum(T.beta3, g)), mul(chi3, weightedSum(T.beta4, g)));
  const first = mul(step, weightedSum([1, 1, 1, 1], f));
  const noise = add(mul(dW, weightedSum(T.beta1, g)), mul(chi1, weightedSum(T.beta2, g)));
  const end = add(add(add(u, weightedSum(times(T.alpha, step), f)), second), noise);
  // H⁰₄ − H⁰₃ from the stages, since the states would cancel.
  const a = T.a0[3]!.map((w, j) => step * (w - (T.a0[2]![j] ?? 0)));
  const b = T.b0[3]!.map((w, j) => w - (T.b0[2]![j] ?? 0));
  return {
    u: end,
    errorEstimate: scaledError(add(mul(first, delta), second), u, end, tolerances),
    stiffness: stiffnessEstimate(
      sub(f[3]!, f[2]!),
      add(weightedSum(a, f), mul(chi2, weightedSum(b, g))),
    ),
  };
}
