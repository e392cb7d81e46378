// What all losses share

// Adversarial training
export {
  type AdversarialStepOptions,
  type AdversarialStepResult,
  adversarialStep,
  type Model,
} from './adversarialStep.js';
// Comp-sum family
export { type CompSumOptions, compSumLoss } from './compSum.js';
export {
  type HConsistencyOptions,
  hConsistencyBound,
  hConsistencyInverse,
  hConsistencyTransform,
} from './compSumBounds.js';
export {
  crossEntropyLoss,
  type GeneralizedCrossEntropyOptions,
  generalizedCrossEntropyLoss,
  meanAbsoluteErrorLoss,
  sumExponentialLoss,
} from './compSumMembers.js';
// Large output layers
export {
  type HierarchicalSoftmaxWeights,
  hierarchicalLogProbabilities,
  hierarchicalSoftmaxLoss,
} from './hierarchicalSoftmax.js';
export { asLayersLoss, type Loss } from './layersLoss.js';
export type { LossOptions } from './lossArguments.js';
export { type MarginDeltaNormOptions, marginDeltaNorm } from './marginDeltaNorm.js';
export { type PgdOptions, pgd } from './pgd.js';
export { type Reduction, reduceLoss } from './reduction.js';
export { type RhoMarginOptions, rhoMarginLoss } from './rhoMarginLoss.js';
export {
  type SmoothAdversarialOptions,
  type SmoothAdversarialParameters,
  smoothAdversarialLoss,
} from './smoothAdversarial.js';
export { oneHotSquaredLoss } from './sphericalFamily.js';
export {
  type SphericalLoss,
  type SphericalLossName,
  type SphericalLossOptions,
  type SphericalTerms,
  sphericalLoss,
} from './sphericalLoss.js';
export {
  type SphericalFactors,
  type SphericalLossCallOptions,
  SphericalOutputLayer,
  type SphericalOutputLayerStats,
  type SphericalReduction,
  type SphericalStep,
  type SphericalStepOptions,
} from './sphericalOutputLayer.js';
export type { SphericalOutputLayerOptions } from './sphericalOutputLayerOptions.js';
export type { SphericalOutputLayerState } from './sphericalOutputLayerState.js';
export {
  type SphericalSoftmaxOptions,
  sphericalSoftmax,
  sphericalSoftmaxLoss,
  taylorSoftmax,
  taylorSoftmaxLoss,
} from './taylorSoftmax.js';
export { klDivergence, type TradesOptions, tradesLoss } from './tradesLoss.js';
export { type ZLossOptions, zLoss } from './zLoss.js';
