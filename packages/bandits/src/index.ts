export {
  expectedPerturbedLoss,
  type NetworkOptions,
  networkOutputs,
  type PerturbedLossInputs,
  type PerturbedLossOptions,
  perturbedLoss,
} from './composed/perturbedLoss.js';
export {
  type ExplorationOptions,
  epsilonGreedyProbabilities,
  inverseGapWeighting,
  probabilityFloor,
  reweightedInverseGapWeighting,
  SMALLEST_PREDICTED_LOSS,
  sampleAction,
  softmaxProbabilities,
} from './exploration.js';
export { type DsjsonOptions, formatDsjson, parseDsjson, readDsjson } from './logs/dsjson.js';
export { LogLineError } from './logs/events.js';
export {
  type LoggedDecision,
  type ReadDecisionsOptions,
  readDecisions,
} from './logs/interactions.js';
export type { ReplayOptions, ReplayResult } from './logs/replay.js';
export type { Activation } from './neural/activations.js';
export type { NetworkShapeOptions, TrainingOptions } from './neural/networkOptions.js';
export type { NeuralRegressionOptions } from './neural/neuralOracle.js';
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
export { type BagOptions, bag } from './policies/bag.js';
export type { PolicyOptions } from './policies/basePolicy.js';
export { type EENetOptions, eeNet } from './policies/eeNet.js';
export {
  fastCB,
  type Gamma,
  type GapWeightingOptions,
  type NeuCBOptions,
  neuFastCB,
  neuSquareCB,
  squareCB,
  type TheoreticalGamma,
} from './policies/gapWeighting.js';
export {
  type EpsilonGreedyOptions,
  epsilonGreedy,
  type NeuralEpsilonOptions,
  neuralEpsilon,
  type SoftmaxOptions,
  softmax,
} from './policies/greedy.js';
export { type LinTSOptions, linTS } from './policies/linTS.js';
export { type LinUCBOptions, linUCB } from './policies/linUCB.js';
export {
  type NeuralTSOptions,
  type NeuralUCBOptions,
  neuralTS,
  neuralUCB,
} from './policies/neuralConfidence.js';
export type {
  ExplorationPolicyOptions,
  NeuralOracleOptions,
  OracleKind,
  OraclePolicyOptions,
} from './policies/oraclePolicy.js';
export { policyFromJSON } from './policies/policyFromJSON.js';
export { type RegCBOptions, regCB } from './policies/regCB.js';
export { uniform } from './policies/uniform.js';
export type {
  FeatureArray,
  Feedback,
  Json,
  Observation,
  Policy,
  PolicyState,
  Round,
} from './policy.js';
export type { PowerSchedule, Schedule } from './schedules.js';
export {
  type BanditStatistics,
  type ChooseRequest,
  ContextualBandit,
  type Decision,
  type DecisionRequest,
  type LearnStatus,
  type LoggedOutcome,
} from './service/contextualBandit.js';
export type { EncodingOptions } from './service/encoding.js';
export type {
  ActionInput,
  FeaturedAction,
  Features,
  NamedFeatures,
  PlainAction,
  PlainFeatures,
} from './service/features.js';
export type { BanditRuntime, ContextualBanditOptions } from './service/options.js';
export type { ContextualBanditState } from './service/savedBandit.js';
export {
  type ClassificationOptions,
  classificationWorld,
  type LabelledSamples,
} from './worlds/classificationWorld.js';
export {
  type ConfidenceBand,
  confidenceBand,
  type SimulateOptions,
  type Simulation,
  type SimulationProgress,
  simulate,
} from './worlds/simulate.js';
export {
  linearWorld,
  type NonlinearKind,
  type NonlinearOptions,
  nonlinearWorld,
  type SyntheticOptions,
  switchingWorld,
} from './worlds/syntheticWorlds.js';
export type { World, WorldRound } from './worlds/world.js';
