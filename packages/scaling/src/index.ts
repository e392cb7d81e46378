export {
  type Combination,
  type CombineOptions,
  combineLogits,
  ensembleCurve,
  ensembleLoss,
  memberLosses,
} from './ensembles/combine.js';
export {
  type Batch,
  type Dataset,
  EpochSampler,
  type EpochSamplerState,
  type TokenDataset,
  type TokenWindowsOptions,
  tokenWindows,
} from './ensembles/dataset.js';
export { type DistillationMode, type DistillOptions, distill } from './ensembles/distill.js';
export { type DistillationLossOptions, distillationLoss } from './ensembles/distillationLoss.js';
export {
  type DistillationPlan,
  type DistillationPlanOptions,
  distillationPlan,
} from './ensembles/distillationPlan.js';
export { Ensemble, type EnsembleMember, type EnsembleState } from './ensembles/ensemble.js';
export { evaluateLoss, type Predictor } from './ensembles/evaluate.js';
export {
  type Evaluation,
  type GridPoint,
  type LocalSearchOptions,
  type LocalSearchResult,
  localSearch,
  SEARCH_GRIDS,
  type TuneWeightDecayOptions,
  tuneWeightDecay,
} from './ensembles/localSearch.js';
export {
  decaysByDefault,
  ensembleRecipe,
  type RecipePoint,
  type RecipeScheduleOptions,
  type RegularizedAdamWOptions,
  recipeSchedule,
  regularizedAdamW,
} from './ensembles/recipe.js';
export { type SampleTokensOptions, sampleTokens } from './ensembles/sampleTokens.js';
export type {
  LoopOptions,
  StepInfo,
  TrainableModel,
  TrainingResult,
} from './ensembles/trainingLoop.js';
export {
  type MemberContext,
  type TrainMembersOptions,
  trainMembers,
} from './ensembles/trainMembers.js';
export { type TrainRegularizedOptions, trainRegularized } from './ensembles/trainRegularized.js';
export {
  WeightAverage,
  type WeightAverageOptions,
  type WeightAverageState,
} from './ensembles/weightAverage.js';
export type { HostMatrix, MatrixLike, RowsLike } from './hostMatrix.js';
export { type ChinchillaFit, fitChinchilla } from './laws/chinchilla.js';
export { dataEfficiency, effectiveData } from './laws/effectiveData.js';
export type { Interval } from './laws/intervals.js';
export { type EnsembleLoss, type JointAsymptote, jointAsymptote } from './laws/jointAsymptote.js';
export {
  type FitOptions,
  fitPowerLaw,
  type PowerLawFit,
  type PowerLawOptions,
} from './laws/powerLaw.js';
export type { PowerLaw } from './laws/powerLawSearch.js';
export { fitReciprocal, type ReciprocalFit } from './laws/reciprocal.js';
export { type Eigenstructure, eigenstructure } from './randomFeatures/eigenstructure.js';
export type { FeatureFunction, FeatureKind } from './randomFeatures/featureMaps.js';
export { gaussianKernel, reluKernel, reluKernelHost } from './randomFeatures/kernels.js';
export {
  type Exponents,
  kappaEstimate,
  type MeasureExponentsOptions,
  measureExponents,
} from './randomFeatures/measureExponents.js';
export type { RegressionTask, SpectrumTail } from './randomFeatures/modes.js';
export {
  type OptimalRidge,
  type OptimalRidgeOptions,
  optimalRidge,
} from './randomFeatures/optimalRidge.js';
export {
  type PowerlawFittingRatio,
  type PowerlawFittingRatioOptions,
  type PowerlawSpectrumOptions,
  powerlawFittingRatio,
  powerlawSpectrum,
} from './randomFeatures/powerlaw.js';
export {
  RandomFeatureRegressor,
  type RandomFeatureRegressorOptions,
  type RidgeErrors,
} from './randomFeatures/randomFeatureRegressor.js';
export type { PlainTensor, RegressorState } from './randomFeatures/regressorState.js';
export {
  type KrrRisk,
  type KrrRiskOptions,
  krrRisk,
  type PerProblem,
  type RfRisk,
  type RfRiskOptions,
  rfRisk,
} from './randomFeatures/rfRisk.js';
export type { Risk } from './randomFeatures/risk.js';
export {
  type Measured,
  type RfSimulation,
  type SimulateRfOptions,
  simulateRf,
} from './randomFeatures/simulate.js';
