import { checkFinite, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { polar } from '@orth/newton-schulz';
import { neg, Tensor, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import { type MatrixInput, readMatrix, toTensor2D } from './denseMatrix.js';
import { checkExponent, dictionaryGradient } from './dictionaryStep.js';
import { randomOrthogonal } from './orthonormal.js';

/** Options of {@link mspDictionary}. */
export interface MspOptions {
  /** Exponent, > 2. Default 4 */
  readonly p?: number;
  /** Most steps, integer >= 1. Default 50 */
  readonly iterations?: number;
  /** Stop when the objective rises by less than this share of itself, >= 0; 0 never stops. Default 1e−7 */
  readonly tolerance?: number;
  /** Start, shape `[N, N]`. Default: random orthogonal */
  readonly init?: MatrixInput;
  /** Seed of the random start, integer. Default 0 */
  readonly seed?: number;
  /** Called before each step, with `D` before it (not to be disposed) and `Σ |DᵀY|^p`. */
  readonly onStep?: (step: {
    readonly iteration: number;
    readonly D: Tensor2D;
    readonly objective: number;
  }) => void;
}

/** What {@link mspDictionary} finds. */
export interface MspResult {
  /** The dictionary, shape `[N, N]`, orthogonal; the caller disposes it. */
  readonly D: Tensor2D;
  /** `Σ |DᵀY|^p` before each step; never falls. */
  readonly objectives: readonly number[];
  /** Steps made. */
  readonly iterations: number;
  /** Whether the objective had stopped rising. */
  readonly converged: boolean;
}

/**
 * One step of matching, stretching, projection: `polar(Y (sign(Z)|Z|^{p−1})ᵀ)` with `Z = DᵀY`.
 *
 * @param D - dictionary, shape `[N, N]`
 * @param Y - all samples as columns, shape `[N, n]`
 * @returns shape `[N, N]`, orthogonal to 1e−5
 * @throws TypeError or RangeError for shapes that do not fit, or p <= 2
 */
export function mspStep(D: Tensor2D, Y: Tensor2D, p: number): Tensor2D {
  return tidy(() => polar(neg(dictionaryGradient(D, Y, p).gradient)) as Tensor2D);
}

/**
 * Orthogonal dictionary from samples that are all there: matching, stretching and projection, the batch method beside
 * the online one. It is Frank–Wolfe with step 1 on one batch.
 *
 * @param Y - samples as columns, shape `[N, n]`, float32
 * @throws TypeError or RangeError for a bad shape or option, or samples that are not finite
 * @example
 * const { D } = await mspDictionary(Y, { p: 4 });
 * @see Zhai et al. 2019, arXiv 1906.02435
 */
export async function mspDictionary(Y: Tensor2D, options: MspOptions = {}): Promise<MspResult> {
  const caller = 'mspDictionary';
  checkTensor(caller, 'Y', Y, { rank: 2 });
  checkOptions(caller, options, ['p', 'iterations', 'tolerance', 'init', 'seed', 'onStep']);
  const { p = 4, iterations = 50, tolerance = 1e-7, init, seed = 0, onStep } = options;
  checkExponent(caller, p);
  checkInteger(caller, 'iterations', iterations, { min: 1 });
  checkNumber(caller, 'tolerance', tolerance, { min: 0 });
  checkInteger(caller, 'seed', seed);
  const [n, count] = Y.shape;
  if (init instanceof Tensor) checkTensor(caller, 'init', init, { shape: [n, n] });
  const start = init && (await readMatrix(caller, 'init', init));
  if (start && `${start.shape}` !== `${[n, n]}`) {
    throw new RangeError(`${caller}: init must have shape [${n},${n}], got shape [${start.shape}]`);
  }
  checkFinite(caller, 'Y', await Y.data());
  let D = start ? toTensor2D(start) : randomOrthogonal(n, { seed });
  const objectives: number[] = [];
  let converged = false;
  for (let iteration = 0; iteration < iterations && !converged; iteration++) {
    const { gradient, objective } = dictionaryGradient(D, Y, p);
    const value = -count * (await objective.data())[0]!;
    objective.dispose();
    onStep?.({ iteration, D, objective: value });
    const last = objectives.at(-1);
    objectives.push(value);
    converged = tolerance > 0 && last !== undefined && value - last <= tolerance * value;
    const next = tidy(() => polar(neg(gradient)) as Tensor2D);
    gradient.dispose();
    D.dispose();
    D = next;
  }
  return { D, objectives, iterations: objectives.length, converged };
}
