import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Vector extensions that matrix kernels use, widest first, as Linux names them. */
const EXTENSIONS: readonly [flag: string, name: string][] = [
  ['avx512f', 'AVX-512'],
  ['avx2', 'AVX2'],
  ['avx', 'AVX'],
  ['sve', 'SVE'],
  ['asimd', 'NEON'],
];

/** The processor in words, e.g. `CPU, Intel(R) Xeon(R) Processor, AVX-512`. */
export function describeCpu(): string {
  const model = cpus()[0]?.model.trim();
  const named = model && model !== 'unknown' ? model : process.arch;
  const simd = vectorExtension();
  return ['CPU', named, ...(simd ? [simd] : [])].join(', ');
}

function vectorExtension(): string | undefined {
  // Every 64-bit ARM has NEON; elsewhere only Linux tells without a native call.
  const fallback = process.arch === 'arm64' ? 'NEON' : undefined;
  if (process.platform !== 'linux') return fallback;
  try {
    const info = readFileSync('/proc/cpuinfo', 'utf8');
    const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.trim().split(' '));
    return EXTENSIONS.find(([flag]) => flags.has(flag))?.[1] ?? fallback;
  } catch {
    return fallback;
  }
}
