import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import { selectColumns } from '@orth/newton-schulz';
import {
  add,
  cast,
  div,
  equal,
  expandDims,
  matMul,
  mul,
  reshape,
  sqrt,
  square,
  sub,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { mix } from './adamWUpdate.js';
import { DctTables } from './dctTables.js';
import { descend, WEIGHT_DECAY_MODES, type WeightDecayMode } from './descend.js';
import {
  back,
  checkLowRank,
  chosenVectors,
  LOW_RANK_DEFAULTS,
  type LowRankOptions,
  lowShape,
  project,
  rankOf,
} from './lowRank.js';

/** State of DCT-AdamW for a matrix `[…, m, n]` with rank r; the longer side stays where it is. */
export interface DctAdamWState {
  /** Chosen basis vectors, `[…, r]` int32; what they hold before the first step does not matter. */
  readonly indices: Tensor;
  /** Running mean of the coordinates, `[…, m, r]` if m >= n, else `[…, r, n]`; zeros before the first step. */
  readonly firstMoment: Tensor;
  /** Running mean of their squares, the same shape; zeros before the first step. */
  readonly secondMoment: Tensor;
  /** What the projections left out so far, `[…, m, n]`; zeros before the first step. With `errorFeedback` only. */
  readonly error?: Tensor;
}

/** Options of {@link dctAdamWUpdate}. */
export interface DctAdamWUpdateOptions extends LowRankOptions {
  /** Which update of these weights this is, from 1. */
  readonly step: number;
  /** Learning rate, >= 0. Default 1e-3 */
  readonly learningRate?: number;
  /** Decay of the first moment, in [0, 1). Default 0.9 */
  readonly beta1?: number;
  /** Decay of the second moment, in [0, 1). Default 0.999 */
  readonly beta2?: number;
  /** Added to the root of the second moment, > 0. Default 1e-8 */
  readonly epsilon?: number;
  /** Weight decay per unit of learning rate, >= 0. Default 0 */
  readonly weightDecay?: number;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
  /** Whether what a projection leaves out is added to the next gradient. Default true */
  readonly errorFeedback?: boolean;
  /** Steps between choices of the subspace, integer >= 1: chosen at step 1 and where it divides the step. Default 1 */
  readonly updateGap?: number;
  /** Whether moments are carried into a newly chosen subspace, rather than left where they are. Default true */
  readonly rotateStates?: boolean;
}

/** Defaults of DCT-AdamW. */
export const DCT_ADAM_W_DEFAULTS = {
  ...LOW_RANK_DEFAULTS,
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  weightDecayMode: 'decoupled' as WeightDecayMode,
  errorFeedback: true,
  updateGap: 1,
  rotateStates: true,
} as const;

/**
 * One step of DCT-AdamW for a matrix, or a batch of equal ones: AdamW on the coordinates of the gradient along `r` vectors
 * of a fixed basis, with error feedback.
 *
 *     A = G + E;   choose r basis vectors B for A, low = A along B;   E ← A − back(low)
 *     m ← β₁ m + (1 − β₁) low,   v ← β₂ v + (1 − β₂) low²
 *     W ← W − lr·wd·W − lr · √(1 − β₂ᵗ)/(1 − β₁ᵗ) · back(m / (√v + ε √(1 − β₂ᵗ)))
 *
 * Before that, a new choice carries m and v along: since all vectors belong to one orthonormal basis, the exact rotation
 * only moves the coordinates of vectors that stay chosen and zeroes the rest.
 *
 * @param weights - `[…, m, n]`, float32; not modified
 * @param gradient - the weights' shape
 * @param state - not modified
 * @returns the new weights and state, which the caller disposes
 * @throws TypeError or RangeError for wrong tensors or options
 * @see Modoranu et al. 2025, arXiv 2505.17967, algorithm of DCT-AdamW; IST-DASLab/ISTA-DASLab-Optimizers, fft_low_rank
 */
export function dctAdamWUpdate(
  weights: Tensor,
  gradient: Tensor,
  state: DctAdamWState,
  options: DctAdamWUpdateOptions,
): DctAdamWState & { readonly weights: Tensor } {
  const caller = 'dctAdamWUpdate';
  checkOptions(caller, options, ['step', ...Object.keys(DCT_ADAM_W_DEFAULTS)]);
  const all = { ...DCT_ADAM_W_DEFAULTS, ...options };
  checkLowRank(caller, all);
  checkInteger(caller, 'step', all.step, { min: 1 });
  checkNumber(caller, 'learningRate', all.learningRate, { min: 0 });
  checkNumber(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkDctAdamW(caller, all);
  checkTensor(caller, 'weights', weights, { minRank: 2 });
  checkTensor(caller, 'gradient', gradient, { shape: weights.shape });
  const batch = weights.shape.slice(0, -2);
  const [m, n] = weights.shape.slice(-2) as [number, number];
  const rank = rankOf(caller, all.rank, m, n);
  const low = [...batch, ...lowShape(m, n, rank)];
  checkTensor(caller, 'indices', state.indices, { shape: [...batch, rank], dtype: ['int32'] });
  checkTensor(caller, 'firstMoment', state.firstMoment, { shape: low });
  checkTensor(caller, 'secondMoment', state.secondMoment, { shape: low });
  if (all.errorFeedback) checkTensor(caller, 'error', state.error, { shape: weights.shape });
  const tables = new DctTables();
  try {
    const table = tables.get(all.basis, Math.min(m, n));
    return tidy(() => {
      const count = weights.size / (m * n);
      const flat = (x: Tensor) => reshape(x, [count, ...x.shape.slice(batch.length)]);
      const full = (x: Tensor) => reshape(x, [...batch, ...x.shape.slice(1)]);
      const { direction, ...next } = lowRankAdam(
        flat(gradient),
        {
          indices: flat(state.indices),
          firstMoment: flat(state.firstMoment),
          secondMoment: flat(state.secondMoment),
          ...(all.errorFeedback && { error: flat(state.error!) }),
        },
        table,
        { ...all, rank },
      );
      const update = mul(full(direction), all.learningRate);
      const shrink = all.learningRate * all.weightDecay;
      return {
        weights: descend(weights, update, shrink, all.weightDecayMode),
        indices: full(next.indices),
        firstMoment: full(next.firstMoment),
        secondMoment: full(next.secondMoment),
        ...(next.error && { error: full(next.error) }),
      };
    });
  } finally {
    tables.dispose();
  }
}

/**
 * Checks what neither a schedule gives nor the projection needs.
 * @throws TypeError or RangeError for a bad option
 */
export function checkDctAdamW(caller: string, options: Omit<LowRankAdamOptions, 'rank' | 'step'>) {
  checkNumber(caller, 'beta1', options.beta1, { min: 0, below: 1 });
  checkNumber(caller, 'beta2', options.beta2, { min: 0, below: 1 });
  checkNumber(caller, 'epsilon', options.epsilon, { above: 0 });
  checkOneOf(caller, 'weightDecayMode', options.weightDecayMode, WEIGHT_DECAY_MODES);
  checkBoolean(caller, 'errorFeedback', options.errorFeedback);
  checkInteger(caller, 'updateGap', options.updateGap, { min: 1 });
  checkBoolean(caller, 'rotateStates', options.rotateStates);
}

/** What {@link lowRankAdam} needs of the options. */
export type LowRankAdamOptions = Omit<
  Required<DctAdamWUpdateOptions>,
  'rank' | 'learningRate' | 'weightDecay'
> & { readonly rank: number };

/** {@link dctAdamWUpdate} up to the direction, for a batch `[b, m, n]`, without checks. */
export function lowRankAdam(
  gradient: Tensor,
  state: DctAdamWState,
  table: Tensor2D,
  options: LowRankAdamOptions,
): DctAdamWState & { readonly direction: Tensor } {
  const { rank, basis, transform, norm, step, updateGap, rotateStates } = options;
  const { beta1, beta2, epsilon } = options;
  const [m, n] = gradient.shape.slice(1) as [number, number];
  const A = state.error ? add(gradient, state.error) : gradient;
  const choose = step === 1 || step % updateGap === 0;
  const named = typeof basis === 'string';
  const { indices, vectors, low } = choose
    ? selectColumns(A, {
        rank,
        norm,
        ...(named ? { basis, table, transform } : { basis: table }),
        checkBasis: false,
      })
    : keepSubspace(A, state.indices, table);
  const carried = choose && rotateStates && step > 1;
  const move = carried ? rotation(state.indices, indices, m >= n) : (x: Tensor) => x;
  const firstMoment = mix(move(state.firstMoment), low, beta1);
  const secondMoment = mix(move(state.secondMoment), square(low), beta2);
  const rootC2 = Math.sqrt(1 - beta2 ** step);
  const scaled = div(firstMoment, add(sqrt(secondMoment), epsilon * rootC2));
  return {
    indices,
    firstMoment,
    secondMoment,
    ...(state.error && { error: sub(A, back(low, vectors, m, n)) }),
    direction: mul(back(scaled, vectors, m, n), rootC2 / (1 - beta1 ** step)),
  };
}

function keepSubspace(A: Tensor, indices: Tensor, table: Tensor) {
  const vectors = chosenVectors(table, indices);
  return { indices, vectors, low: project(A, vectors) };
}

/** Moves coordinates from the old to the new choice of vectors: a product with zeros and ones, hence exact. */
function rotation(former: Tensor, next: Tensor, right: boolean): (x: Tensor) => Tensor {
  const match = cast(equal(expandDims(next, 2), expandDims(former, 1)), 'float32');
  return (x) => (right ? matMul(x, match, false, true) : matMul(match, x));
}
