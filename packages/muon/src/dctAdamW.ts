import { checkInteger, checkOneOf } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
import { DctAdamWMethod, type DctAdamWSettings } from './dctAdamWMethod.js';
import { checkDctAdamW, DCT_ADAM_W_DEFAULTS } from './dctAdamWUpdate.js';
import { checkLowRank, checkRanks, type LowRankOptions } from './lowRank.js';
import { MatrixOptimizer, type MatrixOptimizerOptions } from './matrixOptimizer.js';
import { MUON_DEFAULTS } from './muonUpdate.js';
import {
  ADAM_W_OPTIONS,
  type AdamWGroup,
  type AdamWHyperparameters,
  type FrozenGroup,
  type GroupMatch,
  type MatrixOptions,
  type MuonHyperparameters,
  pick,
  resolveMuon,
} from './options.js';

/**
 * Hyperparameters of DCT-AdamW. Of AdamW's, the defaults here are learning rate 1e-3, beta2 0.999, and epsilon 1e-8; the
 * auxiliary AdamW inherits them.
 */
export interface DctAdamWHyperparameters
  extends AdamWHyperparameters,
    LowRankOptions,
    Pick<MuonHyperparameters, 'layout' | 'convMode'> {
  /** Whether what a projection leaves out is added to the next gradient. Default true (the authors' code: false) */
  readonly errorFeedback?: boolean;
  /** Bits in which that is kept, each row between its own extremes: 4, 8, or 0 for float32. Default 0 */
  readonly errorBits?: 0 | 4 | 8;
  /** Steps between choices of the subspace, integer >= 1. Default 1 */
  readonly updateGap?: number;
  /** Whether moments follow a new choice of the subspace. Default true (the authors' code: false) */
  readonly rotateStates?: boolean;
  /** Matrices with a side of this length or more go to plain AdamW, integer >= 1. Default 32000 */
  readonly maxShape?: number;
}

/** Variables for DCT-AdamW, with what differs from the optimizer's own options. */
export interface DctAdamWGroup extends GroupMatch, DctAdamWHyperparameters, MatrixOptions {
  readonly optimizer: 'dctAdamW';
}

/** Options of the `DctAdamW` optimizer. */
export interface DctAdamWOptions
  extends DctAdamWHyperparameters,
    MatrixOptimizerOptions<DctAdamWGroup | AdamWGroup | FrozenGroup> {}

const OWN = [...Object.keys(DCT_ADAM_W_DEFAULTS), 'errorBits', 'maxShape'];

const DEFAULTS: DctAdamWSettings = {
  ...MUON_DEFAULTS,
  convMode: 'flatten',
  ...DCT_ADAM_W_DEFAULTS,
  errorBits: 0,
  maxShape: 32_000,
};

function resolve(caller: string, options: object, defaults = DEFAULTS): DctAdamWSettings {
  const all = { ...defaults, ...resolveMuon(caller, options, defaults), ...pick(options, OWN) };
  checkLowRank(caller, all);
  checkDctAdamW(caller, all);
  checkOneOf(caller, 'errorBits', all.errorBits, [0, 4, 8]);
  checkInteger(caller, 'maxShape', all.maxShape, { min: 1 });
  return all;
}

/**
 * DCT-AdamW: AdamW whose moments live along the `rank` cosine vectors in which the gradient is largest, with error feedback
 * for what they leave out, for hidden matrices, and plain AdamW for everything else.
 *
 * State of a matrix: `2 · rank · long` numbers and `rank` indices, and for error feedback one number a weight, or 4 or 8
 * bits a weight (in words of which three quarters are used) and two numbers a row. All layers with equal shorter sides share one table of `side²` numbers, which
 * belongs to the optimizer. Without error feedback or rotation quality falls a good deal. Routing, groups, schedules and
 * checkpoints are those of `Muon`.
 *
 * @example
 * const optimizer = new DctAdamW({ rank: 64, learningRate: 1e-3, errorBits: 8 });
 * @see {@link dctAdamWUpdate} for the formula; Modoranu et al. 2025, arXiv 2505.17967
 */
export class DctAdamW extends MatrixOptimizer<DctAdamWSettings, DctAdamWOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthDctAdamW';
  }

  private readonly method: DctAdamWMethod;

  /**
   * DCT-AdamW for hidden matrices, AdamW for the rest.
   * @param options - see {@link DctAdamWOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: DctAdamWOptions = {}) {
    const method = new DctAdamWMethod();
    super(options, {
      label: 'DctAdamW',
      optimizer: 'dctAdamW',
      options: [...OWN, 'layout', 'convMode'],
      method,
      resolve,
      adamW: {
        learningRate: DEFAULTS.learningRate,
        beta2: DEFAULTS.beta2,
        epsilon: DEFAULTS.epsilon,
        ...(pick(options ?? {}, ADAM_W_OPTIONS) as AdamWHyperparameters),
      },
      decline: (caller, view, { rank, maxShape }) => {
        const long = Math.max(view.rows, view.columns);
        if (long >= maxShape) return `a side of ${long}, maxShape is ${maxShape}`;
        checkRanks(caller, view, rank);
        return undefined;
      },
    });
    this.method = method;
  }

  override dispose(): void {
    super.dispose();
    this.method.tables.dispose();
  }
}

serialization.registerClass(DctAdamW);
