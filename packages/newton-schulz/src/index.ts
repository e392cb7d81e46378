export { type CansOptions, cansCoefficients } from './cans.js';
export { mapSingularValues } from './coefficients.js';
export { type DctOptions, type DctTransform, dct, makhoulOrder } from './dct.js';
export { dctMatrix } from './dctMatrix.js';
export { type ExactPolar, exactPolar, exactPolarAsync } from './exactPolar.js';
export {
  coefficientError,
  type FitOptions,
  type FittedCoefficients,
  fitCoefficients,
  type SpectrumMix,
} from './fitCoefficients.js';
export { type FlopsOptions, newtonSchulzFlops } from './flops.js';
export type { Form, IterateAttributes } from './iterate.js';
export {
  orthogonalityError,
  polarError,
  type SingularValueSummary,
  singularValueSummary,
  singularValues,
  spectralError,
} from './metrics.js';
export type { EpsilonMode, NormalizeOptions } from './normalize.js';
export {
  checkOrthogonalizeOptions,
  type OrthogonalizeAttributes,
  type OrthogonalizeOptions,
  orthogonalize,
} from './orthogonalize.js';
export { type PolarOptions, polar } from './polar.js';
export {
  oddMinimaxQuintic,
  type PolarExpressOptions,
  polarExpressCoefficients,
  type Quintic,
} from './polarExpress.js';
export { bestRestarts, type RestartOptions, restartStability } from './restarts.js';
export {
  adaptiveCoefficients,
  ROOT_COEFFICIENTS,
  type RootCoefficientSource,
  rootCoefficients,
} from './rootCoefficients.js';
export {
  type CoefficientRow,
  type Normalization,
  SCHEDULES,
  type Schedule,
  type ScheduleName,
} from './schedules.js';
export { type Selection, type SelectOptions, selectColumns } from './selectColumns.js';
