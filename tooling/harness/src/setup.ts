/** Runs before the tests of a backend's project: starts that backend, and fails if another one answers. */
import { useBackend } from '@orth/backend';
import { getBackend } from '@tensorflow/tfjs-core';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    backend: string;
  }
}

const backend = inject('backend');
if (backend === 'webgpu') await import('@orth/backend-webgpu');
const { device } = await useBackend(backend);
if (getBackend() !== backend) {
  throw new Error(`this project tests ${backend}, but ${getBackend()} is active`);
}
// Once a process or page: which device the numbers come from.
const said = Symbol.for('@orth/harness/device-said');
if (!(said in globalThis) && (backend === 'webgpu' || typeof window !== 'undefined')) {
  Object.assign(globalThis, { [said]: true });
  console.log(`${backend}: ${device}`);
}
