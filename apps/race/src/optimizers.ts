/** The table of who can race: a new optimiser is one more entry. */
import {
  AdamW,
  AuON,
  DctAdamW,
  HybridAuON,
  Muon,
  NorMuon,
  type OptimizerState,
  Root,
  type ScheduleFunction,
  Trion,
} from '@orth/muon';
import type { Optimizer, Variable } from '@tensorflow/tfjs-core';

/** What the race needs of an optimiser beyond tfjs's own interface. */
export interface RaceOptimizer extends Pick<Optimizer, 'applyGradients' | 'dispose'> {
  /** Bytes of state kept between steps. */
  stateBytes(): number;
  /** Everything needed to go on in another process: plain data with typed arrays. */
  saveState(): Promise<OptimizerState>;
  /** Goes on from a saved state; throws a CheckpointError, with nothing changed, when it does not fit. */
  loadState(state: OptimizerState, variables: readonly Variable[]): void;
}

/** An entry of {@link OPTIMIZERS}. */
export interface OptimizerEntry {
  /** Name for people. */
  readonly label: string;
  /** Peak learning rate: the best of the sweep (see README). */
  readonly learningRate: number;
  /** Peak learning rates that the sweep tries; as many for every optimiser. */
  readonly sweep: readonly number[];
  /** Makes a fresh optimiser. */
  create(learningRate: ScheduleFunction): RaceOptimizer;
}

const SWEEP = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032];
/** As GPTs are trained: a shorter memory of the second moment than Adam's 0.999. */
const ADAM = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

/** Updates of the size of AdamW's, and AdamW for the rest: one number to tune, on one grid, for all that orthogonalise. */
const MATCHED = { weightDecay: ADAM.weightDecay, adjustLearningRate: 'matchRmsAdamW' } as const;
/** AuON's updates have a Frobenius norm of about 1, whatever the shape: this gives them the same size. */
const NORMALIZED = {
  weightDecay: ADAM.weightDecay,
  adjustLearningRate: (outSize: number, inSize: number) => 0.2 * Math.sqrt(outSize * inSize),
};
/** Share of a matrix' shorter side that the low-rank optimisers keep. */
const RANK = 0.25;

/** Who can race, by the name that options use. */
export const OPTIMIZERS = {
  adamW: {
    label: 'AdamW',
    learningRate: 0.002,
    sweep: SWEEP,
    create: (learningRate) => new AdamW({ ...ADAM, learningRate }),
  },
  // Scaled to the size of AdamW's updates, Muon has one learning rate for its matrices and for the embeddings and head
  // that AdamW updates: one number to tune, on the same grid.
  muon: {
    label: 'Muon',
    learningRate: 0.016,
    sweep: SWEEP,
    create: (learningRate) =>
      new Muon({
        learningRate,
        weightDecay: ADAM.weightDecay,
        adjustLearningRate: 'matchRmsAdamW',
        adamW: { ...ADAM, learningRate },
      }),
  },
  norMuon: {
    label: 'NorMuon',
    learningRate: 0.016,
    sweep: SWEEP,
    create: (learningRate) =>
      new NorMuon({ ...MATCHED, learningRate, adamW: { ...ADAM, learningRate } }),
  },
  root: {
    label: 'ROOT',
    learningRate: 0.016,
    sweep: SWEEP,
    create: (learningRate) =>
      new Root({ ...MATCHED, learningRate, adamW: { ...ADAM, learningRate } }),
  },
  auON: {
    label: 'AuON',
    learningRate: 0.004,
    sweep: SWEEP,
    create: (learningRate) =>
      new AuON({ ...NORMALIZED, learningRate, adamW: { ...ADAM, learningRate } }),
  },
  hybridAuON: {
    label: 'Hybrid-AuON',
    learningRate: 0.002,
    sweep: SWEEP,
    create: (learningRate) =>
      new HybridAuON({ ...NORMALIZED, learningRate, adamW: { ...ADAM, learningRate } }),
  },
  trion: {
    label: 'Trion',
    learningRate: 0.016,
    sweep: SWEEP,
    create: (learningRate) =>
      new Trion({ ...MATCHED, rank: RANK, learningRate, adamW: { ...ADAM, learningRate } }),
  },
  dctAdamW: {
    label: 'DCT-AdamW',
    learningRate: 0.008,
    sweep: SWEEP,
    create: (learningRate) => new DctAdamW({ ...ADAM, rank: RANK, errorBits: 8, learningRate }),
  },
} as const satisfies Record<string, OptimizerEntry>;

/** Name of an optimiser in {@link OPTIMIZERS}. */
export type OptimizerName = keyof typeof OPTIMIZERS;

/** The names, in the table's order. */
export const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[];
