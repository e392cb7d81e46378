export { empiricalBernstein } from './offPolicy/empiricalBernstein.js';
export type { OffPolicyEstimator } from './offPolicy/estimators.js';
export {
  type EvaluateOptions,
  evaluateOffPolicy,
  type PlayedAction,
  type ProgressiveEvaluation,
  type ProgressiveLearner,
  type ProgressiveOptions,
  type ProgressiveStep,
  progressiveValidation,
  type Stream,
} from './offPolicy/evaluateOffPolicy.js';
export {
  type Interval,
  type OffPolicyEstimate,
  type OffPolicyEvaluation,
  OffPolicyEvaluator,
  type OffPolicyOptions,
} from './offPolicy/evaluator.js';
export type { OffPolicyRound, WeightOptions } from './offPolicy/terms.js';
export type {
  FeatureArray,
  Feedback,
  Json,
  Observation,
  Policy,
  PolicyState,
  Round,
} from './policy.js';
