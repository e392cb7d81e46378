export type {
  CostInput,
  HostArray,
  TransportProblem,
  Weights,
  WeightsInput,
} from './transportArguments.js';
export {
  type PlanEntries,
  type SparsePlan,
  type TransportResiduals,
  TransportResult,
  type TransportSolution,
} from './transportResult.js';
