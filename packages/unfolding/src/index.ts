// Deep conjugate direction method, and conjugate gradients
export { cg, pcg } from './conjugate/conjugateGradient.js';
export { CsrMatrix, type CsrParts, type Triplet } from './conjugate/csrMatrix.js';
export {
  type DeepConjugateDirectionOptions,
  type DeepConjugateDirectionsOptions,
  type DirectionReport,
  type DirectionStep,
  deepConjugateDirection,
  deepConjugateDirections,
} from './conjugate/deepConjugateDirection.js';
export { deflation } from './conjugate/deflation.js';
export { DeviceMatrix, type TensorOperator } from './conjugate/deviceMatrix.js';
export {
  type DirectionLossOptions,
  directionLoss,
  type LossOperator,
  stepLength,
} from './conjugate/directionLoss.js';
export type { DirectionModel } from './conjugate/directionModel.js';
export {
  DirectionNet,
  type DirectionNetOptions,
  directionNet,
  loadDirectionNet,
} from './conjugate/directionNet.js';
export type { DirectionLevels } from './conjugate/directionNetwork.js';
export {
  type IncompleteCholesky,
  type IncompleteCholeskyOptions,
  incompleteCholesky,
} from './conjugate/incompleteCholesky.js';
export { type LanczosResult, lanczos, type RitzPairs, ritz } from './conjugate/lanczos.js';
export { type MultigridOptions, multigrid } from './conjugate/multigrid.js';
export type { SpdOperator } from './conjugate/operator.js';
export { type PoissonOptions, poisson2d, poisson3d } from './conjugate/poisson.js';
export { jacobi, type Preconditioner } from './conjugate/preconditioner.js';
export {
  type RitzDatasetOptions,
  type RitzWeights,
  ritzDataset,
  ritzSamples,
} from './conjugate/ritzDataset.js';
export type { SolveOptions, SolveReport, SolveStatus, SolveStep } from './conjugate/solve.js';
export {
  type DirectionTraining,
  type DirectionTrainingState,
  type TrainDirectionOptions,
  type TrainDirectionStep,
  trainDirection,
} from './conjugate/trainDirection.js';
export type { HostVector } from './conjugate/vectors.js';
// Learned proximal networks
export {
  type GammaScheduleOptions,
  gammaSchedule,
  type LpnStep,
} from './proximal/gammaSchedule.js';
export type { InvertOptions, InvertResult } from './proximal/invertGradient.js';
export {
  LPN,
  type LpnConvOptions,
  type LpnMlpOptions,
  type LpnOptions,
  type PriorResult,
} from './proximal/lpn.js';
export type {
  Denoiser,
  PlugAndPlayIterate,
  PlugAndPlayOptions,
  PlugAndPlayResult,
  PlugAndPlayStep,
} from './proximal/plugAndPlay.js';
export { type PnpAdmmOptions, type PnpAdmmResult, pnpAdmm } from './proximal/pnpAdmm.js';
export { type PnpPgdOptions, pnpPgd } from './proximal/pnpPgd.js';
export { proximalMatchingLoss } from './proximal/proximalMatchingLoss.js';
export {
  type LpnProgress,
  type LpnTraining,
  type LpnTrainingState,
  type TrainLpnOptions,
  trainLpn,
} from './proximal/trainLpn.js';
// Sparse recovery: classical and deep-unfolded
export { Alista, type AlistaOptions } from './sparse/alista.js';
export { alistaWeight } from './sparse/alistaWeight.js';
export { fista, iht, ista } from './sparse/ista.js';
export {
  type LassoOptions,
  type LassoPathOptions,
  type LassoPathResult,
  type LassoResult,
  lasso,
  lassoPath,
} from './sparse/lasso.js';
export { LearnedThresholding } from './sparse/learnedThresholding.js';
export type { LinearMap, LinearOperator } from './sparse/linearOperator.js';
export { type LipschitzOptions, lipschitz } from './sparse/lipschitz.js';
export { Lista, type ListaOptions } from './sparse/lista.js';
export { ListaCp, type ListaCpOptions } from './sparse/listaCp.js';
export type {
  SparseProgress,
  SparseResult,
  SparseSolverOptions,
} from './sparse/proximalGradient.js';
export type { ShrinkageKind } from './sparse/shrinkageStep.js';
export {
  normalizedError,
  type SparseObjectiveOptions,
  sparseObjective,
} from './sparse/sparseObjective.js';
export {
  type SparseProblem,
  type SparseProblemOptions,
  sparseProblem,
} from './sparse/sparseProblem.js';
export type { SupportSelectionOptions } from './sparse/supportSelection.js';
export { hardThreshold, softThreshold } from './sparse/thresholds.js';
export {
  type TrainUnfoldedOptions,
  trainUnfolded,
  type UnfoldedBatch,
  type UnfoldedProgress,
  type UnfoldedTraining,
  type UnfoldedTrainingState,
} from './sparse/trainUnfolded.js';
export type { ApplyOptions, UnfoldedNetwork } from './sparse/unfoldedNetwork.js';
export { type UnfoldedOptions, UnfoldedSparseRecovery } from './sparse/unfoldedSparseRecovery.js';
// Training and saved networks
export type { DescentRule, DescentState } from './training/descent.js';
export {
  decodeNetwork,
  encodeNetwork,
  type NetworkState,
  type WeightState,
} from './training/networkState.js';
export type { LearningRate } from './training/trainingArguments.js';
