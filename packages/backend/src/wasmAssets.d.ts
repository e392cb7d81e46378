/** What the modules `#wasm/plain`, `#wasm/simd` and `#wasm/threadedSimd` hold; the build writes them from tfjs's files. */

/** The .wasm file, compressed with gzip, in base64. */
export const binary: string;
/** Text of the script that each thread loads; in `#wasm/threadedSimd` only. */
export const mainScript: string;
/** Text of the threads' first script; in `#wasm/threadedSimd` only. */
export const workerScript: string;
