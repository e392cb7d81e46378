/**
 * tfjs goes on after a device was lost or a command was refused: kernels run into nothing and reads give zeros. A guarded
 * backend throws instead.
 */
import { DeviceLostError } from '@orth/backend';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { WebgpuDeviceLoss } from './options.js';

/** Methods through which a tensor of the backend is made, computed or read. */
const USES = [
  'write',
  'move',
  'read',
  'readSync',
  'readToGPU',
  'createTensorFromGPUData',
  'uploadToGPU',
  'runWebGPUProgram',
] as const;

/** How long a failed read waits for the news that the device is lost, in milliseconds. */
const LOSS_NEWS_MS = 100;

/**
 * Makes a backend fail loudly: any use after the loss of its device throws `DeviceLostError`, a read that follows a
 * refused command rejects with the driver's message, and a synchronous read where none is possible says so.
 */
export function guard(backend: WebGPUBackend, onLost: (loss: WebgpuDeviceLoss) => void): void {
  const { device } = backend;
  let refused: string | undefined;
  const lost = device.lost.then(({ reason, message }) => {
    const loss = { reason: reason ?? 'unknown', message };
    const error = lossError(loss);
    for (const method of USES) {
      // Asynchronous methods reject, the others throw.
      const fail = method === 'read' ? () => Promise.reject(error) : thrower(error);
      Object.defineProperty(backend, method, { value: fail, configurable: true });
    }
    onLost(loss);
    return error;
  });
  device.addEventListener('uncapturederror', (event) => {
    refused ??= event.error.message;
    // Otherwise the browser or Dawn prints it.
    event.preventDefault();
  });

  const { read, readSync } = backend;
  backend.read = async (id) => {
    try {
      const values = await read.call(backend, id);
      if (refused === undefined) return values;
    } catch (error) {
      const late = new Promise<undefined>((done) => setTimeout(done, LOSS_NEWS_MS));
      throw (await Promise.race([lost, late])) ?? error;
    }
    const error = new Error(`webgpu: a command was refused, results are not valid: ${refused}`);
    refused = undefined;
    throw error;
  };
  backend.readSync = (id) => {
    const onHost = backend.tensorMap.get(id).values != null;
    const complex = backend.tensorMap.get(id).complexTensorInfos != null;
    if (!onHost && !complex && typeof OffscreenCanvas === 'undefined') {
      throw new Error(
        'dataSync: WebGPU cannot be read synchronously in Node; await tensor.data() or tensor.array()',
      );
    }
    // Silences tfjs's advice on the console; the README gives it.
    Object.assign(backend, { hasReadSyncWarned: true });
    return readSync.call(backend, id);
  };
}

function lossError({ reason, message }: WebgpuDeviceLoss): DeviceLostError {
  return new DeviceLostError(
    `webgpu: the device was lost (${reason}): ${message || 'no message'}. Its tensors are gone;` +
      " await useBackend('webgpu') starts a new device",
    'webgpu',
    `${reason}: ${message}`,
  );
}

function thrower(error: Error): () => never {
  return () => {
    throw error;
  };
}
