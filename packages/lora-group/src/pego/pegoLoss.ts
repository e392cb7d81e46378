import { checkOneOf, checkOptions } from '@orth/backend';
import { reshape, type Scalar, type Tensor, tidy, transpose } from '@tensorflow/tfjs-core';
import { AdapterSet } from '../adapters/adapterSet.js';
import { LoraGroup } from './loraGroup.js';
import {
  checkPegoWeights,
  type PegoNorm,
  type PegoWeights,
  pegoPenalty,
  weighPenalties,
} from './pegoPenalty.js';

/** Options of {@link pegoLoss}. */
export interface PegoLossOptions extends PegoWeights {
  /** `'l1'` (default), as the authors' code runs; `'fro2'`, the squared Frobenius norm. */
  readonly norm?: PegoNorm;
}

/**
 * The regulariser of PEGO, to be added to a task's loss: `λ Σ (preserve + diversify)` over all adapted weights. It keeps
 * each update of a group from reading the input directions that the pretrained weight reads, and the updates from reading
 * the same as one another. Differentiable with respect to the factors of active adapters; 0 before training.
 *
 * Where a strong penalty shrinks B down to denormal numbers, processors become much slower; a smaller λ, or an optimizer
 * whose steps do not shrink with the gradient, avoids it.
 *
 * @param adapters - of `adapt`, or groups; their active LoRA adapters count
 * @returns a scalar
 * @throws TypeError or RangeError for something else, or a wrong option; Error if no LoRA adapter is active
 * @example
 * optimizer.minimize(() => add(taskLoss(), pegoLoss(adapters)), false, adapters.trainableVariables);
 * @see Hu et al. 2024, "Learn to Preserve and Diversify", and its code: sums of absolute values, of unscaled updates
 */
export function pegoLoss(
  adapters: AdapterSet | LoraGroup | readonly LoraGroup[],
  options: PegoLossOptions = {},
): Scalar {
  checkOptions('pegoLoss', options, ['lambda', 'preserve', 'diversify', 'norm']);
  checkPegoWeights('pegoLoss', options);
  const { norm = 'l1' } = options;
  checkOneOf('pegoLoss', 'norm', norm, ['l1', 'fro2']);
  const sets = listSets('pegoLoss', adapters);
  return tidy(() => {
    const targets = sets.flatMap((set) => set.loraFactors());
    if (targets.length === 0) {
      throw new Error('pegoLoss: adapters must have an active LoRA adapter, got none');
    }
    const penalties = targets.map(({ weight, A, B, n, r }) =>
      pegoPenalty(weight, grouped(A, n, r), reshape(B, [n, r, B.shape[1]!]), { norm }),
    );
    return weighPenalties(penalties, options);
  });
}

/** `[in, n r]` as `[n, in, r]`. */
const grouped = (A: Tensor, n: number, r: number): Tensor =>
  transpose(reshape(A, [A.shape[0]!, n, r]), [1, 0, 2]);

function listSets(
  caller: string,
  adapters: AdapterSet | LoraGroup | readonly LoraGroup[],
): AdapterSet[] {
  const list = Array.isArray(adapters) ? adapters : [adapters];
  const sets = list.map((each) => (each instanceof LoraGroup ? each.adapters : each));
  if (sets.length > 0 && sets.every((set) => set instanceof AdapterSet)) return sets;
  throw new TypeError(`${caller}: adapters must be of adapt or loraGroup, got ${typeof adapters}`);
}
