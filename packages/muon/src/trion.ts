import { serialization } from '@tensorflow/tfjs-core';
import { checkLowRank, checkRanks, LOW_RANK_DEFAULTS, type LowRankOptions } from './lowRank.js';
import { MatrixOptimizer, type MatrixOptimizerOptions } from './matrixOptimizer.js';
import { MUON_DEFAULTS } from './muonUpdate.js';
import {
  type AdamWGroup,
  type FrozenGroup,
  type GroupMatch,
  type MatrixOptions,
  MUON_OPTIONS,
  type MuonHyperparameters,
  pick,
  resolveMuon,
} from './options.js';
import { TrionMethod, type TrionSettings } from './trionMethod.js';

/** Hyperparameters of Trion: Muon's but for `nesterov`, which it has not, and those of the projection. */
export interface TrionHyperparameters
  extends Omit<MuonHyperparameters, 'nesterov'>,
    LowRankOptions {}

/** Variables for Trion, with what differs from the optimizer's own options. */
export interface TrionGroup extends GroupMatch, TrionHyperparameters, MatrixOptions {
  readonly optimizer: 'trion';
}

/** Options of the `Trion` optimizer. */
export interface TrionOptions
  extends TrionHyperparameters,
    MatrixOptimizerOptions<TrionGroup | AdamWGroup | FrozenGroup> {}

const OWN = Object.keys(LOW_RANK_DEFAULTS);
const DEFAULTS: TrionSettings = {
  ...MUON_DEFAULTS,
  convMode: 'flatten',
  ...LOW_RANK_DEFAULTS,
};

function resolve(caller: string, options: object, defaults = DEFAULTS): TrionSettings {
  const all = { ...defaults, ...resolveMuon(caller, options, defaults), ...pick(options, OWN) };
  checkLowRank(caller, all);
  return all;
}

/**
 * Trion: Muon in the subspace of `rank` cosine vectors in which the momentum is largest, with error feedback, for hidden
 * matrices, and AdamW for everything else. The orthogonalisation works on `long × rank` matrices in place of
 * `long × short` ones, and what workers need to exchange is that and a few indices. At full rank it is Muon with plain
 * momentum; below, the loss grows as the rank falls.
 *
 * State: one number a weight, and `rank` indices a matrix. All layers with equal shorter sides share one table of
 * `side²` numbers, which belongs to the optimizer. Routing, groups, schedules and checkpoints are those of `Muon`.
 *
 * @example
 * const optimizer = new Trion({ rank: 0.25, learningRate: 0.05 });
 * @see {@link trionUpdate} for the formula; Modoranu et al. 2025, arXiv 2505.17967
 */
export class Trion extends MatrixOptimizer<TrionSettings, TrionOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthTrion';
  }

  private readonly method: TrionMethod;

  /**
   * Trion for hidden matrices, AdamW for the rest.
   * @param options - see {@link TrionOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: TrionOptions = {}) {
    const method = new TrionMethod();
    super(options, {
      label: 'Trion',
      optimizer: 'trion',
      options: [...MUON_OPTIONS.filter((name) => name !== 'nesterov'), ...OWN],
      method,
      resolve,
      decline: (caller, view, { rank }) => {
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

serialization.registerClass(Trion);
