export {
  type Assignment,
  type AssignmentOptions,
  assignment,
  assignmentAsync,
} from './assignment.js';
export {
  type ExactTransportOptions,
  exactTransport,
  exactTransportAsync,
} from './exactTransport.js';
export type { DualsInput } from './initialPotentials.js';
export {
  type ProjectSimplexOptions,
  type ProjectSparseSimplexOptions,
  projectSimplex,
  projectSparseSimplex,
} from './projectSimplex.js';
export { quadraticTransport, quadraticTransportAsync } from './quadraticTransport.js';
export type { QuadraticTransportOptions, SparseTransportOptions } from './regularizedOptions.js';
export type { SparseSolution } from './regularizedSolver.js';
export {
  type EpsilonScaling,
  type SinkhornOptions,
  type SinkhornResult,
  sinkhorn,
  sinkhornAsync,
} from './sinkhorn.js';
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
