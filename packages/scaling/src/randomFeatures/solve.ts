/**
 * The self-consistent equations of random-feature regression as one equation of one unknown.
 *
 * With L_i = λ_i/(λ_i+γ) and z = Σ L_i, eliminating κ = γ(1 − z/k) from z + δ/κ = n and z + kκ/γ = k leaves
 * (n − z)(k − z)γ = kδ. Written for s = min(n, k) − z it is s(s + |n − k|) = kδ/γ, whose positive root s(γ) has no
 * cancellation; what is left, z(γ) + s(γ) = min(n, k), decreases in γ and is solved by safeguarded Newton steps of
 * log against log, which power laws make nearly straight (derived here).
 */
import type { Modes } from './modes.js';
import { learnabilitySums } from './sums.js';

/** The state of a regression problem: everything that the risks are made of. */
export interface FixedPoint {
  readonly gamma: number;
  /** z = Σ L. */
  readonly z: number;
  /** p = Σ L(1 − L) = z − q. */
  readonly p: number;
  /** n − z = δ/κ. */
  readonly a: number;
  /** k − z = kκ/γ; Infinity for infinitely many features. */
  readonly b: number;
}

/** Sizes and ridge of a problem. */
export interface Setting {
  /** Samples, > 0, possibly fractional. */
  readonly n: number;
  /** Features, > 0, or Infinity. */
  readonly k: number;
  /** Ridge δ, >= 0. */
  readonly ridge: number;
}

/** s(γ), and its derivative by log γ. */
function slack({ n, k, ridge }: Setting, gamma: number): { s: number; slope: number } {
  if (ridge === 0) return { s: 0, slope: 0 };
  if (k === Infinity) return { s: ridge / gamma, slope: -ridge / gamma };
  const gap = Math.abs(n - k);
  const c = (k * ridge) / gamma;
  const root = Math.sqrt(gap * gap + 4 * c);
  return { s: (2 * c) / (gap + root), slope: -c / root };
}

/** The point at γ whose s is known. */
export function pointAt({ n, k }: Setting, gamma: number, z: number, p: number, s: number) {
  return { gamma, z, p, a: s + Math.max(0, n - k), b: k === Infinity ? k : s + Math.max(0, k - n) };
}

/** δ → 0 where the features or samples can represent every mode: γ = 0 and L = 1. */
function exactFit(modes: Modes, { n, k }: Setting): FixedPoint {
  return { gamma: 0, z: modes.rank, p: 0, a: n - modes.rank, b: k - modes.rank };
}

const MAX_STEPS = 200;

/** Solves for γ. */
export function solveFixedPoint(modes: Modes, setting: Setting): FixedPoint {
  const { n, k, ridge } = setting;
  const target = Math.min(n, k);
  if (ridge === 0 && modes.rank <= target) return exactFit(modes, setting);
  // z <= trace/γ and s <= √(kδ/γ) (or δ/γ): where these bounds meet the target, γ is too large or right.
  const { trace } = modes;
  const wide = k === Infinity;
  const c = wide ? 0 : k * ridge;
  const total = wide ? trace + ridge : trace;
  const x = (2 * target) / (Math.sqrt(c) + Math.sqrt(c + 4 * total * target));
  let high = -2 * Math.log(x);
  let low = -Infinity;
  let u = high;
  let best: FixedPoint | undefined;
  for (let count = 0; count < MAX_STEPS; count++) {
    const gamma = Math.exp(u);
    const { z, p } = learnabilitySums(modes, gamma);
    const { s, slope } = slack(setting, gamma);
    best = pointAt(setting, gamma, z, p, s);
    const excess = Math.log((z + s) / target);
    if (excess >= 0) low = u;
    if (excess <= 0) high = u;
    const step = (excess * (z + s)) / (p - slope);
    if (Math.abs(step) <= 4e-16 * Math.max(1, Math.abs(u)) || high - low <= 1e-15) break;
    // An unknown lower end is looked for in growing steps.
    const floor = low === -Infinity ? u - 2 ** Math.min(count, 6) : low;
    const inside = u + step > floor && u + step < high;
    u = inside ? u + step : low === -Infinity ? floor : (low + high) / 2;
  }
  return best!;
}
