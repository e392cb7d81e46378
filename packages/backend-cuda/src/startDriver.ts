import { type BackendDetails, type BackendProvider, globalRegistry } from '@orth/backend';
import { registerBackend } from '@tensorflow/tfjs-core';
import { CudaBackend } from './cudaBackend.js';
import type { CudaDriver } from './driver/cudaDriver.js';
import { registerNewtonSchulz } from './fused/newtonSchulz.js';
import { BACKEND } from './kernels/kernel.js';
import { registerKernels, unregisterKernels } from './kernels/register.js';
import type { CudaOptions } from './options.js';
import { selfTest } from './selfTest.js';
import type { Session } from './session.js';

const TFJS_PRIORITY = 4;
const GiB = 2 ** 30;
/** First compute capability with TF32 and bfloat16 products. */
const AMPERE = 8;

function describe({ device }: CudaDriver, { memoryLimit }: CudaOptions): string {
  const size = `${(device.bytes / GiB).toFixed(1)} GiB`;
  const limit =
    memoryLimit === undefined ? '' : `, at most ${(memoryLimit / GiB).toFixed(1)} GiB in use`;
  return `${device.name}, compute capability ${device.capability.join('.')}, ${size}${limit}`;
}

function checkFormats({ device }: CudaDriver, { tf32, orthogonalizePrecision }: CudaOptions): void {
  const wanted = tf32 ? 'tf32' : (orthogonalizePrecision ?? 'float32');
  if (wanted === 'float32' || device.capability[0] >= AMPERE) return;
  throw new Error(
    `${wanted} needs compute capability ${AMPERE}.0, and ${device.name} has ${device.capability.join('.')}`,
  );
}

/** What the cpu backend has runs on the host: it must be there, whether or not it is ever used. */
async function loadHostKernels(): Promise<void> {
  const providers = globalRegistry('backend-providers', () => new Map<string, BackendProvider>());
  await providers.get('cpu')?.start({ auto: false });
}

/** Registers the backend on an open driver. */
export async function startOn(driver: CudaDriver, options: CudaOptions): Promise<Session> {
  const { tf32 = false, memoryLimit, cacheFolder } = options;
  let backend: CudaBackend | undefined;
  try {
    checkFormats(driver, options);
    backend = new CudaBackend(driver, {
      tf32,
      orthogonalizePrecision: options.orthogonalizePrecision ?? (tf32 ? 'tf32' : 'float32'),
      ...(memoryLimit !== undefined && { memoryLimit }),
      ...(cacheFolder !== undefined && { cacheFolder }),
    });
    selfTest(backend);
    await loadHostKernels();
  } catch (error) {
    backend?.dispose();
    driver.close();
    throw error;
  }
  registerKernels();
  const removeFused = registerNewtonSchulz();
  const running = backend;
  registerBackend(BACKEND, () => running, TFJS_PRIORITY);
  const { versions } = driver;
  const details: BackendDetails = {
    library: 'NVIDIA driver, cuBLAS, NVRTC',
    version: [versions.driver, versions.cublas, versions.nvrtc].join(', '),
    device: describe(driver, options),
  };
  return {
    details,
    options,
    backend,
    isLost: () => driver.lost,
    close() {
      removeFused();
      unregisterKernels();
      driver.close();
    },
  };
}
