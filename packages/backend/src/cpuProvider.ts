import { findBackend } from '@tensorflow/tfjs-core';
import type { BackendProvider } from './provider.js';

/** tfjs's backend in plain JavaScript: everywhere, complete, and the slowest. */
export const cpuProvider: BackendProvider = {
  name: 'cpu',
  priority: 10,
  async start() {
    const { version_cpu } = await import('@tensorflow/tfjs-backend-cpu');
    // tfjs advertises its native package in Node at this backend's first write; a library prints nothing.
    const backend = findBackend('cpu') as unknown as { firstUse: boolean };
    backend.firstUse = false;
    return {
      library: '@tensorflow/tfjs-backend-cpu',
      version: version_cpu,
      device: 'CPU, plain JavaScript',
    };
  },
};
