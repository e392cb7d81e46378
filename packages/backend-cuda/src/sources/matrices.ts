/** Kernels of the fused Newton–Schulz iteration, on float32 or bfloat16 matrices. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { eachElement, letterOf, type Storage } from './types.js';

/** bfloat16 is the upper half of a float32; to the nearest, ties to even, NaN kept. */
const BFLOAT16 = `
static __device__ __forceinline__ float orth_load(unsigned short x) { return __int_as_float((int)((unsigned)x << 16)); }
static __device__ __forceinline__ float orth_load(float x) { return x; }
static __device__ __forceinline__ void orth_store(float* out, float x) { *out = x; }
static __device__ __forceinline__ void orth_store(unsigned short* out, float x) {
  const unsigned bits = (unsigned)__float_as_int(x);
  *out = x != x ? (unsigned short)0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
`;

/** Copies between formats. Parameters: count, result, input. */
export function formatSource(from: Storage, to: Storage): KernelSource {
  const name = `format_${letterOf(from)}_${letterOf(to)}`;
  return {
    name,
    signature: 'ipp',
    code: `${BFLOAT16}
extern "C" __global__ void ${name}(unsigned count, ${to}* out, const ${from}* in) {${eachElement('    orth_store(out + i, orth_load(in[i]));')}
}
`,
  };
}

/** `out = factor · in + shift · I` for square matrices. Parameters: count, result, input, columns, factor, shift. */
export function shiftSource(storage: Storage): KernelSource {
  const name = `shift_${letterOf(storage)}`;
  return {
    name,
    signature: 'ippiff',
    code: `${BFLOAT16}
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const ${storage}* in, unsigned columns, float factor, float shift) {${eachElement('    orth_store(out + i, factor * orth_load(in[i]) + (i % columns == i / columns % columns ? shift : 0.0f));')}
}
`,
  };
}
