/** A binary of tfjs's wasm backend, compressed with gzip, in base64; the build writes these modules. */
export const binary: string;
