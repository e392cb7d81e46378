import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import { serialization } from '@tensorflow/tfjs-core';
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
import { type RootCoefficients, RootMethod, type RootSettings } from './rootMethod.js';

/** Hyperparameters of ROOT: Muon's, with other defaults, and its own. */
export interface RootHyperparameters extends MuonHyperparameters {
  /** The threshold is this quantile of |momentum|, in (0, 1], for each matrix; 1 switches it off. Default 0.9 */
  readonly quantile?: number;
  /** A fixed threshold instead, > 0, as in the paper's text. */
  readonly threshold?: number;
  /** Steps for which a threshold is used, relative to the momentum's norm, integer >= 1. Default 1 */
  readonly thresholdEvery?: number;
  /**
   * The triple for a matrix shape: the authors' four shapes and else Muon's (`'published'`), a fit for any shape
   * (`'fitted'`), a table by `short×long` side such as `{ '64x256': [a, b, c] }`, or a function. Default `'published'`
   */
  readonly coefficients?: RootCoefficients;
  /** Newton–Schulz steps, integer >= 1. Default 5 */
  readonly steps?: number;
}

/** Variables for ROOT, with what differs from the optimizer's own options. */
export interface RootGroup extends GroupMatch, RootHyperparameters, MatrixOptions {
  readonly optimizer: 'root';
}

/** Options of the `Root` optimizer. */
export interface RootOptions
  extends RootHyperparameters,
    MatrixOptimizerOptions<RootGroup | AdamWGroup | FrozenGroup> {}

const OWN = ['quantile', 'threshold', 'thresholdEvery', 'coefficients', 'steps'];

const DEFAULTS: RootSettings = {
  ...MUON_DEFAULTS,
  convMode: 'flatten',
  learningRate: 1e-3,
  weightDecay: 0.1,
  adjustLearningRate: 'matchRmsAdamW',
  quantile: 0.9,
  thresholdEvery: 1,
  coefficients: 'published',
  steps: 5,
};

function resolve(caller: string, options: object, defaults = DEFAULTS): RootSettings {
  const all = { ...defaults, ...resolveMuon(caller, options, defaults), ...pick(options, OWN) };
  checkNumber(caller, 'quantile', all.quantile, { above: 0, max: 1 });
  if (all.threshold !== undefined) checkNumber(caller, 'threshold', all.threshold, { above: 0 });
  checkInteger(caller, 'thresholdEvery', all.thresholdEvery, { min: 1 });
  checkInteger(caller, 'steps', all.steps, { min: 1 });
  const { coefficients } = all;
  if (typeof coefficients === 'string') {
    checkOneOf(caller, 'coefficients', coefficients, ['published', 'fitted']);
  } else if (typeof coefficients === 'object' && coefficients !== null) {
    for (const [shape, triple] of Object.entries(coefficients)) checkTriple(caller, shape, triple);
  } else if (typeof coefficients !== 'function') {
    throw new TypeError(
      `${caller}: coefficients must be a name, a table or a function, got ${String(coefficients)}`,
    );
  }
  return all;
}

function checkTriple(caller: string, shape: string, triple: unknown): void {
  const name = `coefficients[${JSON.stringify(shape)}]`;
  if (!/^\d+x\d+$/.test(shape)) {
    throw new RangeError(`${caller}: coefficients must have keys such as "64x256", got "${shape}"`);
  }
  if (!Array.isArray(triple) || triple.length !== 3) {
    throw new RangeError(`${caller}: ${name} must have 3 numbers, got ${JSON.stringify(triple)}`);
  }
  for (const value of triple) checkNumber(caller, name, value);
}

/**
 * ROOT: Muon made robust, for hidden matrices, and AdamW for everything else. Each momentum is clipped at the 0.9-quantile
 * of its own entries before it is orthogonalised, so that a few huge gradient entries cannot turn the update into a matrix
 * of rank one; and the Newton–Schulz triple may be fitted to the matrix shape.
 *
 * The gain of fitted triples over Muon's disappears against `orthogonalization: { method: 'quintic' }`, which costs the
 * same; that of the threshold does not. Without outliers the threshold costs a little. Directions do not depend on the
 * gradients' scale as long as entries of the momentum are above about 1e−6.
 *
 * State: one number a weight, and with `thresholdEvery` > 1 one a matrix. Routing, groups, schedules and checkpoints are
 * those of `Muon`.
 *
 * @example
 * const optimizer = new Root({ learningRate: 3e-3, adamW: { learningRate: 3e-3 } });
 * @see {@link softThresholdSplit}, `rootCoefficients`; He et al. 2025, arXiv 2511.20626
 */
export class Root extends MatrixOptimizer<RootSettings, RootOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthRoot';
  }

  /**
   * ROOT for hidden matrices, AdamW for the rest.
   * @param options - see {@link RootOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: RootOptions = {}) {
    super(options, {
      label: 'Root',
      optimizer: 'root',
      options: [...MUON_OPTIONS, ...OWN],
      method: new RootMethod(),
      resolve,
      // The authors' code gives both parts the same learning rate and decay.
      adamW: { learningRate: 1e-3, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    });
  }
}

serialization.registerClass(Root);
