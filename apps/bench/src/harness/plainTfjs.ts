/**
 * TensorFlow.js as it is without us, in the same process: @orth/backend replaces kernels of tfjs's wasm backend, and
 * other backends of ours stand on it. A fair peer is tfjs's own wasm backend with its own kernels.
 */
import '@tensorflow/tfjs-backend-wasm';
import {
  getBackend,
  getKernelsForBackend,
  type KernelConfig,
  registerKernel,
  setBackend,
  unregisterKernel,
  version_core,
} from '@tensorflow/tfjs-core';
import type { Contestant } from './contestant.js';

// Taken when this module loads: ours are registered when the backend starts.
const originals: readonly KernelConfig[] = getKernelsForBackend('wasm');

/** Backends of ours whose tfjs counterpart is the wasm backend; on others tfjs runs on the backend itself. */
const ON_WASM = ['wasm', 'node', 'cuda'];

function install(kernels: readonly KernelConfig[]): void {
  const names = new Set(kernels.map(({ kernelName }) => kernelName));
  for (const { kernelName } of getKernelsForBackend('wasm')) {
    if (!names.has(kernelName)) unregisterKernel(kernelName, 'wasm');
  }
  const present = new Map(
    getKernelsForBackend('wasm').map((kernel) => [kernel.kernelName, kernel]),
  );
  for (const kernel of kernels) {
    const { kernelName } = kernel;
    if (present.get(kernelName)?.kernelFunc === kernel.kernelFunc) continue;
    // tfjs warns about registering over a kernel.
    if (present.has(kernelName)) unregisterKernel(kernelName, 'wasm');
    registerKernel(kernel);
  }
}

/** Name of the peer: `tfjs 4.22.0 wasm`. */
export const plainTfjsName = (active = getBackend()): string =>
  `tfjs ${version_core} ${ON_WASM.includes(active) ? 'wasm' : active}`;

/** Runs `work` on tfjs alone, then brings back the active backend and our kernels. */
export async function onPlainTfjs<T>(work: () => T | Promise<T>): Promise<T> {
  const active = getBackend();
  if (!ON_WASM.includes(active)) return work();
  const ours = getKernelsForBackend('wasm');
  install(originals);
  await setBackend('wasm');
  try {
    return await work();
  } finally {
    install(ours);
    await setBackend(active);
  }
}

/**
 * A contestant that runs on tfjs alone; the switch there and back is not timed.
 *
 * @param create - makes the contestant; the tensors it makes live on tfjs's own backend
 */
export async function plainTfjsContestant(
  create: () => Contestant | Promise<Contestant>,
): Promise<Contestant> {
  const contestant = await onPlainTfjs(create);
  return {
    name: contestant.name,
    time: (runs) => onPlainTfjs(() => contestant.time(runs)),
    error: () => onPlainTfjs(() => contestant.error()),
    dispose: () => onPlainTfjs(() => contestant.dispose?.()),
  };
}
