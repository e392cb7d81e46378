import { type BackendInfo, useBackend } from '@orth/backend';

/** Packages that bring a backend, loaded only when it may be chosen: by name, and by `auto` where that is quick. */
const PACKAGES: Readonly<Record<string, () => Promise<unknown>>> = {
  auto: () => import('@orth/backend-node'),
  node: () => import('@orth/backend-node'),
  webgpu: () => import('@orth/backend-webgpu'),
};

/**
 * Switches to a backend by name.
 * @throws BackendUnavailableError with what was tried and how to get it
 */
export async function selectBackend(name: string): Promise<BackendInfo> {
  if (Object.hasOwn(PACKAGES, name)) await PACKAGES[name]?.();
  return useBackend(name);
}
