import { type BackendInfo, useBackend } from '@orth/backend';
import { UsageError } from './errors.js';

/** Packages that bring a backend, loaded only when it may be chosen: by name, and by `auto` where that is quick. */
const PACKAGES: Readonly<Record<string, () => Promise<unknown>>> = {
  auto: () => import('@orth/backend-node'),
  cuda: () => import('@orth/backend-cuda'),
  node: () => import('@orth/backend-node'),
  webgpu: () => import('@orth/backend-webgpu'),
};

/**
 * Switches to a backend by name.
 *
 * @param threads - as `--threads` gives it; the backend's own choice where it is not given
 * @throws UsageError if `threads` is no integer >= 1; BackendUnavailableError with what was tried and how to get it
 */
export async function selectBackend(name: string, threads?: string): Promise<BackendInfo> {
  const count = Number(threads ?? 1);
  if (!Number.isInteger(count) || count < 1) {
    throw new UsageError(`--threads must be an integer >= 1, got "${threads}"`);
  }
  if (Object.hasOwn(PACKAGES, name)) await PACKAGES[name]?.();
  return useBackend(name, threads === undefined ? {} : { threads: count });
}
