import {
  engine,
  env,
  findBackendFactory,
  type KernelBackend,
  registerBackend,
  removeBackend,
} from '@tensorflow/tfjs-core';
import type { BackendDetails, BackendProvider } from './provider.js';
import { registerWasmTrainingKernels } from './wasm/trainingKernels.js';
import { blobWorkersAllowed, startInBrowser, type WasmPaths } from './wasmBrowser.js';
import { startInNode } from './wasmNode.js';

/** What the running backend was started with; it stays so, because tfjs starts it once. */
let device = '';

/** tfjs's WebAssembly backend, completed so that models with embeddings, convolutions and FFTs train on it. */
export const wasmProvider: BackendProvider = {
  name: 'wasm',
  priority: 20,
  options: ['wasmPaths'],
  async start({ threads, wasmPaths }) {
    const paths = checkPaths(wasmPaths);
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    registerWasmTrainingKernels();
    if (!('wasm' in engine().registry)) {
      if (threads !== undefined) wasm.setThreadsCount(threads);
      await replaceFactory(async (factory) => {
        const inNode = env().getBool('IS_NODE');
        if (inNode && paths !== undefined) wasm.setWasmPaths(paths);
        const features = await findFeatures();
        const backend = inNode
          ? await startInNode(factory)
          : await startInBrowser(wasm, features, paths);
        device = features.device;
        return backend;
      });
    }
    return {
      library: '@tensorflow/tfjs-backend-wasm',
      version: wasm.version_wasm,
      device: device || 'CPU, WebAssembly, started by tfjs itself',
      threads: Math.max(1, wasm.getThreadsCount()),
    } satisfies BackendDetails;
  },
};

function checkPaths(paths: unknown): WasmPaths | undefined {
  if (paths === undefined || typeof paths === 'string') return paths;
  if (typeof paths === 'object' && paths !== null) return paths as WasmPaths;
  throw new TypeError(`useBackend: wasmPaths must be a folder or an object, got ${typeof paths}`);
}

/**
 * Starts the backend now, rather than in `setBackend`, where tfjs would print the cause of a failure and answer `false`.
 * @param start - is given tfjs's own factory
 */
async function replaceFactory(
  start: (factory: () => KernelBackend | Promise<KernelBackend>) => Promise<KernelBackend>,
): Promise<void> {
  const tfjsPriority = 2;
  const factory = findBackendFactory('wasm');
  // Until it is ready, tfjs must not start it by itself for some tensor that is made meanwhile.
  removeBackend('wasm');
  let ready = factory;
  try {
    const backend = await start(factory);
    ready = () => backend;
  } finally {
    registerBackend('wasm', ready, tfjsPriority);
  }
}

/** What can run here, by tfjs's own tests, and in words. */
async function findFeatures(): Promise<{ simd: boolean; threads: boolean; device: string }> {
  const [simd, shared] = await Promise.all([
    env().getAsync('WASM_HAS_SIMD_SUPPORT'),
    env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'),
  ]);
  const allowed = Boolean(simd && shared) && (await blobWorkersAllowed());
  const device = `CPU, WebAssembly${simd ? ' SIMD' : ''}, ${describeThreads(allowed)}`;
  return { simd: Boolean(simd), threads: allowed, device };
}

function describeThreads(allowed: boolean): string {
  if (allowed) return 'threads';
  if (env().getBool('IS_NODE')) return 'one thread (tfjs has no threads in Node)';
  if (globalThis.crossOriginIsolated) {
    return "one thread (threads need SIMD, and blob: in the page's script-src and worker-src policy)";
  }
  return (
    'one thread (threads need the headers Cross-Origin-Opener-Policy: same-origin and' +
    ' Cross-Origin-Embedder-Policy: require-corp)'
  );
}
