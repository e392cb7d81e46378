import { type BackendDetails, globalRegistry } from '@orth/backend';
import { findBackendFactory, removeBackend } from '@tensorflow/tfjs-core';
import type { CudaBackend } from './cudaBackend.js';
import { BACKEND } from './kernels/kernel.js';
import type { CudaMemory } from './memoryPool.js';
import type { CudaOptions } from './options.js';

/** A running backend. */
export interface Session {
  readonly details: BackendDetails;
  /** What it was started with. */
  readonly options: CudaOptions;
  /** Ours; tfjs-node-gpu's is another. */
  readonly backend?: CudaBackend;
  /** Whether the device is gone. */
  isLost(): boolean;
  /** Gives back what the session took, after tfjs has dropped the backend. */
  close(): void;
}

/** One a thread of JavaScript: workers have a `globalThis` and thus a backend of their own. */
export const current = globalRegistry('cuda-session', () => ({
  session: undefined as Session | undefined,
}));

/**
 * Gives the GPU back: removes the backend from tfjs, and frees its memory. Tensors that live on it are lost. Does nothing
 * when none runs.
 *
 * When CUDA was the active backend, none is afterwards: call `useBackend` again.
 */
export function releaseCuda(): void {
  const { session } = current;
  if (!session) return;
  current.session = undefined;
  if (findBackendFactory(BACKEND)) removeBackend(BACKEND);
  session.close();
}

/**
 * How much device memory this package holds, and how much there is.
 * @throws Error if this package's own provider does not run
 */
export function cudaMemory(): CudaMemory {
  const backend = current.session?.backend;
  if (!backend) {
    throw new Error(
      "cudaMemory: CUDA does not run here; await useBackend('cuda', { provider: 'driver' })",
    );
  }
  return backend.pool.statistics;
}
