export { AdamW } from './adamW.js';
export {
  ADAM_W_DEFAULTS,
  type AdamWState,
  type AdamWUpdateOptions,
  adamWUpdate,
} from './adamWUpdate.js';
export {
  AuON,
  type AuONGroup,
  type AuONHyperparameters,
  type AuONOptions,
  HybridAuON,
  type HybridAuONGroup,
  type HybridAuONHyperparameters,
  type HybridAuONOptions,
} from './auON.js';
export {
  type AuonDirectionOptions,
  type AuonVariant,
  auonDirection,
  coshRms,
} from './auonDirection.js';
export type { OptimizerState, SlotState, VariableState } from './checkpoint.js';
export {
  DctAdamW,
  type DctAdamWGroup,
  type DctAdamWHyperparameters,
  type DctAdamWOptions,
} from './dctAdamW.js';
export {
  DCT_ADAM_W_DEFAULTS,
  type DctAdamWState,
  type DctAdamWUpdateOptions,
  dctAdamWUpdate,
} from './dctAdamWUpdate.js';
export type { LowRankBasis } from './dctTables.js';
export type { WeightDecayMode } from './descend.js';
export { endLayerGroup, type LayeredModel } from './endLayerGroup.js';
export {
  type LearningRateAdjustment,
  type LearningRateScale,
  learningRateScale,
} from './learningRateScale.js';
export type { LowRankOptions } from './lowRank.js';
export type { MatrixOptimizerOptions } from './matrixOptimizer.js';
export type { Layout } from './matrixView.js';
export { Muon } from './muon.js';
export {
  MUON_DEFAULTS,
  type MuonUpdate,
  type MuonUpdateOptions,
  muonUpdate,
} from './muonUpdate.js';
export {
  NorMuon,
  type NorMuonGroup,
  type NorMuonHyperparameters,
  type NorMuonOptions,
} from './norMuon.js';
export {
  type NeuronAxis,
  type NormuonNormalizeOptions,
  normuonNormalize,
} from './normuonNormalize.js';
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
export { type Gradients, OrthOptimizer, type Route } from './orthOptimizer.js';
export {
  type AssignmentScheme,
  type OrthogonalizationPlan,
  planOrthogonalization,
} from './planOrthogonalization.js';
export { type QkClipOptions, type QkClipResult, qkClip, scaleHeads } from './qkClip.js';
export { type CodeBits, dequantizeRows, type QuantizedRows, quantizeRows } from './quantizeRows.js';
export { Root, type RootGroup, type RootHyperparameters, type RootOptions } from './root.js';
export type { RootCoefficients } from './rootMethod.js';
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
export {
  type SoftThresholdOptions,
  type SoftThresholdParts,
  softThresholdSplit,
} from './softThresholdSplit.js';
export { decodeState, encodeState } from './stateCodec.js';
export type {
  SlotRule,
  SlotShapes,
  Target,
  Unit,
  UnitInput,
  UnitOutput,
  UpdateMethod,
} from './targets.js';
export { Trion, type TrionGroup, type TrionHyperparameters, type TrionOptions } from './trion.js';
export {
  TRION_DEFAULTS,
  type TrionUpdate,
  type TrionUpdateOptions,
  trionUpdate,
} from './trionUpdate.js';
