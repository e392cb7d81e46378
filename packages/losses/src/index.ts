export {
  type AdversarialStepOptions,
  type AdversarialStepResult,
  adversarialStep,
  type Model,
} from './adversarialStep.js';
export {
  exponentialLoss,
  type FocalOptions,
  focalLoss,
  hingeLoss,
  logisticLoss,
} from './binaryLosses.js';
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
export {
  ConservativeObjective,
  type ConservativeOptions,
  type ConservativeStep,
} from './conservativeObjective.js';
export { EnsLoss, type EnsLossDraws, type EnsLossState } from './ensLoss.js';
export type { EnsLossOptions } from './ensLossOptions.js';
export { type GradientAscentOptions, gradientAscent } from './gradientAscent.js';
export {
  type EasyToHardOptions,
  easyToHardSchedule,
  type GenerateMaskOptions,
  generateMask,
  type RandomMaskOptions,
  randomMask,
} from './hardPatchesMask.js';
export {
  type HierarchicalSoftmaxWeights,
  hierarchicalLogProbabilities,
  hierarchicalSoftmaxLoss,
} from './hierarchicalSoftmax.js';
export { type InfoNceOptions, infoNceLoss } from './infoNce.js';
export { inverseBoxCox } from './inverseBoxCox.js';
export { asLayersLoss, type Loss } from './layersLoss.js';
export type { LossOptions } from './lossArguments.js';
export {
  absoluteLossObjective,
  type PredictionOptions,
  pairRankingAccuracy,
} from './lossPredictions.js';
export { type MarginDeltaNormOptions, marginDeltaNorm } from './marginDeltaNorm.js';
export {
  type MovingAverageOptions,
  movingAverageSchedule,
  updateMovingAverage,
} from './movingAverage.js';
export { type MwOptions, mwLoss } from './mwLoss.js';
export {
  type MwReduction,
  type MwScoreOptions,
  mwLossFromScores,
  type PairMethod,
} from './mwLossFromScores.js';
export {
  type ImageLayout,
  type PatchOptions,
  patchify,
  type UnpatchifyOptions,
  unpatchify,
} from './patches.js';
export {
  gatherPatches,
  type PatchIndices,
  type PatchIndicesOptions,
  patchIndices,
} from './patchIndices.js';
export {
  patchReconstructionLoss,
  type ReconstructionLoss,
  type ReconstructionOptions,
} from './patchReconstructionLoss.js';
export { type PgdOptions, pgd } from './pgd.js';
export {
  areaOverCurve,
  mrrAtK,
  type NdcgOptions,
  ndcgAtK,
  pooledHardAuc,
  type RocCurve,
  rocAuc,
  rocCurve,
  type Scores,
} from './rankingMetrics.js';
export { type Reduction, reduceLoss } from './reduction.js';
export { type RelativeLossOptions, relativeLossObjective } from './relativeLossObjective.js';
export type { RetrievalOptions } from './retrievalScores.js';
export { type RhoMarginOptions, rhoMarginLoss } from './rhoMarginLoss.js';
export {
  type SharpnessGradients,
  type SharpnessOptions,
  type SurrogateVariables,
  sharpnessGradients,
  surrogateSharpness,
} from './sharpnessGradients.js';
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
export { SphericalOutputLayer } from './sphericalOutputLayer.js';
export type { SphericalOutputLayerOptions } from './sphericalOutputLayerOptions.js';
export type { SphericalOutputLayerState } from './sphericalOutputLayerState.js';
export type {
  SphericalFactors,
  SphericalLossCallOptions,
  SphericalOutputLayerStats,
  SphericalReduction,
  SphericalStep,
  SphericalStepOptions,
} from './sphericalStep.js';
export {
  fitSurrogate,
  gaussianNegativeLogLikelihood,
  type Surrogate,
  type SurrogateOptions,
  softClamp,
} from './surrogate.js';
export {
  type SharpnessStep,
  SurrogateGradientNorm,
  type SurrogateGradientNormOptions,
} from './surrogateGradientNorm.js';
export {
  type SphericalSoftmaxOptions,
  sphericalSoftmax,
  sphericalSoftmaxLoss,
  taylorSoftmax,
  taylorSoftmaxLoss,
} from './taylorSoftmax.js';
export { klDivergence, type TradesOptions, tradesLoss } from './tradesLoss.js';
export { type ZLossOptions, zLoss } from './zLoss.js';
