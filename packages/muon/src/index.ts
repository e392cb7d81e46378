export { AdamW } from './adamW.js';
export {
  ADAM_W_DEFAULTS,
  type AdamWState,
  type AdamWUpdateOptions,
  adamWUpdate,
} from './adamWUpdate.js';
export type { OptimizerState, SlotState, VariableState } from './checkpoint.js';
export type { WeightDecayMode } from './descend.js';
export {
  type LearningRateAdjustment,
  type LearningRateScale,
  learningRateScale,
} from './learningRateScale.js';
export type { Layout } from './matrixView.js';
export { Muon } from './muon.js';
export {
  MUON_DEFAULTS,
  type MuonUpdate,
  type MuonUpdateOptions,
  muonUpdate,
} from './muonUpdate.js';
export type {
  AdamWGroup,
  AdamWHyperparameters,
  AdamWOptions,
  FrozenGroup,
  GroupMatch,
  MatrixOptions,
  MuonGroup,
  MuonHyperparameters,
  MuonOptions,
  ParameterGroup,
  StepOptions,
  VariableInfo,
} from './options.js';
export { type Gradients, OrthOptimizer } from './orthOptimizer.js';
export { type QkClipOptions, type QkClipResult, qkClip, scaleHeads } from './qkClip.js';
export { formatGroups, type GroupDescription } from './routing.js';
export {
  cosine,
  type DecayOptions,
  type DecayShape,
  linear,
  type Schedule,
  type ScheduleDefinition,
  type ScheduleFunction,
  type StepDecayOptions,
  scheduleValue,
  stepDecay,
  type WarmupOptions,
  type WarmupStableDecayOptions,
  warmup,
  warmupStableDecay,
} from './schedules.js';
export { decodeState, encodeState } from './stateCodec.js';
