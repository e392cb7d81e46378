import { serialization } from '@tensorflow/tfjs-core';
import { MatrixOptimizer } from './matrixOptimizer.js';
import { MuonMethod } from './muonMethod.js';
import { MUON_OPTIONS, type MuonOptions, type MuonSettings, resolveMuon } from './options.js';

/**
 * Muon, momentum orthogonalised by Newton–Schulz, for hidden matrices, and AdamW for everything else, as a tfjs
 * optimizer: `minimize`, `applyGradients`, `model.compile`.
 *
 * By default Muon takes a variable with at least two axes longer than 1 whose two sides are at least 4, at most 128
 * times as long as wide, and whose name does not speak of an embedding or output head (`embed`, `logits`, `head`);
 * `groups` decide otherwise, and `describeGroups` tells what was decided. All matrices of one shape are orthogonalised
 * in one batched call. State: one number a weight for Muon, two for AdamW.
 *
 * @example
 * const optimizer = new Muon({ learningRate: 0.02, adamW: { learningRate: 3e-3 } });
 * optimizer.minimize(() => loss());
 * @see {@link muonUpdate} for the formula; Jordan et al. 2024
 */
export class Muon extends MatrixOptimizer<MuonSettings, MuonOptions> {
  /** Name in saved models. */
  static get className(): string {
    return 'OrthMuon';
  }

  /**
   * Muon for hidden matrices, AdamW for the rest.
   * @param options - see {@link MuonOptions}
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: MuonOptions = {}) {
    super(options, {
      label: 'Muon',
      optimizer: 'muon',
      options: MUON_OPTIONS,
      method: new MuonMethod(),
      resolve: resolveMuon,
    });
  }
}

serialization.registerClass(Muon);
