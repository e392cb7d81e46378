import { registerBackend } from '@orth/backend';
import { cudaProvider } from './cudaProvider.js';

registerBackend(cudaProvider);

export { CudaError } from './driver/cudaError.js';
export type { CudaMemory } from './memoryPool.js';
export type { CudaOptions, CudaProviderName } from './options.js';
export { cudaMemory, releaseCuda } from './session.js';
