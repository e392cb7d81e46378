import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
import { type AuonDirectionOptions, type AuonVariant, auonGamma } from './auonDirection.js';
import { AuonMethod, type AuonSettings } from './auonMethod.js';
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

/**
 * Hyperparameters of AuON. Defaults: learning rate 0.055 and `adjustLearningRate: 'original'` for the paper's variant,
 * 0.24 and `'none'` for the repository's.
 */
export interface AuONHyperparameters
  extends Omit<MuonHyperparameters, 'orthogonalization'>,
    Omit<AuonDirectionOptions, 'hybridSteps'> {}

/** Hyperparameters of Hybrid-AuON: AuON's; the default learning rate is 0.1 for both variants. */
export interface HybridAuONHyperparameters extends MuonHyperparameters, AuonDirectionOptions {
  /** Newton–Schulz steps before the rescaling, integer >= 1. Default 1 (the repository's own default is 5) */
  readonly hybridSteps?: number;
}

/** Variables for AuON, with what differs from the optimizer's own options. */
export interface AuONGroup extends GroupMatch, AuONHyperparameters, MatrixOptions {
  readonly optimizer: 'auON';
}

/** Variables for Hybrid-AuON, with what differs from the optimizer's own options. */
export interface HybridAuONGroup extends GroupMatch, HybridAuONHyperparameters, MatrixOptions {
  readonly optimizer: 'hybridAuON';
}

/** Options of the `AuON` optimizer. */
export interface AuONOptions
  extends AuONHyperparameters,
    MatrixOptimizerOptions<AuONGroup | AdamWGroup | FrozenGroup> {}

/** Options of the `HybridAuON` optimizer. */
export interface HybridAuONOptions
  extends HybridAuONHyperparameters,
    MatrixOptimizerOptions<HybridAuONGroup | AdamWGroup | FrozenGroup> {}

const OWN = ['variant', 'gamma'];
const AUON_OPTIONS = [...MUON_OPTIONS.filter((name) => name !== 'orthogonalization'), ...OWN];
const HYBRID_OPTIONS = [...MUON_OPTIONS, ...OWN, 'hybridSteps'];

function defaultsOf(variant: AuonVariant, hybridSteps: number): AuonSettings {
  const paper = variant === 'paper';
  return {
    ...MUON_DEFAULTS,
    convMode: 'flatten',
    learningRate: hybridSteps > 0 ? 0.1 : paper ? 0.055 : 0.24,
    adjustLearningRate: paper ? 'original' : 'none',
    variant,
    gamma: auonGamma(variant),
    hybridSteps,
  };
}

const resolveWith =
  (hybridSteps: 0 | 1) =>
  (caller: string, options: object, given?: AuonSettings): AuonSettings => {
    const own = pick(options, [...OWN, 'hybridSteps']) as AuonDirectionOptions;
    const variant = own.variant ?? given?.variant ?? 'paper';
    checkOneOf(caller, 'variant', variant, ['paper', 'repository']);
    const defaults = given ?? defaultsOf(variant, hybridSteps);
    const all = { ...defaults, ...resolveMuon(caller, options, defaults), ...own };
    checkNumber(caller, 'gamma', all.gamma, { above: 0 });
    checkInteger(caller, 'hybridSteps', all.hybridSteps, { min: hybridSteps });
    return all;
  };

/**
 * AuON, for hidden matrices, and AdamW for everything else: momentum divided by its Frobenius norm and by the RMS of the
 * cosh of its entries, without a matrix product.
 *
 * A baseline, and to four digits an old one: each update is a scalar multiple of the momentum, so the paper's variant is
 * normalised SGD with Nesterov momentum and the repository's is SGD with momentum (see {@link coshRms}). Nothing is done to
 * the spectrum. By the paper's own table it is behind AdamW on language.
 *
 * State: one number a weight. Routing, groups, schedules and checkpoints are those of `Muon`.
 *
 * @example
 * const optimizer = new AuON({ learningRate: 0.3 });
 * @see {@link auonDirection}; Maity 2025, arXiv 2509.24320
 */
export class AuON extends MatrixOptimizer<AuonSettings, AuONOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthAuON';
  }

  /**
   * AuON for hidden matrices, AdamW for the rest.
   * @param options - see {@link AuONOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: AuONOptions = {}) {
    super(options, {
      label: 'AuON',
      optimizer: 'auON',
      options: AUON_OPTIONS,
      method: new AuonMethod('auON'),
      resolve: resolveWith(0),
    });
  }
}

/**
 * Hybrid-AuON: one Newton–Schulz step on the momentum, then AuON's rescaling, for hidden matrices, and AdamW for
 * everything else. One step orthogonalises little; with `hybridSteps: 5` it is Muon divided by about 1.
 *
 * @example
 * const optimizer = new HybridAuON({ learningRate: 0.1 });
 * @see {@link auonDirection}; Maity 2025, arXiv 2509.24320
 */
export class HybridAuON extends MatrixOptimizer<AuonSettings, HybridAuONOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthHybridAuON';
  }

  /**
   * Hybrid-AuON for hidden matrices, AdamW for the rest.
   * @param options - see {@link HybridAuONOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: HybridAuONOptions = {}) {
    super(options, {
      label: 'HybridAuON',
      optimizer: 'hybridAuON',
      options: HYBRID_OPTIONS,
      method: new AuonMethod('hybridAuON'),
      resolve: resolveWith(1),
    });
  }
}

serialization.registerClass(AuON);
serialization.registerClass(HybridAuON);
