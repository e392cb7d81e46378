import '#gradients';
import { cpuProvider } from './cpuProvider.js';
import { registerGradients } from './gradients/register.js';
import { registerBackend } from './provider.js';
import { wasmProvider } from './wasmProvider.js';

registerGradients();
registerBackend(cpuProvider);
registerBackend(wasmProvider);

export {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  type NumberRange,
  type TensorRule,
} from './checks.js';
export { crc32 } from './crc32.js';
export {
  BackendUnavailableError,
  CheckpointError,
  DeviceLostError,
  NonFiniteError,
  type RejectedBackend,
} from './errors.js';
export {
  defineFusedOp,
  type FusedKernel,
  type FusedOp,
  type FusedOpDefinition,
  fusedKernel,
  fusedKernelNames,
  registerFusedKernel,
} from './fusedOp.js';
export { globalRegistry } from './globalRegistry.js';
export { assertNoLeaks, type LeakReport, measureLeaks } from './leaks.js';
export {
  type BackendDetails,
  type BackendProvider,
  type BackendRequest,
  registerBackend,
} from './provider.js';
export { type Random, type RandomState, restoreRandom, seededRandom } from './random.js';
export {
  type BackendInfo,
  type BackendName,
  type BackendOptions,
  type BackendOptionsByName,
  type BackendOptionsOf,
  backendInfo,
  type CommonBackendOptions,
  useBackend,
  type WasmOptions,
} from './useBackend.js';
export { registerWasmTrainingKernels } from './wasm/trainingKernels.js';
