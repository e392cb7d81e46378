import type { BackendDetails } from '@orth/backend';
import {
  copyRegisteredKernels,
  engine,
  findBackend,
  type KernelBackend,
  registerBackend,
  setBackend,
} from '@tensorflow/tfjs-core';
import { BACKEND } from './kernels/kernel.js';
import { unregisterKernels } from './kernels/register.js';
import type { CudaOptions } from './options.js';
import type { Session } from './session.js';

const PACKAGE: string = '@tensorflow/tfjs-node-gpu';
/** tfjs's name of that package's backend. */
const TENSORFLOW = 'tensorflow';
const TFJS_PRIORITY = 4;

/** Loads the package from where the program has it: it is an optional peer, and never installed by this one. */
export const importTfjsNodeGpu = (): Promise<unknown> =>
  import(/* @vite-ignore */ /* webpackIgnore: true */ PACKAGE);

/** Whether an import failed because the package is not there. */
export const isMissing = (error: unknown): boolean =>
  ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(
    (error as { code?: string } | null)?.code ?? '',
  ) && String((error as Error).message).includes(PACKAGE);

/**
 * tfjs's native package under the name of this backend: its kernels, on its own backend object.
 * @throws Error if it is not installed, does not load, or runs on the CPU only
 */
export async function startTfjsNodeGpu(
  load: () => Promise<unknown>,
  options: CudaOptions,
): Promise<Session> {
  const former = engine().backendName;
  let version = 'unknown';
  try {
    const loaded = (await load()) as { version?: Record<string, string> };
    version = loaded.version?.['tfjs-node'] ?? loaded.version?.['tfjs-core'] ?? version;
  } catch (error) {
    if (isMissing(error)) throw new Error(`${PACKAGE} is not installed`, { cause: error });
    const cause = String((error as Error).message).split('\\n')[0];
    throw new Error(`${PACKAGE} is installed, but does not load: ${cause}`, { cause: error });
  } finally {
    // Loading it makes it the active backend, whatever comes of it here.
    if (former && engine().backendName !== former) await setBackend(former);
  }
  const backend = findBackend(TENSORFLOW) as
    | (KernelBackend & { readonly isUsingGpuDevice?: boolean })
    | null;
  if (!backend) throw new Error(`${PACKAGE} was loaded, but registered no backend`);
  if (!backend.isUsingGpuDevice) {
    throw new Error(
      `${PACKAGE} runs on the CPU: it finds no GPU, or not the version of CUDA that it was built for`,
    );
  }
  unregisterKernels();
  copyRegisteredKernels(TENSORFLOW, BACKEND);
  registerBackend(BACKEND, () => backend, TFJS_PRIORITY);
  const details: BackendDetails = {
    library: PACKAGE,
    version,
    device: 'NVIDIA GPU, through TensorFlow',
  };
  return { details, options, isLost: () => false, close: unregisterKernels };
}
