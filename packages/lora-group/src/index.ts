export { type AdaptOptions, adapt } from './adapters/adapt.js';
export { AdaptedModel } from './adapters/adaptedModel.js';
export { AdaptedVariables, type ApplyOptions } from './adapters/adaptedVariables.js';
export {
  AdapterSet,
  type LoadOptions,
  type ParameterCount,
  type TargetDescription,
  type WeightedOptions,
} from './adapters/adapterSet.js';
export type { Combination } from './adapters/combineAdapters.js';
export type { LayerLike, LayersModelLike, LayerWeight } from './adapters/layerTypes.js';
export type { ModuleSelector, TargetInfo } from './adapters/matchTargets.js';
export type { AdapterMethod, AdapterOptions, BiasMode } from './adapters/options.js';
export type { TargetKind } from './adapters/target.js';
export type { AdapterConfig } from './files/adapterConfig.js';
export type { AdapterFiles } from './files/adapterFile.js';
export type { FileTensor } from './files/fileTensor.js';
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './files/safetensors.js';
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
  LoraGroup,
  type LoraGroupOptions,
  type LoraGroupState,
  loraGroup,
  restoreLoraGroup,
} from './pego/loraGroup.js';
export { type PegoLossOptions, pegoLoss } from './pego/pegoLoss.js';
export type { PegoWeights } from './pego/pegoPenalty.js';
export {
  type PegoNorm,
  type PegoPenalty,
  type PegoPenaltyOptions,
  pegoPenalty,
} from './pego/pegoPenalty.js';
