/**
 * The files of tfjs's wasm backend, for whoever runs this in a browser. tfjs looks for them beside the page's own
 * script, where no bundler puts them; so they travel inside this package, each in a module of its own that is loaded
 * only when its variant is chosen.
 */

import type { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { env } from '@tensorflow/tfjs-core';

/** A folder's address that ends in `/`, or the address of each file. */
export type WasmPaths = Parameters<typeof setWasmPaths>[0];

/** What this machine's engine can run. */
export interface WasmFeatures {
  readonly simd: boolean;
  readonly threads: boolean;
}

/** Asks tfjs itself, so that the file made ready is the one that it will load. */
export async function wasmFeatures(): Promise<WasmFeatures> {
  const [simd, threads] = await Promise.all([
    env().getAsync('WASM_HAS_SIMD_SUPPORT'),
    env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'),
  ]);
  return { simd: Boolean(simd), threads: Boolean(simd && threads) };
}

/** Addresses under which tfjs can load the variant for `features`; `release` frees them after it has. */
export async function embeddedWasm(
  features: WasmFeatures,
): Promise<{ paths: WasmPaths; release: () => void }> {
  const { binary } = await (features.threads
    ? import('#wasm/threadedSimd')
    : features.simd
      ? import('#wasm/simd')
      : import('#wasm/plain'));
  const url = URL.createObjectURL(await inflate(binary));
  const paths = {
    'tfjs-backend-wasm.wasm': url,
    'tfjs-backend-wasm-simd.wasm': url,
    'tfjs-backend-wasm-threaded-simd.wasm': url,
  };
  return { paths, release: () => URL.revokeObjectURL(url) };
}

async function inflate(base64: string): Promise<Blob> {
  if (typeof DecompressionStream === 'undefined') {
    throw new Error(
      'this browser is too old to unpack the built-in .wasm files (Chrome 80, Safari 16.4 or Firefox 113 can); ' +
        "serve the files of @tensorflow/tfjs-backend-wasm/dist yourself and pass the option wasmPaths: '/folder/'",
    );
  }
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  // The type lets the engine compile while it reads.
  return new Blob([await new Response(stream).arrayBuffer()], { type: 'application/wasm' });
}
