/** The eigenmodes of a task in the form that the sums of the theory run over, an analytic tail included. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { checkNumbers, checkSameLength } from '../checks.js';
import { compensatedSum } from './sums.js';

/** Modes beyond the listed ones, as a power law: λ_i = `eigenvalueScale` · i^−alpha, v_i² = `coeffScale` · i^−beta. */
export interface SpectrumTail {
  /** Exponent of the eigenvalues, > 1. */
  readonly alpha: number;
  /** Exponent of the squared coefficients, > 1. */
  readonly beta: number;
  /** Index of the last mode before the tail, integer >= 0. Default: how many eigenvalues are given */
  readonly from?: number;
  /** Factor on the eigenvalues, > 0. Default 1 */
  readonly eigenvalueScale?: number;
  /** Factor on the squared coefficients, >= 0. Default 1 */
  readonly coeffScale?: number;
}

/** A kernel's spectrum and a target's coefficients in it. */
export interface RegressionTask {
  /** Mercer eigenvalues of the kernel, >= 0, in any order; up to a million and more. */
  readonly eigenvalues: ArrayLike<number>;
  /** Coefficients v_i of the target in the orthonormal eigenbasis, as many as `eigenvalues`. Σ v² = E f². */
  readonly coeffs: ArrayLike<number>;
  /** Modes beyond the listed ones. Default: none */
  readonly tail?: SpectrumTail;
}

/** Modes with a positive eigenvalue; each may stand for several. */
export interface Modes {
  readonly eigenvalues: Float64Array;
  /** Squared coefficients, multiplicity included. */
  readonly power: Float64Array;
  /** How many modes each stands for; absent where each stands for one. */
  readonly multiplicity: Float64Array | undefined;
  /** Σ λ. */
  readonly trace: number;
  /** How many positive modes there are; Infinity with a tail. */
  readonly rank: number;
  /** Σ v² over modes with λ = 0, which nothing learns. */
  readonly unlearnable: number;
  readonly smallest: number;
}

/** Nodes and weights of five-point Gauss–Legendre quadrature on [−1, 1]. */
const GAUSS = [
  [-0.906179845938664, 0.236926885056189],
  [-0.5384693101056831, 0.4786286704993665],
  [0, 0.5688888888888889],
  [0.5384693101056831, 0.4786286704993665],
  [0.906179845938664, 0.236926885056189],
] as const;
const PANEL = 0.5;
/** Natural logarithm of the smallest eigenvalue of a tail that is followed: what is beyond counts as never learnt. */
const TAIL_DEPTH = 600;

/** Checks a tail. */
function checkTail(caller: string, tail: SpectrumTail): void {
  const known = ['alpha', 'beta', 'from', 'eigenvalueScale', 'coeffScale'];
  checkOptions(`${caller}: tail`, tail, known);
  checkNumber(caller, 'tail.alpha', tail.alpha, { above: 1 });
  checkNumber(caller, 'tail.beta', tail.beta, { above: 1 });
  if (tail.from !== undefined) checkInteger(caller, 'tail.from', tail.from, { min: 0 });
  if (tail.eigenvalueScale !== undefined) {
    checkNumber(caller, 'tail.eigenvalueScale', tail.eigenvalueScale, { above: 0 });
  }
  if (tail.coeffScale !== undefined) {
    checkNumber(caller, 'tail.coeffScale', tail.coeffScale, { min: 0 });
  }
}

/** The tail as weighted modes: the sum over i > from is ∫ from + ½ on, by quadrature in log i. */
function tailNodes(tail: SpectrumTail, listed: number) {
  const { alpha, beta, from = listed, eigenvalueScale = 1, coeffScale = 1 } = tail;
  const start = Math.log(from + 0.5);
  const panels = Math.ceil((TAIL_DEPTH / alpha - start) / PANEL);
  const nodes = panels * GAUSS.length;
  const eigenvalues = new Float64Array(nodes);
  const power = new Float64Array(nodes);
  const multiplicity = new Float64Array(nodes);
  let at = 0;
  for (let panel = 0; panel < panels; panel++) {
    for (const [node, weight] of GAUSS) {
      const t = start + (panel + 0.5 + node / 2) * PANEL;
      const count = Math.exp(t) * weight * (PANEL / 2);
      eigenvalues[at] = eigenvalueScale * Math.exp(-alpha * t);
      power[at] = coeffScale * count * Math.exp(-beta * t);
      multiplicity[at++] = count;
    }
  }
  const end = start + panels * PANEL;
  const beyond = (coeffScale * Math.exp((1 - beta) * end)) / (beta - 1);
  return { eigenvalues, power, multiplicity, beyond };
}

/**
 * Checks a task and gathers its modes.
 * @throws TypeError or RangeError for negative or non-finite eigenvalues, lengths that differ, an all-zero spectrum
 */
export function modesOf(caller: string, { eigenvalues, coeffs, tail }: RegressionTask): Modes {
  checkNumbers(caller, 'eigenvalues', eigenvalues, { min: 0 });
  checkNumbers(caller, 'coeffs', coeffs);
  checkSameLength(caller, ['eigenvalues', eigenvalues], ['coeffs', coeffs]);
  if (tail !== undefined) checkTail(caller, tail);
  let positive = 0;
  for (let i = 0; i < eigenvalues.length; i++) if (eigenvalues[i]! > 0) positive++;
  if (positive === 0 && !tail) {
    throw new RangeError(
      `${caller}: eigenvalues must not all be 0, got ${eigenvalues.length} zeros`,
    );
  }
  const more = tail ? tailNodes(tail, eigenvalues.length) : undefined;
  const size = positive + (more?.eigenvalues.length ?? 0);
  const kept = new Float64Array(size);
  const power = new Float64Array(size);
  const multiplicity = more ? new Float64Array(size).fill(1) : undefined;
  let unlearnable = more?.beyond ?? 0;
  let smallest = Infinity;
  let at = 0;
  for (let i = 0; i < eigenvalues.length; i++) {
    const v = coeffs[i]!;
    const lambda = eigenvalues[i]!;
    if (lambda === 0) {
      unlearnable += v * v;
      continue;
    }
    if (lambda < smallest) smallest = lambda;
    kept[at] = lambda;
    power[at++] = v * v;
  }
  if (more) {
    kept.set(more.eigenvalues, at);
    power.set(more.power, at);
    multiplicity!.set(more.multiplicity, at);
  }
  const last = more?.eigenvalues.at(-1);
  return {
    eigenvalues: kept,
    power,
    multiplicity,
    trace: compensatedSum(size, (i) => kept[i]! * (multiplicity?.[i] ?? 1)),
    rank: more ? Infinity : positive,
    unlearnable,
    smallest: Math.min(smallest, last ?? Infinity),
  };
}
