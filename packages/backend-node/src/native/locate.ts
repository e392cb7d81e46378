import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ONNX_LIBRARY = /^(libonnxruntime(\.[\d.]+)?\.(so(\.[\d.]+)?|dylib)|onnxruntime\.dll)$/;

/** Names under which the system's loader may know a BLAS with a C interface, by platform. */
const SYSTEM_BLAS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['libmkl_rt.so.2', 'libmkl_rt.so', 'libopenblas.so.0', 'libopenblas.so'],
  darwin: [
    '/System/Library/Frameworks/Accelerate.framework/Accelerate',
    'libmkl_rt.2.dylib',
    '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
    '/usr/local/opt/openblas/lib/libopenblas.dylib',
  ],
  win32: ['mkl_rt.2.dll', 'libopenblas.dll', 'openblas.dll'],
};

/** Candidates for a system BLAS, best first. */
export function blasCandidates(platform: NodeJS.Platform = process.platform): readonly string[] {
  return SYSTEM_BLAS[platform] ?? [];
}

/**
 * The ONNX Runtime library inside npm's `onnxruntime-node`, whose versions differ in the folder's and the file's name.
 * @throws Error that says what is missing and how to get it
 */
export function locateOnnxRuntime(
  platform: string = process.platform,
  architecture: string = process.arch,
): string {
  const root = packageFolder();
  const folder = join(root, 'bin');
  for (const api of existsSync(folder) ? readdirSync(folder).sort().reverse() : []) {
    const built = join(folder, api, platform, architecture);
    const file = existsSync(built) && readdirSync(built).find((name) => ONNX_LIBRARY.test(name));
    if (file) return join(built, file);
  }
  throw new Error(
    `onnxruntime-node brings no library for ${platform}-${architecture}; pass one as libraryPath`,
  );
}

function packageFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  } catch {
    throw new Error(
      'onnxruntime-node is not installed (was npm told to omit optional dependencies?); npm install onnxruntime-node@1.16.3',
    );
  }
}
