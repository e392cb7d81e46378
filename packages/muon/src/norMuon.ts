import { checkNumber, checkOneOf } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
import { MatrixOptimizer, type MatrixOptimizerOptions } from './matrixOptimizer.js';
import { NorMuonMethod, type NorMuonSettings } from './norMuonMethod.js';
import {
  NORMUON_DEFAULTS,
  type NormuonNormalizeOptions,
  normuonEpsilon,
} from './normuonNormalize.js';
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

/** Hyperparameters of NorMuon: Muon's and those of the normalisation. */
export interface NorMuonHyperparameters extends MuonHyperparameters, NormuonNormalizeOptions {
  /** Where kernels keep their outputs: last (`'inOut'`, tfjs, the default) or first (`'outIn'`) */
  readonly layout?: 'inOut' | 'outIn';
}

/** Variables for NorMuon, with what differs from the optimizer's own options. */
export interface NorMuonGroup extends GroupMatch, NorMuonHyperparameters, MatrixOptions {
  readonly optimizer: 'norMuon';
}

/** Options of the `NorMuon` optimizer. */
export interface NorMuonOptions
  extends NorMuonHyperparameters,
    MatrixOptimizerOptions<NorMuonGroup | AdamWGroup | FrozenGroup> {}

const OWN = ['beta2', 'epsilon', 'axis', 'scaling'];

function resolve(caller: string, options: object, defaults?: NorMuonSettings): NorMuonSettings {
  const own = pick(options, OWN) as NormuonNormalizeOptions;
  const scaling = own.scaling ?? defaults?.scaling ?? NORMUON_DEFAULTS.scaling;
  const all = {
    ...NORMUON_DEFAULTS,
    epsilon: normuonEpsilon(scaling),
    ...defaults,
    ...resolveMuon(caller, options, defaults),
    ...own,
  };
  checkNumber(caller, 'beta2', all.beta2, { min: 0, below: 1 });
  checkNumber(caller, 'epsilon', all.epsilon, { above: 0 });
  checkOneOf(caller, 'axis', all.axis, ['neuron', 'long']);
  checkOneOf(caller, 'scaling', all.scaling, ['muon', 'paper']);
  return all;
}

/**
 * NorMuon: {@link Muon} whose updates are evened out neuron by neuron, for hidden matrices, and AdamW for everything else.
 *
 * State: Muon's, and one number a neuron (per matrix, after heads and splits). Routing, groups, schedules and checkpoints
 * are those of `Muon`.
 *
 * @example
 * const optimizer = new NorMuon({ learningRate: 0.02, adamW: { learningRate: 3e-3 } });
 * @see {@link normuonNormalize} for the formula; Li et al. 2025, arXiv 2510.05491
 */
export class NorMuon extends MatrixOptimizer<NorMuonSettings, NorMuonOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthNorMuon';
  }

  /**
   * NorMuon for hidden matrices, AdamW for the rest.
   * @param options - see {@link NorMuonOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: NorMuonOptions = {}) {
    super(options, {
      label: 'NorMuon',
      optimizer: 'norMuon',
      options: [...MUON_OPTIONS, ...OWN],
      method: new NorMuonMethod(),
      resolve,
    });
  }
}

serialization.registerClass(NorMuon);
