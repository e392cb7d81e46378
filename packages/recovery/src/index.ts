export { affinity, type KeepOptions, keepLargest } from './affinity.js';
export {
  type BernoulliGaussianOptions,
  bernoulliGaussian,
  bernoulliGaussianStream,
} from './bernoulliGaussian.js';
export {
  adjustedRandIndex,
  clusteringAccuracy,
  normalizedMutualInfo,
  pairwiseF,
} from './clusteringMetrics.js';
export { ConvAutoencoder, type ConvAutoencoderOptions } from './convAutoencoder.js';
export {
  type DeepSubspaceResult,
  deepSubspaceClustering,
  type StageEnd,
} from './deepSubspaceClustering.js';
export type {
  DeepSubspaceEpoch,
  DeepSubspaceOptions,
  DeepSubspaceStage,
} from './deepSubspaceOptions.js';
export { type DenseMatrix, type MatrixInput, toTensor2D } from './denseMatrix.js';
export { atomError, dictionaryError } from './dictionaryErrors.js';
export type { OnlineDictionaryState } from './dictionaryState.js';
export {
  type DictionaryGradient,
  dictionaryGradient,
  type FrankWolfeUpdate,
  frankWolfeUpdate,
} from './dictionaryStep.js';
export { type KmeansOptions, type KmeansResult, kmeans } from './kmeans.js';
export {
  denseMeasurement,
  gaussianMeasurement,
  type LinearMeasurement,
  maskMeasurement,
  rankOneMeasurement,
} from './linearMeasurement.js';
export { type LrrOptions, lrr } from './lrr.js';
export { type LsrOptions, lsr } from './lsr.js';
export { type MatrixSensing, type MatrixSensingOptions, matrixSensing } from './matrixSensing.js';
export { type MspOptions, type MspResult, mspDictionary, mspStep } from './mspDictionary.js';
export {
  type DictionaryReport,
  type FitStreamOptions,
  OnlineOrthogonalDictionary,
} from './onlineDictionary.js';
export type {
  DictionaryPolar,
  OnlineDictionaryOptions,
  RestoreDictionaryOptions,
} from './onlineDictionaryOptions.js';
export { randomOrthogonal } from './orthonormal.js';
export {
  detectOutliers,
  estimateRank,
  type Outliers,
  type RankEstimate,
  type RankOptions,
  type SignRip,
  signRipEstimate,
} from './rankEstimate.js';
export { type RobustLoss, robustLoss } from './robustLoss.js';
export { type RobustPcaOptions, type RobustPcaResult, robustPca } from './robustPca.js';
export { type ScaledSubgradientOptions, scaledSubgradient } from './scaledSubgradient.js';
export { distancePreservingLoss, selfExpressionLoss, structuredNorm } from './selfExpression.js';
export { decodeSparse, encodeSparse, type SparseCodeOptions } from './sparseCode.js';
export {
  type SpectralEmbedding,
  spectralClustering,
  spectralEmbedding,
} from './spectralClustering.js';
export {
  type SpectralInitOptions,
  spectralInit,
  spectralInitRectangular,
} from './spectralInit.js';
export { type SscOptions, type SscResult, ssc } from './ssc.js';
export {
  type SubgmRectangularResult,
  type SubgmResult,
  subgm,
  subgmRectangular,
} from './subgm.js';
export type { SubgmReason, SubgmReport } from './subgmLoop.js';
export type { SubgmOptions, SubgmRecord, SubgmSchedule, SubgmStep } from './subgmOptions.js';
export { type UnionOfSubspacesOptions, unionOfSubspaces } from './unionOfSubspaces.js';
