export {
  type Assignment,
  type AssignmentOptions,
  assignment,
  assignmentAsync,
} from './assignment.js';
export {
  type AuxiliaryLosses,
  type AuxiliaryLossesOptions,
  auxiliaryLosses,
} from './auxiliaryLosses.js';
export {
  type Barycenter,
  type BarycenterOptions,
  barycenter,
  barycenterAsync,
} from './barycenter.js';
export { barycentricMap } from './barycentricMap.js';
export type { PointCost, PointCostName } from './cloudCost.js';
export { cosineCost, euclideanCost, pairwiseCost, squaredEuclideanCost } from './costs.js';
export {
  type ExactTransportOptions,
  exactTransport,
  exactTransportAsync,
} from './exactTransport.js';
export type { DualsInput } from './initialPotentials.js';
export { type MixtureOutput, mixtureOfExperts } from './mixtureOfExperts.js';
export type { LineInput, PointRequest, PointsInput } from './pointArguments.js';
export { type PointGradients, PointResult, type PointSolution } from './pointResult.js';
export {
  type ProjectSimplexOptions,
  type ProjectSparseSimplexOptions,
  projectSimplex,
  projectSparseSimplex,
} from './projectSimplex.js';
export { quadraticTransport, quadraticTransportAsync } from './quadraticTransport.js';
export type { QuadraticTransportOptions, SparseTransportOptions } from './regularizedOptions.js';
export type { SparseSolution } from './regularizedSolver.js';
export { roundPlan } from './roundPlan.js';
export type { Choices } from './routers.js';
export {
  expertCapacity,
  type RouteTokensOptions,
  type RoutingMethod,
  routeTokens,
  routeTokensAsync,
} from './routeTokens.js';
export { Routing, type RoutingReport } from './routing.js';
export {
  type EpsilonScaling,
  type SinkhornOptions,
  type SinkhornResult,
  sinkhorn,
  sinkhornAsync,
} from './sinkhorn.js';
export {
  type SinkhornDivergenceOptions,
  type SinkhornDivergenceResult,
  sinkhornDivergence,
  sinkhornDivergenceAsync,
} from './sinkhornDivergence.js';
export {
  PointCloudResult,
  type PointCloudSolution,
  type SinkhornPointCloudOptions,
  sinkhornPointCloud,
  sinkhornPointCloudAsync,
} from './sinkhornPointCloud.js';
export type { EntropicSolution } from './sinkhornSolver.js';
export {
  type SparseTransportResult,
  sparseTransport,
  sparseTransportAsync,
} from './sparseTransport.js';
export { toSparse, toSparseAsync } from './toSparse.js';
export type {
  CostInput,
  HostArray,
  TransportProblem,
  TransportRequest,
  Weights,
  WeightsInput,
} from './transportArguments.js';
export {
  type ObjectiveValue,
  type TransportObjectives,
  type TransportObjectivesOptions,
  transportObjectives,
  transportObjectivesAsync,
} from './transportObjectives.js';
export {
  type PlanEntries,
  type SparsePlan,
  type TransportResiduals,
  TransportResult,
  type TransportSolution,
} from './transportResult.js';
export {
  type Wasserstein2Options,
  type WassersteinOptions,
  type WassersteinResult,
  type WassersteinSolution,
  wasserstein1,
  wasserstein1Async,
  wasserstein2,
  wasserstein2Async,
} from './wasserstein.js';
export {
  type LineSolution,
  type Wasserstein1dOptions,
  type Wasserstein1dResult,
  wasserstein1d,
  wasserstein1dAsync,
} from './wasserstein1d.js';
