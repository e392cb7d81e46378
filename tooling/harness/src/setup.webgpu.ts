/** Before `setup.ts` for WebGPU in Node: where the machine has no GPU, a software one. */
import { useSoftwareGpu } from './softwareGpu.js';

await useSoftwareGpu();
await import('./setup.js');
