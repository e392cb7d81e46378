/** What a layer's methods are given, checked and brought to the host. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  NonFiniteError,
} from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { FactoredBatch } from './factoredForward.js';
import type { SphericalLossCallOptions, SphericalReduction } from './sphericalStep.js';

/** Names of a step's options. */
export const STEP_OPTIONS: readonly string[] = ['learningRate', 'reduction', 'weights'];
/** Names of a loss's options. */
export const LOSS_OPTIONS: readonly string[] = ['reduction', 'weights'];
const REDUCTIONS: readonly SphericalReduction[] = ['mean', 'sum', 'sumByNonzeroWeights'];

/** Sizes of a layer. */
export interface LayerSizes {
  readonly classes: number;
  readonly inputSize: number;
  readonly useBias: boolean;
}

/**
 * Demands hidden vectors of the layer's size.
 * @throws RangeError otherwise
 */
export function checkWidth(caller: string, { inputSize }: LayerSizes, hidden: Tensor): void {
  if (hidden.shape.at(-1) === inputSize) return;
  throw new RangeError(
    `${caller}: hidden must have shape […, ${inputSize}], got shape [${hidden.shape}]`,
  );
}

/**
 * Checks everything but values.
 * @returns the number of examples
 */
export function checkBatch(
  caller: string,
  sizes: LayerSizes,
  hidden: Tensor,
  labels: Tensor,
  options: SphericalLossCallOptions & { learningRate?: number },
  known: readonly string[],
): number {
  checkTensor(caller, 'hidden', hidden, { minRank: 2 });
  checkWidth(caller, sizes, hidden);
  checkTensor(caller, 'labels', labels, { dtype: ['int32', 'float32'] });
  const batch = hidden.shape.slice(0, -1);
  const labelBatch = labels.shape.slice(0, batch.length);
  if (`${labelBatch}` !== `${batch}` || labels.rank > hidden.rank) {
    throw new RangeError(
      `${caller}: labels must have shape [${batch}] or [${batch},K], got shape [${labels.shape}]`,
    );
  }
  checkOptions(caller, options, known);
  if (known.includes('learningRate')) {
    checkNumber(caller, 'learningRate', options.learningRate, { min: 0 });
  }
  const { reduction = 'mean', weights } = options;
  checkOneOf(caller, 'reduction', reduction, REDUCTIONS);
  if (weights !== undefined) checkTensor(caller, 'weights', weights, { shape: batch });
  return hidden.size / sizes.inputSize;
}

/** Hidden vectors in float64, with the constant of the bias. */
export function augment(
  caller: string,
  { inputSize, useBias }: LayerSizes,
  m: number,
  hidden: ArrayLike<number>,
): Float64Array {
  const d = inputSize + Number(useBias);
  const out = new Float64Array(m * d).fill(1);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < inputSize; j++) {
      const value = hidden[i * inputSize + j]!;
      if (!Number.isFinite(value)) {
        throw new NonFiniteError(`${caller}: hidden must be finite, got ${value} in row ${i}`);
      }
      out[i * d + j] = value;
    }
  }
  return out;
}

/**
 * A batch on the host.
 * @throws RangeError for labels or weights out of range; NonFiniteError for hidden vectors that are not finite
 */
export function hostBatch(
  caller: string,
  sizes: LayerSizes,
  m: number,
  hidden: ArrayLike<number>,
  labels: ArrayLike<number>,
  options: {
    readonly weights?: ArrayLike<number> | undefined;
    readonly reduction?: SphericalReduction;
  },
): FactoredBatch {
  for (let t = 0; t < labels.length; t++) {
    checkInteger(caller, 'labels', labels[t], { min: 0, max: sizes.classes - 1 });
  }
  const { weights, reduction = 'mean' } = options;
  let [sum, nonzero] = [0, 0];
  for (let i = 0; i < m; i++) {
    const w = weights ? weights[i]! : 1;
    checkNumber(caller, 'weights', w, { min: 0 });
    sum += w;
    nonzero += Number(w > 0);
  }
  const divisor = { mean: sum, sum: 1, sumByNonzeroWeights: nonzero }[reduction] || 1;
  return {
    m,
    K: labels.length / m,
    hidden: augment(caller, sizes, m, hidden),
    labels,
    weights: Float64Array.from({ length: m }, (_, i) => (weights ? weights[i]! : 1) / divisor),
  };
}
