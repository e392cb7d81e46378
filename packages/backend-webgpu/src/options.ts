import { type CommonBackendOptions, checkBoolean, checkOneOf } from '@orth/backend';

/** What WebGPU tells about a device that went away. */
export interface WebgpuDeviceLoss {
  /** `'destroyed'` when the program did it, `'unknown'` for drivers, resets and unplugged GPUs. */
  readonly reason: string;
  /** The driver's words. */
  readonly message: string;
}

/** Options that `useBackend('webgpu', …)` takes beside its own. */
export interface WebgpuOptions {
  /** Which GPU of several: the fast one or the one that saves power. Default `'high-performance'` */
  readonly powerPreference?: 'high-performance' | 'low-power';
  /** Demand a software adapter (SwiftShader, WARP): slow, and the same on every machine. Default false */
  readonly forceFallbackAdapter?: boolean;
  /** The adapter to use, instead of asking for one. */
  readonly adapter?: GPUAdapter;
  /** The device to use, instead of making one; it is not destroyed by {@link releaseWebgpu}. */
  readonly device?: GPUDevice;
  /** Called once if the device goes away other than through {@link releaseWebgpu}. */
  readonly onDeviceLost?: (loss: WebgpuDeviceLoss) => void;
  /** In Node: flags for Dawn, e.g. `['backend=vulkan', 'adapter=NVIDIA']`. Read at the first start only. Default none */
  readonly dawnFlags?: readonly string[];
}

declare module '@orth/backend' {
  interface BackendOptionsByName {
    webgpu: WebgpuOptions & CommonBackendOptions;
  }
}

/** Names of {@link WebgpuOptions}. */
export const WEBGPU_OPTIONS = [
  'powerPreference',
  'forceFallbackAdapter',
  'adapter',
  'device',
  'onDeviceLost',
  'dawnFlags',
] as const satisfies readonly (keyof WebgpuOptions)[];

/** Reads the options out of a request. */
export function checkWebgpuOptions(request: { readonly [name: string]: unknown }): WebgpuOptions {
  const caller = 'useBackend';
  const { powerPreference, forceFallbackAdapter, adapter, device, onDeviceLost, dawnFlags } =
    request;
  if (powerPreference !== undefined) {
    checkOneOf(caller, 'powerPreference', powerPreference, ['high-performance', 'low-power']);
  }
  if (forceFallbackAdapter !== undefined) {
    checkBoolean(caller, 'forceFallbackAdapter', forceFallbackAdapter);
  }
  checkMethod('adapter', adapter, 'requestDevice', 'a GPUAdapter');
  checkMethod('device', device, 'createComputePipeline', 'a GPUDevice');
  if (onDeviceLost !== undefined && typeof onDeviceLost !== 'function') {
    throw new TypeError(`${caller}: onDeviceLost must be a function, got ${typeof onDeviceLost}`);
  }
  if (
    dawnFlags !== undefined &&
    !(Array.isArray(dawnFlags) && dawnFlags.every((flag) => typeof flag === 'string'))
  ) {
    throw new TypeError(`${caller}: dawnFlags must be an array of strings`);
  }
  return request as WebgpuOptions;
}

// Devices of another realm, or Dawn's, are no instances of this realm's classes: look for what is used of them.
function checkMethod(argument: string, value: unknown, method: string, kind: string): void {
  if (value === undefined) return;
  if (typeof (value as Record<string, unknown> | null)?.[method] === 'function') return;
  throw new TypeError(
    `useBackend: ${argument} must be ${kind}, got ${value === null ? 'null' : typeof value}`,
  );
}
