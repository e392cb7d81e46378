export {
  type ErrorBoundTerms,
  hypergradientErrorBound,
  type LineSearchTerms,
  lineSearchValue,
} from './maid/bounds.js';
export {
  type AccuracySchedule,
  type FixedAccuracyOptions,
  fixedAccuracy,
  Hoag,
  type HoagOptions,
  type HoagResult,
  type HoagState,
  type HoagStep,
  hoag,
} from './maid/hoag.js';
export {
  estimateCrossNorm,
  type Hypergradient,
  type HypergradientOptions,
  hypergradient,
} from './maid/hypergradient.js';
export { conjugateGradient, type LinearSolution, type LowerSolver } from './maid/lowerSolver.js';
export { Maid, type MaidResult, type MaidState, type MaidStep, maid } from './maid/maid.js';
export type { MaidOptions } from './maid/maidOptions.js';
export type { OracleOptions } from './maid/oracleOptions.js';
export type { RunOptions, RunProgress, RunResult } from './maid/outerRun.js';
export type { StopReason } from './maid/outerState.js';
export type {
  BilevelConstants,
  BilevelProblem,
  MaybePromise,
  UpperValue,
} from './maid/problem.js';
export {
  type FieldsOfExpertsOptions,
  type FieldsOfExpertsProblem,
  fieldsOfExperts,
} from './maid/problems/fieldsOfExperts.js';
export {
  type LogisticOptions,
  type LogisticProblem,
  logisticProblem,
} from './maid/problems/logisticProblem.js';
export {
  type QuadraticData,
  type QuadraticProblem,
  quadraticProblem,
  type Rows,
} from './maid/problems/quadraticProblem.js';
export { type TvDenoisingOptions, tvDenoising } from './maid/problems/tvDenoising.js';
export type { SecondOrderMethod } from './maid/secondOrder.js';
export type { VectorLike } from './maid/startPoint.js';
export {
  type TensorProblem,
  type TensorProblemOptions,
  tensorProblem,
} from './maid/tensorProblem.js';
export type { CountedProblem, Work } from './maid/work.js';
export {
  type Augmentation,
  brightness,
  type CutoutOptions,
  cutout,
  inputNoise,
} from './selfTuning/augmentations.js';
export type { CursorState } from './selfTuning/batchCursor.js';
export {
  type ConvGeometry,
  type HyperConv2dLayer,
  type HyperConv2dOptions,
  hyperConv2d,
  hyperConv2dOp,
} from './selfTuning/hyperConv2d.js';
export {
  type HyperDenseLayer,
  type HyperDenseOptions,
  hyperDense,
  hyperDenseOp,
} from './selfTuning/hyperDense.js';
export type { HyperContext, HyperLayer, HyperModel, Signal } from './selfTuning/hyperLayer.js';
export {
  type Activation,
  hyperActivation,
  hyperAvgPool,
  hyperDropout,
  hyperFlatten,
  hyperMaxPool,
  hyperSequential,
} from './selfTuning/hyperLayers.js';
export { type Hyperparameter, type HyperSpace, hyperSpace } from './selfTuning/hyperSpace.js';
export type {
  HyperInitialization,
  HyperLayerOptions,
  HyperWeights,
} from './selfTuning/hyperWeights.js';
export { drawNoise, perturb, perturbationEntropy } from './selfTuning/perturbation.js';
export {
  type RandomSearchOptions,
  randomSearch,
  type SearchTrial,
} from './selfTuning/randomSearch.js';
export {
  type Examples,
  SelfTuning,
  type SelfTuningEpoch,
  type SelfTuningFitOptions,
  type SelfTuningResult,
} from './selfTuning/selfTuning.js';
export {
  type ExampleLoss,
  l2Penalty,
  type Penalty,
  type SelfTuningOptions,
  type SelfTuningSettings,
} from './selfTuning/selfTuningOptions.js';
export type { SavedTensor, SelfTuningState } from './selfTuning/selfTuningState.js';
export { SelfTuningSteps } from './selfTuning/selfTuningSteps.js';
export type { SlotOptimizer } from './selfTuning/slotOptimizer.js';
export {
  freeValue,
  hyperValue,
  hyperValueTensor,
  inverseSoftplus,
  type Range,
} from './selfTuning/transforms.js';
