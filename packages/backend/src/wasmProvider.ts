import type { BackendProvider } from './provider.js';

/** tfjs's WebAssembly backend, completed so that models with embeddings, convolutions and FFTs train on it. */
export const wasmProvider: BackendProvider = {
  name: 'wasm',
  priority: 20,
  async start({ threads }) {
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    if (threads !== undefined) wasm.setThreadsCount(threads);
    return {
      library: '@tensorflow/tfjs-backend-wasm',
      version: wasm.version_wasm,
      device: 'CPU, WebAssembly',
    };
  },
};
