export {
  type DoraForwardOptions,
  doraForward,
  doraMagnitude,
  doraWeight,
} from './lora/dora.js';
export { type GraloraFactors, graloraApply, graloraDelta } from './lora/gralora.js';
export {
  type LoraInit,
  oloraFactors,
  pissaFactors,
  type WeightFactors,
} from './lora/initializers.js';
export { type LoraForwardOptions, loraDelta, loraForward } from './lora/lora.js';
export { type OftOptions, oftForward, oftRotation, oftWeight } from './lora/oft.js';
export { loraScaling, type ScalingOptions } from './lora/scaling.js';
export {
  type PegoNorm,
  type PegoPenalty,
  type PegoPenaltyOptions,
  pegoPenalty,
} from './pego/pegoPenalty.js';
