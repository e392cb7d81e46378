import { globalRegistry } from './globalRegistry.js';

/** What a provider is told when it is to start. */
export interface BackendRequest {
  /** True when nobody asked for this backend by name: decline what is slower than the next choice. */
  readonly auto: boolean;
  /** Threads to use, where a backend has them. */
  readonly threads?: number;
  /** Provider-specific options, passed on untouched. */
  readonly [option: string]: unknown;
}

/** What a provider tells about the backend it started. */
export interface BackendDetails {
  /** The library that does the arithmetic, e.g. `@tensorflow/tfjs-backend-wasm`. */
  readonly library: string;
  /** That library's version. */
  readonly version: string;
  /** The device in words, e.g. `CPU, WebAssembly SIMD` or the GPU adapter's name. */
  readonly device: string;
  /** Threads in use. Default 1 */
  readonly threads?: number;
}

/** A way to start one tfjs backend; packages such as `@orth/backend-webgpu` register one when imported. */
export interface BackendProvider {
  /** tfjs backend name. */
  readonly name: string;
  /** `'auto'` tries the highest first: cuda 50, node 40, webgpu 30, wasm 20, cpu 10. */
  readonly priority: number;
  /** Names of its own options; any other is an error in `useBackend`. Default none. */
  readonly options?: readonly string[];
  /**
   * Makes tfjs ready to switch to the backend.
   * @throws Error whose message says what is missing and how to get it
   */
  start(request: BackendRequest): Promise<BackendDetails>;
}

/** Every provider by name; shared by all copies of this package in a process. */
export const providers = globalRegistry(
  'backend-providers',
  () => new Map<string, BackendProvider>(),
);

/** Registers a provider, so that `useBackend` can choose it; a later one of the same name replaces an earlier one. */
export function registerBackend(provider: BackendProvider): void {
  providers.set(provider.name, provider);
}
