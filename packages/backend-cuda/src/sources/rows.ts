/** Kernels in which a block of threads works on one row at a time. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { computeType, letterOf, PRELUDE, type Storage } from './types.js';

const BLOCK = 256;

/** Combines `shared` of all threads into `shared[0]` by `a`, `b` → `combine`. */
const fold = (type: string, combine: string) => `
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        const ${type} a = shared[threadIdx.x], b = shared[threadIdx.x + half];
        shared[threadIdx.x] = ${combine};
      }
      __syncthreads();
    }`;

/** Softmax over the last axis. Parameters: rows, result, input, length. */
export const SOFTMAX: KernelSource = {
  name: 'softmax',
  signature: 'ippi',
  code: `${PRELUDE}
extern "C" __global__ void softmax(unsigned count, float* out, const float* in, unsigned length) {
  __shared__ float shared[${BLOCK}];
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    const float* row = in + (unsigned long long)i * length;
    float most = -ORTH_INFINITY;
    for (unsigned j = threadIdx.x; j < length; j += blockDim.x) most = (most >= row[j] || most != most) ? most : row[j];
    shared[threadIdx.x] = most;
    __syncthreads();${fold('float', '(a >= b || a != a) ? a : b')}
    const float greatest = shared[0];
    __syncthreads();
    float sum = 0;
    for (unsigned j = threadIdx.x; j < length; j += blockDim.x) sum += expf(row[j] - greatest);
    shared[threadIdx.x] = sum;
    __syncthreads();${fold('float', 'a + b')}
    const float total = shared[0];
    __syncthreads();
    for (unsigned j = threadIdx.x; j < length; j += blockDim.x) out[(unsigned long long)i * length + j] = expf(row[j] - greatest) / total;
  }
}
`,
};

/**
 * Folds each thread's `best` and `place` into `values[0]` and `places[0]`, a block's shared arrays; `take` is the code that
 * takes `other` from index `at` over where it is better.
 */
const bestOfBlock = (type: string, take: string) => `values[threadIdx.x] = best;
    places[threadIdx.x] = place;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        best = values[threadIdx.x];
        place = places[threadIdx.x];
        const ${type} other = values[threadIdx.x + half];
        const unsigned at = places[threadIdx.x + half];
        ${take}
        values[threadIdx.x] = best;
        places[threadIdx.x] = place;
      }
      __syncthreads();
    }`;

/** Index of the greatest or least element of each row, the first of equals. Parameters: rows, result, input, length. */
export function argReduceSource(which: 'max' | 'min', input: Storage): KernelSource {
  const name = `arg${which === 'max' ? 'Max' : 'Min'}_${letterOf(input)}`;
  const type = computeType(input);
  const better = which === 'max' ? '>' : '<';
  // A NaN is never better, except at the start of a row, where it stays: as on tfjs's own backends.
  const take = (value: string, index: string) =>
    `if (${index} != 0xffffffffu && (place == 0xffffffffu || ${value} ${better} best || (${value} == best && ${index} < place))) { best = ${value}; place = ${index}; }`;
  return {
    name,
    signature: 'ippi',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, int* out, const ${input}* in, unsigned length) {
  __shared__ ${type} values[${BLOCK}];
  __shared__ unsigned places[${BLOCK}];
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    const ${input}* row = in + (unsigned long long)i * length;
    ${type} best = 0;
    unsigned place = 0xffffffffu;
    for (unsigned j = threadIdx.x; j < length; j += blockDim.x) { const ${type} x = row[j]; if (x == x || j == 0) { ${take('x', 'j')} } }
    ${bestOfBlock(type, take('other', 'at'))}
    if (threadIdx.x == 0) out[i] = row[0] != row[0] ? 0 : (int)places[0];
    __syncthreads();
  }
}
`,
  };
}

/**
 * Running sums or products along the axis of `[outer, length, inner]`; each thread takes a run of the axis.
 * Parameters: lanes (`outer · inner`), result, input, length, inner, exclusive, reverse.
 */
export function scanSource(operation: 'sum' | 'prod', storage: Storage): KernelSource {
  const name = `cum${operation}_${letterOf(storage)}`;
  const type = computeType(storage);
  const [start, combine] = operation === 'sum' ? ['0', 'a + b'] : ['1', 'a * b'];
  const at = '(outer * length + (reverse ? length - 1 - j : j)) * inner + column';
  return {
    name,
    signature: 'ippiiii',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const ${storage}* in, unsigned length, unsigned inner, int exclusive, int reverse) {
  __shared__ ${type} shared[${BLOCK}];
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    const unsigned outer = i / inner, column = i % inner;
    const unsigned chunk = (length + blockDim.x - 1) / blockDim.x;
    const unsigned begin = threadIdx.x * chunk;
    const unsigned end = begin + chunk < length ? begin + chunk : length;
    ${type} a = ${start};
    for (unsigned j = begin; j < end; j++) { const ${type} b = in[${at}]; a = ${combine}; }
    shared[threadIdx.x] = a;
    __syncthreads();
    if (threadIdx.x == 0) {
      a = ${start};
      for (unsigned t = 0; t < blockDim.x; t++) { const ${type} b = shared[t]; shared[t] = a; a = ${combine}; }
    }
    __syncthreads();
    a = shared[threadIdx.x];
    for (unsigned j = begin; j < end; j++) {
      const unsigned place = ${at};
      const ${type} b = in[place], before = a;
      a = ${combine};
      out[place] = exclusive ? before : a;
    }
    __syncthreads();
  }
}
`,
  };
}

/**
 * The `k` greatest of each row in falling order, the first of equals first: round after round the greatest of those
 * that come behind the last one taken. Parameters: rows, values, indices, input, length, k.
 */
export function topKSource(storage: Storage): KernelSource {
  const name = `topK_${letterOf(storage)}`;
  const type = computeType(storage);
  // NaN counts as least of all.
  const before = (x: string, i: string, y: string, j: string) =>
    `((${x} > ${y}) || (${y} != ${y} && ${x} == ${x}) || ((${x} == ${y} || (${x} != ${x} && ${y} != ${y})) && ${i} < ${j}))`;
  const take = (x: string, i: string) =>
    `if (${i} != 0xffffffffu && (place == 0xffffffffu || ${before(x, i, 'best', 'place')})) { best = ${x}; place = ${i}; }`;
  return {
    name,
    signature: 'ipppii',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, int* indices, const ${storage}* in, unsigned length, unsigned k) {
  __shared__ ${type} values[${BLOCK}];
  __shared__ unsigned places[${BLOCK}];
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    const ${storage}* row = in + (unsigned long long)i * length;
    ${type} last = 0;
    unsigned lastPlace = 0xffffffffu;
    for (unsigned round = 0; round < k; round++) {
      ${type} best = 0;
      unsigned place = 0xffffffffu;
      for (unsigned j = threadIdx.x; j < length; j += blockDim.x) {
        const ${type} x = row[j];
        if (lastPlace != 0xffffffffu && !${before('last', 'lastPlace', 'x', 'j')}) continue;
        ${take('x', 'j')}
      }
      ${bestOfBlock(type, take('other', 'at'))}
      last = values[0];
      lastPlace = places[0];
      __syncthreads();
      if (threadIdx.x == 0) {
        out[(unsigned long long)i * k + round] = row[lastPlace];
        indices[(unsigned long long)i * k + round] = (int)lastPlace;
      }
    }
  }
}
`,
  };
}
