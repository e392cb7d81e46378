export { type AdaptOptions, adapt } from './adapters/adapt.js';
export { AdaptedModel } from './adapters/adaptedModel.js';
export { AdaptedVariables, type ApplyOptions } from './adapters/adaptedVariables.js';
export { AdapterSet } from './adapters/adapterSet.js';
export type {
  LoadOptions,
  ParameterCount,
  TargetDescription,
  WeightedOptions,
} from './adapters/adapterTypes.js';
export type { Combination } from './adapters/combineAdapters.js';
export type { LayerLike, LayersModelLike, LayerWeight } from './adapters/layerTypes.js';
export type { ModuleSelector, TargetInfo } from './adapters/matchTargets.js';
export type { AdapterMethod, AdapterOptions, BiasMode } from './adapters/options.js';
export type { TargetKind } from './adapters/target.js';
export type { AdapterConfig } from './files/adapterConfig.js';
export type { AdapterFiles } from './files/adapterFile.js';
export type { FileTensor } from './files/fileTensor.js';
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './files/safetensors.js';
export type { AdamState } from './lambdaOrth/adam.js';
export {
  type BackfillCurve,
  type BackfillCurveOptions,
  type BackfillGallery,
  backfillCurve,
  backfillOrder,
} from './lambdaOrth/backfill.js';
export {
  type ClassLabels,
  type CompatibilityLoss,
  type CompatibilityLossOptions,
  compatibilityLoss,
  contrastiveLoss,
  type MappedEmbeddings,
} from './lambdaOrth/compatibilityLoss.js';
export { CompatibleAdapter } from './lambdaOrth/compatibleAdapter.js';
export type {
  CompatibleAdapterOptions,
  CompatibleAdapterState,
  CompatibleFitOptions,
  CompatibleFitProgress,
} from './lambdaOrth/compatibleOptions.js';
export type { EmbeddingMapForm } from './lambdaOrth/embeddingMaps.js';
export { type LambdaOrthOptions, lambdaOrth, softOrth } from './lambdaOrth/lambdaOrth.js';
export { procrustes } from './lambdaOrth/procrustes.js';
export {
  type EmbeddingMetric,
  type RetrievalOptions,
  type RetrievalResult,
  retrieval,
} from './lambdaOrth/retrieval.js';
export {
  type DoraForwardOptions,
  doraForward,
  doraMagnitude,
  doraWeight,
} from './lora/dora.js';
export { type GraloraFactors, graloraApply, graloraDelta } from './lora/gralora.js';
export {
  type LoraInit,
  oloraFactors,
  pissaFactors,
  type WeightFactors,
} from './lora/initializers.js';
export { type LoraForwardOptions, loraDelta, loraForward } from './lora/lora.js';
export { type OftOptions, oftForward, oftRotation, oftWeight } from './lora/oft.js';
export { loraScaling, type ScalingOptions } from './lora/scaling.js';
export { assemblePrompts } from './msgcoop/assemblePrompts.js';
export {
  type ClipBatchOptions,
  type ClipEmbeddings,
  ClipFeatures,
  type ClipLoader,
  type ClipParts,
  type TransformersModule,
} from './msgcoop/clipFeatures.js';
export {
  DESCRIPTION_QUESTIONS,
  type DescribeClassesOptions,
  describeClasses,
} from './msgcoop/describeClasses.js';
export { filterDescriptions } from './msgcoop/filterDescriptions.js';
export type { FitEpoch, FitLosses, FitOptions, FitStep } from './msgcoop/fitOptions.js';
export { hashTokenizer } from './msgcoop/hashTokenizer.js';
export { MeanPoolEncoder, type MeanPoolEncoderOptions } from './msgcoop/meanPoolEncoder.js';
export {
  accuracy,
  type BaseToNew,
  baseToNew,
  harmonicMean,
  type TestImages,
} from './msgcoop/metrics.js';
export { type ImageFeatures, MSGCoOp } from './msgcoop/msgcoop.js';
export type {
  FeaturePromptOptions,
  MSGCoOpOptions,
  SharedPromptOptions,
  TokenPromptOptions,
} from './msgcoop/msgcoopOptions.js';
export { type CoOpOptions, coop, type KgCoOpOptions, kgCoOp } from './msgcoop/presets.js';
export {
  diversityLoss,
  type ImageLabels,
  type PromptLosses,
  type PromptLossOptions,
  type PromptLossWeights,
  promptClassWeights,
  promptLogits,
  promptLosses,
  semanticLoss,
} from './msgcoop/promptLosses.js';
export type { ClassSelection } from './msgcoop/promptSource.js';
export { sampleShots } from './msgcoop/sampleShots.js';
export { descriptionTargets } from './msgcoop/targets.js';
export type { TextEncoder } from './msgcoop/textEncoder.js';
export {
  TinyTransformerEncoder,
  type TinyTransformerEncoderOptions,
} from './msgcoop/tinyTransformerEncoder.js';
export { type WarmupCosineOptions, warmupCosine } from './msgcoop/warmupCosine.js';
export { circularConv1d, circularConv2d } from './orthConv/circularConv.js';
export { type ConvMatrixOptions, convMatrix } from './orthConv/convMatrix.js';
export type { ConvPadding, PerAxis } from './orthConv/convShape.js';
export { type ConvExistence, type ConvLayer, orthogonalConvExists } from './orthConv/existence.js';
export { type LorthOptions, lorth, type SpectralBounds, spectralBounds } from './orthConv/lorth.js';
export {
  LorthRegularizer,
  type LorthRegularizerOptions,
  lorthRegularizer,
} from './orthConv/lorthRegularizer.js';
export { type ConvResiduals, convResiduals, residualNorms } from './orthConv/residuals.js';
export { convSingularValues } from './orthConv/singularValues.js';
export { type BjorckOptions, bjorck } from './orthoRegs/bjorck.js';
export { blockReflector } from './orthoRegs/blockReflector.js';
export { cayley } from './orthoRegs/cayley.js';
export type { GramSide } from './orthoRegs/deviation.js';
export { haar } from './orthoRegs/haar.js';
export { householder } from './orthoRegs/householder.js';
export { matrixExp } from './orthoRegs/matrixExp.js';
export { type OrthogonalMap, type OrthogonalOptions, orthogonal } from './orthoRegs/orthogonal.js';
export { type OrthogonalityErrors, orthogonalityErrors } from './orthoRegs/orthogonalityErrors.js';
export {
  OrthogonalVariable,
  type OrthogonalVariableOptions,
  type OrthogonalVariableState,
  orthogonalVariable,
  restoreOrthogonalVariable,
} from './orthoRegs/orthogonalVariable.js';
export { parsevalStep, parsevalUpdate } from './orthoRegs/parseval.js';
export {
  type OrthoPenaltyKind,
  type OrthoPenaltyOptions,
  orthoPenalty,
  type PenaltyWeight,
} from './orthoRegs/penalties.js';
export {
  LayerRegularizer,
  OrthoRegularizer,
  type OrthoRegularizerOptions,
  orthoRegularizer,
} from './orthoRegs/regularizer.js';
export {
  type RiemannianStepOptions,
  riemannianStep,
  stiefelTangent,
} from './orthoRegs/riemannian.js';
export { skewSymmetric } from './orthoRegs/skewSymmetric.js';
export {
  SpectralNorm,
  type SpectralNormalized,
  type SpectralNormOptions,
  type SpectralNormState,
  spectralNormalize,
} from './orthoRegs/spectralNorm.js';
export {
  LoraGroup,
  type LoraGroupOptions,
  type LoraGroupState,
  loraGroup,
  restoreLoraGroup,
} from './pego/loraGroup.js';
export { type PegoLossOptions, pegoLoss } from './pego/pegoLoss.js';
export type { PegoWeights } from './pego/pegoPenalty.js';
export {
  type PegoNorm,
  type PegoPenalty,
  type PegoPenaltyOptions,
  pegoPenalty,
} from './pego/pegoPenalty.js';
