import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  div,
  mean,
  mul,
  reshape,
  sqrt,
  square,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { mix } from './adamWUpdate.js';
import type { Layout } from './matrixView.js';

/** Which vectors of a matrix {@link normuonNormalize} evens out. */
export type NeuronAxis = 'neuron' | 'long';

/** Options of {@link normuonNormalize}. */
export interface NormuonNormalizeOptions {
  /** Decay of the second moment, in [0, 1). Default 0.95 */
  readonly beta2?: number;
  /** Added to the root of the second moment and to the norm, > 0. Default 1e-10, with `'paper'` 1e-8 */
  readonly epsilon?: number;
  /**
   * `'neuron'`: one number an output (the paper). `'long'`: one for each vector along the longer side, as modded-nanogpt
   * and nanochat do; outputs where the sides are equal. Default `'neuron'`
   */
  readonly axis?: NeuronAxis;
  /** `'muon'` keeps the norm of `o`; `'paper'` makes the root mean square 0.2. Default `'muon'` */
  readonly scaling?: 'muon' | 'paper';
  /** Whether columns (`'inOut'`, tfjs) or rows (`'outIn'`, PyTorch) are the outputs. Default `'inOut'` */
  readonly layout?: Layout;
}

/** Defaults of {@link normuonNormalize}. */
export const NORMUON_DEFAULTS = {
  beta2: 0.95,
  axis: 'neuron' as NeuronAxis,
  scaling: 'muon' as 'muon' | 'paper',
  layout: 'inOut' as Layout,
} as const;

/** Epsilon where none is given. */
export const normuonEpsilon = (scaling: 'muon' | 'paper') => (scaling === 'paper' ? 1e-8 : 1e-10);

/** Whether the statistics belong to rows of an `m × n` matrix, rather than to columns. */
export function countsRows(m: number, n: number, axis: NeuronAxis, layout: Layout): boolean {
  if (axis === 'neuron' || m === n) return layout === 'outIn';
  return m > n;
}

/**
 * Evens out the neurons of an orthogonalised update, and keeps its norm:
 *
 *     v ← β₂ v + (1 − β₂) mean_in(O ⊙ O),   N = O / (√v + ε),   D = N · ‖O‖ / (‖N‖ + ε)
 *
 * `scaling: 'paper'`: `D = 0.2 √(out·in) N / ‖N‖`. The second moment needs no bias correction: the factor cancels in D. If
 * O is exactly semi-orthogonal, vectors along its shorter side have unit norm already, so `'neuron'` does little for
 * matrices with fewer outputs than inputs.
 *
 * @param o - `[…, m, n]`, float32; not modified
 * @param secondMoment - v, `[…, outputs]` (or `[…, longer side]`), zeros before the first step; not modified
 * @returns `update` D, `[…, m, n]`, and the new `secondMoment`, which the caller disposes
 * @throws TypeError or RangeError for wrong tensors or options
 * @see Li et al. 2025, "NorMuon", arXiv 2510.05491, algorithm 1; zichongli5/NorMuon
 */
export function normuonNormalize(
  o: Tensor,
  secondMoment: Tensor,
  options: NormuonNormalizeOptions = {},
): { readonly update: Tensor; readonly secondMoment: Tensor } {
  const caller = 'normuonNormalize';
  checkOptions(caller, options, [...Object.keys(NORMUON_DEFAULTS), 'epsilon']);
  const all = { ...NORMUON_DEFAULTS, ...options };
  checkNumber(caller, 'beta2', all.beta2, { min: 0, below: 1 });
  checkOneOf(caller, 'axis', all.axis, ['neuron', 'long']);
  checkOneOf(caller, 'scaling', all.scaling, ['muon', 'paper']);
  checkOneOf(caller, 'layout', all.layout, ['inOut', 'outIn']);
  const epsilon = all.epsilon ?? normuonEpsilon(all.scaling);
  checkNumber(caller, 'epsilon', epsilon, { above: 0 });
  checkTensor(caller, 'o', o, { minRank: 2 });
  const [m, n] = o.shape.slice(-2) as [number, number];
  const length = countsRows(m, n, all.axis, all.layout) ? m : n;
  const shape = [...o.shape.slice(0, -2), length];
  checkTensor(caller, 'secondMoment', secondMoment, { shape });
  return normalizeStep(o, secondMoment, { ...all, epsilon });
}

/** {@link normuonNormalize} without its checks. */
export function normalizeStep(
  o: Tensor,
  secondMoment: Tensor,
  options: Required<NormuonNormalizeOptions>,
): { readonly update: Tensor; readonly secondMoment: Tensor } {
  const { beta2, epsilon, axis, scaling, layout } = options;
  return tidy(() => {
    const [m, n] = o.shape.slice(-2) as [number, number];
    const rows = countsRows(m, n, axis, layout);
    const perMatrix = [...o.shape.slice(0, -2), 1, 1];
    const meanSquare = mean(square(o), rows ? -1 : -2);
    const next = mix(secondMoment, meanSquare, beta2);
    const factor = div(1, add(sqrt(next), epsilon));
    // ‖O‖² and ‖N‖² from the mean squares: no second pass over the matrix.
    const width = rows ? n : m;
    const norm = (squares: Tensor) => sqrt(mul(sum(squares, -1, true), width));
    const before = norm(meanSquare);
    const after = norm(mul(meanSquare, square(factor)));
    const target = scaling === 'paper' ? 0.2 * Math.sqrt(m * n) : before;
    const rescaled = mul(factor, div(target, add(after, epsilon)));
    const along = reshape(rescaled, [...perMatrix.slice(0, -2), ...(rows ? [m, 1] : [1, n])]);
    return { update: mul(o, along), secondMoment: next };
  });
}
