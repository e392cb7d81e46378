/** Runs in every test process of a backend project: starts that backend, and fails if another one answers. */
import { useBackend } from '@orth/backend';
import { getBackend } from '@tensorflow/tfjs-core';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    backend: string;
  }
}

const backend = inject('backend');
if (backend === 'webgpu') {
  if (typeof window === 'undefined') {
    const { useSoftwareGpu } = await import('./softwareGpu.js');
    useSoftwareGpu();
  }
  await import('@orth/backend-webgpu');
}
await useBackend(backend);
if (getBackend() !== backend) {
  throw new Error(`this project tests ${backend}, but ${getBackend()} is active`);
}
