import { registerBackend } from '@orth/backend';
import { webgpuProvider } from './webgpuProvider.js';

registerBackend(webgpuProvider);

export type { WebgpuDeviceLoss, WebgpuOptions } from './options.js';
export { runWgsl, type WgslProgram, type WgslUniform } from './runWgsl.js';
export { releaseWebgpu } from './webgpuProvider.js';
