export { type FlopsOptions, newtonSchulzFlops } from './flops.js';
export type { Form, IterateAttributes } from './iterate.js';
export type { EpsilonMode, NormalizeOptions } from './normalize.js';
export {
  type OrthogonalizeAttributes,
  type OrthogonalizeOptions,
  orthogonalize,
} from './orthogonalize.js';
export {
  oddMinimaxQuintic,
  type PolarExpressOptions,
  polarExpressCoefficients,
} from './polarExpress.js';
export { bestRestarts, type RestartOptions, restartStability } from './restarts.js';
export {
  type CoefficientRow,
  type Normalization,
  SCHEDULES,
  type Schedule,
  type ScheduleName,
} from './schedules.js';
