/** Pieces that every kernel's CUDA C++ is made of. */
import type { DataType } from '@tensorflow/tfjs-core';

/** How an element is stored on the device: float32, int32, bool (a byte), bfloat16 (two bytes), or 8 bytes moved whole. */
export type Storage = 'float' | 'int' | 'unsigned char' | 'unsigned short' | 'unsigned long long';

const STORAGE: Partial<Record<DataType, Storage>> = {
  float32: 'float',
  int32: 'int',
  bool: 'unsigned char',
};

const LETTERS: Record<Storage, string> = {
  float: 'f32',
  int: 'i32',
  'unsigned char': 'b8',
  'unsigned short': 'bf16',
  'unsigned long long': 'w64',
};

/** The storage of a dtype; complex64 is stored as pairs of float32. */
export function storageOf(dtype: DataType): Storage {
  const storage = STORAGE[dtype];
  if (!storage) throw new TypeError(`cuda: this kernel takes no ${dtype} tensors`);
  return storage;
}

/** Short name of a storage, for names of kernels. */
export const letterOf = (storage: Storage): string => LETTERS[storage];

/** The type that elements of a storage are computed in. */
export const computeType = (storage: Storage): 'float' | 'int' =>
  storage === 'float' ? 'float' : 'int';

/** `value` as an element of a storage: numbers to bool by "is not 0", floats to integers towards 0 and NaN to 0. */
export function convert(value: string, from: 'float' | 'int', to: Storage): string {
  if (to === 'unsigned char') return `((${value}) != 0 ? 1 : 0)`;
  if (to === 'int' && from === 'float') return `orth_to_int(${value})`;
  if (to === 'float' && from === 'int') return `(float)(${value})`;
  return `(${value})`;
}

/** What sources may use: constants without headers, and conversions. */
export const PRELUDE = `
#define ORTH_INFINITY __int_as_float(0x7f800000)
static __device__ __forceinline__ int orth_to_int(float x) { return x != x ? 0 : (int)x; }
`;

/** A loop in which each thread takes every so many-th of \`count\` elements. */
export const eachElement = (body: string): string => `
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
${body}
  }`;
