import { type BackendDetails, type BackendProvider, globalRegistry } from '@orth/backend';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  findBackendFactory,
  registerBackend,
  removeBackend,
  version_core,
} from '@tensorflow/tfjs-core';
import { describeAdapter, findAdapter, isSoftwareAdapter, requestDevice } from './adapter.js';
import { findGpu } from './gpu.js';
import { guard } from './guard.js';
import { checkWebgpuOptions, WEBGPU_OPTIONS, type WebgpuOptions } from './options.js';

/** The running device, one a process: tfjs has one backend of a name. */
interface Session {
  readonly backend: WebGPUBackend;
  readonly details: BackendDetails;
  readonly options: WebgpuOptions;
  readonly software: boolean;
  lost: boolean;
  released: boolean;
}

const current = globalRegistry('webgpu-session', () => ({
  session: undefined as Session | undefined,
}));

const SOFTWARE_DECLINED =
  "only a software adapter is here, which is slower than wasm; useBackend('webgpu') takes it all the same";

/** Options that choose the device. */
const CHOICES = ['adapter', 'device', 'powerPreference', 'forceFallbackAdapter'] as const;

/** WebGPU through tfjs-backend-webgpu, in browsers and in Node. */
export const webgpuProvider: BackendProvider = {
  name: 'webgpu',
  priority: 30,
  options: WEBGPU_OPTIONS,
  async start(request) {
    const options = checkWebgpuOptions(request);
    const running = current.session;
    if (running && !running.lost) {
      if (CHOICES.some((name) => name in options && options[name] !== running.options[name])) {
        throw new Error(
          `a device runs already (${running.details.device}), and its tensors would be lost;` +
            ' to choose another one, call releaseWebgpu() first',
        );
      }
      if (request.auto && running.software) throw new Error(SOFTWARE_DECLINED);
      return running.details;
    }
    current.session = await open(options, request.auto);
    return current.session.details;
  },
};

async function open(options: WebgpuOptions, auto: boolean): Promise<Session> {
  const gpu = await findGpu(options.dawnFlags);
  const adapter = options.device ? undefined : await findAdapter(gpu, options);
  const info = (options.device?.adapterInfo ?? adapter?.info)!;
  const software = isSoftwareAdapter(info);
  if (auto && software) throw new Error(SOFTWARE_DECLINED);
  const device = options.device ?? (await requestDevice(adapter!));
  // Only now: tfjs decides while it loads, by navigator.gpu, whether there is WebGPU.
  const tfjs = await import('@tensorflow/tfjs-backend-webgpu');
  const backend = new tfjs.WebGPUBackend(device as never, info as never);
  const session: Session = {
    backend,
    details: {
      library: '@tensorflow/tfjs-backend-webgpu',
      // It exports no version of its own, but runs with a core of the same version only.
      version: version_core,
      device: describeAdapter(info),
    },
    options,
    software,
    lost: false,
    released: false,
  };
  guard(backend, (loss) => {
    session.lost = true;
    if (!session.released) options.onDeviceLost?.(loss);
  });
  // tfjs's own factory would ask for an adapter of its own choice.
  if (findBackendFactory('webgpu')) removeBackend('webgpu');
  const tfjsPriority = 3;
  registerBackend('webgpu', () => backend, tfjsPriority);
  return session;
}

/**
 * Gives the GPU back: removes the backend from tfjs and destroys the device, if {@link WebgpuOptions.device} did not
 * bring it. Tensors that live on it are lost. Does nothing when no device runs.
 *
 * When WebGPU was the active backend, none is afterwards: call `useBackend` again.
 */
export function releaseWebgpu(): void {
  const { session } = current;
  if (!session) return;
  current.session = undefined;
  session.released = true;
  if (findBackendFactory('webgpu')) removeBackend('webgpu');
  if (!session.options.device) session.backend.device.destroy();
}
