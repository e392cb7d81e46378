import {
  engine,
  env,
  findBackendFactory,
  registerBackend,
  removeBackend,
} from '@tensorflow/tfjs-core';
import type { BackendDetails, BackendProvider } from './provider.js';
import { embeddedWasm, type WasmFeatures, type WasmPaths, wasmFeatures } from './wasmFiles.js';

/** tfjs's WebAssembly backend, completed so that models with embeddings, convolutions and FFTs train on it. */
export const wasmProvider: BackendProvider = {
  name: 'wasm',
  priority: 20,
  options: ['wasmPaths'],
  async start({ threads, wasmPaths }) {
    const paths = checkPaths(wasmPaths);
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const features = await wasmFeatures();
    const details = (): BackendDetails => ({
      library: '@tensorflow/tfjs-backend-wasm',
      version: wasm.version_wasm,
      device: describeDevice(features),
      threads: features.threads ? wasm.getThreadsCount() : 1,
    });
    // A running backend keeps its file and its threads: tfjs reads both only once.
    if ('wasm' in engine().registry) return details();
    if (threads !== undefined) wasm.setThreadsCount(threads);
    // In Node tfjs finds its files by itself.
    const embedded = paths || env().getBool('IS_NODE') ? undefined : await embeddedWasm(features);
    try {
      const chosen = paths ?? embedded?.paths;
      if (chosen) wasm.setWasmPaths(chosen);
      await startFactory();
    } finally {
      embedded?.release();
    }
    return details();
  },
};

function checkPaths(paths: unknown): WasmPaths | undefined {
  if (paths === undefined || typeof paths === 'string') return paths;
  if (typeof paths === 'object' && paths !== null) return paths as WasmPaths;
  throw new TypeError(`useBackend: wasmPaths must be a folder or an object, got ${typeof paths}`);
}

/**
 * Starts the backend as tfjs would at `setBackend('wasm')`, but passes the cause on when that fails; tfjs would print
 * the cause and answer `false`.
 */
async function startFactory(): Promise<void> {
  const factory = findBackendFactory('wasm');
  const backend = await factory();
  const tfjsPriority = 2;
  removeBackend('wasm');
  registerBackend('wasm', () => backend, tfjsPriority);
}

function describeDevice({ simd, threads }: WasmFeatures): string {
  const name = `CPU, WebAssembly${simd ? ' SIMD' : ''}`;
  if (threads) return `${name}, threads`;
  if (env().getBool('IS_NODE')) return `${name}, one thread (tfjs has no threads in Node)`;
  return simd && !globalThis.crossOriginIsolated
    ? `${name}, one thread (threads need the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)`
    : `${name}, one thread`;
}
