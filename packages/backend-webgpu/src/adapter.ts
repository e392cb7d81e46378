/** Choosing an adapter, and what can be said of one. */
import { explainNoAdapter, surroundings } from './explain.js';
import type { WebgpuOptions } from './options.js';

/**
 * Asks for an adapter.
 * @throws Error that says what was looked for and what to install
 */
export async function findAdapter(gpu: GPU, options: WebgpuOptions): Promise<GPUAdapter> {
  if (options.adapter) return options.adapter;
  const { powerPreference = 'high-performance', forceFallbackAdapter = false } = options;
  const adapter = await gpu.requestAdapter({ powerPreference, forceFallbackAdapter });
  if (!adapter) throw new Error(explainNoAdapter(surroundings()));
  return adapter;
}

/** Names of Vulkan and Direct3D drivers that compute on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|\bwarp\b|basic render/i;

/** Whether an adapter computes on the CPU; such a one is slower than wasm. */
export function isSoftwareAdapter(info: GPUAdapterInfo): boolean {
  const { vendor, architecture, device, description } = info;
  return (
    info.isFallbackAdapter === true ||
    SOFTWARE.test([vendor, architecture, device, description].join(' '))
  );
}

/** Vendor, family, name and kind of an adapter, as far as it tells. */
export function describeAdapter(info: GPUAdapterInfo): string {
  const { vendor, architecture, description, device } = info;
  const family = [vendor, architecture].filter(Boolean).join(' ') || 'unknown vendor';
  const name = description || device;
  const kind = isSoftwareAdapter(info) ? 'software GPU' : 'GPU';
  return `${kind}, ${family}${name ? ` (${name})` : ''}`;
}

/** Features that tfjs or WGSL kernels can use where the adapter has them. */
const WANTED_FEATURES = [
  'timestamp-query',
  'bgra8unorm-storage',
  'shader-f16',
  'subgroups',
] as const;

/** Limits that tfjs raises from WebGPU's default to what the adapter has. */
const WANTED_LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
] as const;

/** A device with what {@link WANTED_FEATURES} and {@link WANTED_LIMITS} name. */
export function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    requiredFeatures: WANTED_FEATURES.filter((name) =>
      adapter.features.has(name),
    ) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]])),
  });
}
