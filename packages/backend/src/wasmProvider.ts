import {
  engine,
  env,
  findBackendFactory,
  registerBackend,
  removeBackend,
} from '@tensorflow/tfjs-core';
import type { BackendDetails, BackendProvider } from './provider.js';
import { registerWasmTrainingKernels } from './wasm/trainingKernels.js';
import { embeddedWasm, type WasmFeatures, type WasmPaths, wasmFeatures } from './wasmFiles.js';

/** tfjs's WebAssembly backend, completed so that models with embeddings, convolutions and FFTs train on it. */
export const wasmProvider: BackendProvider = {
  name: 'wasm',
  priority: 20,
  options: ['wasmPaths'],
  async start({ threads, wasmPaths }) {
    const paths = checkPaths(wasmPaths);
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    registerWasmTrainingKernels();
    const features = await wasmFeatures();
    const details = (): BackendDetails => ({
      library: '@tensorflow/tfjs-backend-wasm',
      version: wasm.version_wasm,
      device: describeDevice(features),
      threads: features.threads ? wasm.getThreadsCount() : 1,
    });
    // A running backend keeps its file and its threads: tfjs reads both only once.
    if (isRunning()) return details();
    if (threads !== undefined) wasm.setThreadsCount(threads);
    await startFactory(async () => {
      // In Node tfjs finds its files by itself.
      if (!paths && env().getBool('IS_NODE')) return undefined;
      const { paths: chosen, release } = paths
        ? { paths, release: undefined }
        : await embeddedWasm(features);
      wasm.setWasmPaths(chosen);
      return release;
    });
    return details();
  },
};

function checkPaths(paths: unknown): WasmPaths | undefined {
  if (paths === undefined || typeof paths === 'string') return paths;
  if (typeof paths === 'object' && paths !== null) return paths as WasmPaths;
  throw new TypeError(`useBackend: wasmPaths must be a folder or an object, got ${typeof paths}`);
}

const isRunning = () => 'wasm' in engine().registry;

/**
 * Starts the backend as tfjs would at `setBackend('wasm')`, but passes the cause on when that fails; tfjs would print
 * the cause and answer `false`.
 *
 * @param prepare - makes the files ready; what it returns runs when they have been read
 */
async function startFactory(prepare: () => Promise<(() => void) | undefined>): Promise<void> {
  const tfjsPriority = 2;
  const factory = findBackendFactory('wasm');
  // Until it is ready, tfjs must not start it by itself for some tensor that is made meanwhile.
  removeBackend('wasm');
  let ready = factory;
  try {
    const release = await prepare();
    try {
      const backend = await factory();
      ready = () => backend;
    } finally {
      release?.();
    }
  } finally {
    registerBackend('wasm', ready, tfjsPriority);
  }
}

function describeDevice({ simd, threads }: WasmFeatures): string {
  const name = `CPU, WebAssembly${simd ? ' SIMD' : ''}`;
  if (threads) return `${name}, threads`;
  if (env().getBool('IS_NODE')) return `${name}, one thread (tfjs has no threads in Node)`;
  return simd && !globalThis.crossOriginIsolated
    ? `${name}, one thread (threads need the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)`
    : `${name}, one thread`;
}
