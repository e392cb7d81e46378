import { getBackend, type Tensor, tensor } from '@tensorflow/tfjs-core';
import type { HostTensor } from './pythonPeers.js';

/** Puts host data on the active backend. */
export const toDevice = ({ shape, data }: HostTensor): Tensor =>
  tensor(data, [...shape], 'float32');

/** Reads a tensor back. */
export async function toHost(x: Tensor): Promise<HostTensor> {
  return { shape: x.shape, data: Float32Array.from(await x.data()) };
}

/** Reads a tensor back and disposes it. */
export async function takeToHost(x: Tensor): Promise<HostTensor> {
  const host = await toHost(x);
  x.dispose();
  return host;
}

/**
 * One timed execution of a function that makes a tensor. cpu and wasm compute before the op returns; elsewhere ops are
 * only queued, and the work is over when its result can be read.
 */
export function execute(compute: () => Tensor): undefined | Promise<void> {
  const result = compute();
  if (isSynchronous()) {
    result.dispose();
    return undefined;
  }
  return result.data().then(() => result.dispose());
}

/** Whether the active backend's ops compute before they return. */
export const isSynchronous = (): boolean => ['cpu', 'wasm', 'node'].includes(getBackend());
