import { type CommonBackendOptions, checkOneOf } from '@orth/backend';

/** Which native library multiplies matrices; see {@link NodeOptions.library}. */
export type NodeLibrary = 'auto' | 'onnxruntime' | 'blas';

/** Options that `useBackend('node', …)` takes beside its own. */
export interface NodeOptions {
  /**
   * What multiplies matrices. `'onnxruntime'`: the library that npm's onnxruntime-node brings. `'blas'`: the system's
   * BLAS (MKL, OpenBLAS, Accelerate). `'auto'`: ONNX Runtime, unless a BLAS is here and at least 1.25 times as fast on a
   * short measurement. Convolutions and fused operations use ONNX Runtime in any case. Default `'auto'`
   */
  readonly library?: NodeLibrary;
  /** File of an ONNX Runtime (1.16 or later) to load instead of npm's. */
  readonly libraryPath?: string;
  /** File of a BLAS with a C interface (`cblas_sgemm`) to load instead of the system's. */
  readonly blasPath?: string;
}

declare module '@orth/backend' {
  interface BackendOptionsByName {
    node: NodeOptions & CommonBackendOptions;
  }
}

/** Names of {@link NodeOptions}. */
export const NODE_OPTIONS = [
  'library',
  'libraryPath',
  'blasPath',
] as const satisfies readonly (keyof NodeOptions)[];

/** Reads the options out of a request. */
export function checkNodeOptions(request: { readonly [name: string]: unknown }): NodeOptions {
  const { library, libraryPath, blasPath } = request;
  if (library !== undefined) {
    checkOneOf('useBackend', 'library', library, ['auto', 'onnxruntime', 'blas']);
  }
  for (const [name, path] of Object.entries({ libraryPath, blasPath })) {
    if (path === undefined || (typeof path === 'string' && path.length > 0)) continue;
    throw new TypeError(`useBackend: ${name} must be a file's path, got ${JSON.stringify(path)}`);
  }
  return request as NodeOptions;
}
