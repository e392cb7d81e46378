import type { BackendProvider } from '@orth/backend';
import type { CudaDriver } from './driver/cudaDriver.js';
import { openForeign } from './driver/foreign.js';
import { type NativeDriverOptions, openNativeDriver } from './driver/nativeDriver.js';
import { BACKEND } from './kernels/kernel.js';
import { CUDA_OPTIONS, type CudaOptions, checkCudaOptions } from './options.js';
import { current, releaseCuda, type Session } from './session.js';
import { startOn } from './startDriver.js';
import { importTfjsNodeGpu, startTfjsNodeGpu } from './startTfjsNodeGpu.js';

/** Where the two providers come from; tests put others in their place. */
export interface CudaSources {
  readonly openDriver: (options: NativeDriverOptions) => Promise<CudaDriver>;
  readonly importTfjsNodeGpu: () => Promise<unknown>;
}

const NATIVE: CudaSources = {
  openDriver: async (options) => openNativeDriver(await openForeign(), options),
  importTfjsNodeGpu,
};

async function startDriver(sources: CudaSources, options: CudaOptions): Promise<Session> {
  const { device = 0, cudaPath, nvrtcPath, cublasPath } = options;
  const driver = await sources.openDriver({
    device,
    ...(cudaPath !== undefined && { cudaPath }),
    ...(nvrtcPath !== undefined && { nvrtcPath }),
    ...(cublasPath !== undefined && { cublasPath }),
  });
  return startOn(driver, options);
}

async function start(sources: CudaSources, options: CudaOptions): Promise<Session> {
  const { provider = 'auto' } = options;
  if (provider === 'driver') return startDriver(sources, options);
  const tensorflow = () => startTfjsNodeGpu(sources.importTfjsNodeGpu, options);
  if (provider === 'tfjs-node-gpu') return tensorflow();
  try {
    return await tensorflow();
  } catch (first) {
    try {
      return await startDriver(sources, options);
    } catch (second) {
      throw new Error(`${(second as Error).message}; ${(first as Error).message}`, {
        cause: second,
      });
    }
  }
}

/** Makes a provider. */
export function createCudaProvider(sources: CudaSources = NATIVE): BackendProvider {
  return {
    name: BACKEND,
    priority: 50,
    options: CUDA_OPTIONS,
    async start(request) {
      const options = checkCudaOptions(request);
      const running = current.session;
      if (running?.isLost()) releaseCuda();
      else if (running) {
        const other = CUDA_OPTIONS.find(
          (name) => name in options && options[name] !== running.options[name],
        );
        if (other === undefined) return running.details;
        throw new Error(
          `the GPU runs already (${running.details.device}) with another ${other}, and its tensors would be lost;` +
            ' to choose again, call releaseCuda() first',
        );
      }
      current.session = await start(sources, options);
      return current.session.details;
    },
  };
}

/** NVIDIA GPUs, by tfjs-node-gpu where the program has it, else by this package. */
export const cudaProvider: BackendProvider = createCudaProvider();
