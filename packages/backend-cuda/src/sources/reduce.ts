/**
 * Sums and their like over one axis of `[outer, length, inner]`, in an order that depends on the sizes alone: the same
 * numbers give the same bits. Long axes are cut into parts, whose results are reduced in a second pass.
 */
import type { KernelSource } from '../driver/cudaDriver.js';
import { computeType, convert, eachElement, letterOf, PRELUDE, type Storage } from './types.js';

/** What is done to the elements of an axis. */
export type Reduction =
  | 'sum'
  | 'prod'
  | 'max'
  | 'min'
  | 'any'
  | 'all'
  | 'sumSquares'
  | 'sumAbsolutes'
  | 'maxAbsolute';

interface Definition {
  /** The neutral element. */
  readonly start: string;
  /** From an element `x` to what is combined. */
  readonly load: string;
  /** Of `a` and `b`. */
  readonly combine: string;
}

// A NaN stays: no comparison with it is true, and one that comes in is told by being unequal to itself.
const MAX = '(a >= b || a != a) ? a : b';
const MIN = '(a <= b || a != a) ? a : b';
const LEAST_INT = '(-2147483647 - 1)';

const definition = (reduction: Reduction, type: 'float' | 'int'): Definition => {
  const float = type === 'float';
  switch (reduction) {
    case 'sum':
      return { start: '0', load: 'x', combine: 'a + b' };
    case 'prod':
      return { start: '1', load: 'x', combine: 'a * b' };
    case 'max':
      return { start: float ? '-ORTH_INFINITY' : LEAST_INT, load: 'x', combine: MAX };
    case 'min':
      return { start: float ? 'ORTH_INFINITY' : '2147483647', load: 'x', combine: MIN };
    case 'any':
      return { start: '0', load: '(x != 0)', combine: 'a != 0 || b != 0' };
    case 'all':
      return { start: '1', load: '(x != 0)', combine: 'a != 0 && b != 0' };
    case 'sumSquares':
      return { start: '0', load: 'x * x', combine: 'a + b' };
    case 'sumAbsolutes':
      return { start: '0', load: float ? 'fabsf(x)' : 'abs(x)', combine: 'a + b' };
    case 'maxAbsolute':
      return { start: '0', load: float ? 'fabsf(x)' : 'abs(x)', combine: MAX };
  }
};

/** What the second pass does with the parts' results. */
export const SECOND_PASS: Record<Reduction, Reduction> = {
  sum: 'sum',
  prod: 'prod',
  max: 'max',
  min: 'min',
  any: 'any',
  all: 'all',
  sumSquares: 'sum',
  sumAbsolutes: 'sum',
  maxAbsolute: 'max',
};

/** Threads of a block at most; `cudaBackend.ts` starts no more. */
const BLOCK = 256;

/** `rows`: a block of threads for each row, `inner` is 1. `columns`: a thread for each result. */
export type ReduceForm = 'rows' | 'columns';

/** Name of {@link reduceSource}. */
export const reduceName = (
  reduction: Reduction,
  form: ReduceForm,
  input: Storage,
  output: Storage,
): string => `${reduction}_${form}_${letterOf(input)}_${letterOf(output)}`;

/**
 * Parameters: results (`outer · parts · inner`), result, input, length, parts, inner, and a factor on float results.
 * The result is `[outer, parts, inner]`.
 */
export function reduceSource(
  reduction: Reduction,
  form: ReduceForm,
  input: Storage,
  output: Storage,
): KernelSource {
  const type = computeType(input);
  const { start, load, combine } = definition(reduction, type);
  const name = reduceName(reduction, form, input, output);
  const finish = type === 'float' && output === 'float' ? 'a * factor' : convert('a', type, output);
  const step = (index: string) =>
    `{ const ${type} x = in[${index}]; const ${type} b = ${load}; a = ${combine}; }`;
  const range = `const unsigned chunk = (length + parts - 1) / parts;
    const unsigned begin = part * chunk;
    const unsigned end = begin + chunk < length ? begin + chunk : length;
    ${type} a = ${start};`;
  const columns =
    eachElement(`    const unsigned column = i % inner, part = i / inner % parts, row = i / inner / parts;
    ${range}
    for (unsigned j = begin; j < end; j++) ${step('(row * length + j) * inner + column')}
    out[i] = ${finish};`);
  const rows = `
  __shared__ ${type} shared[${BLOCK}];
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    const unsigned part = i % parts, row = i / parts;
    ${range}
    for (unsigned j = begin + threadIdx.x; j < end; j += blockDim.x) ${step('row * length + j')}
    shared[threadIdx.x] = a;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        a = shared[threadIdx.x];
        const ${type} b = shared[threadIdx.x + half];
        shared[threadIdx.x] = ${combine};
      }
      __syncthreads();
    }
    if (threadIdx.x == 0) {
      a = shared[0];
      out[i] = ${finish};
    }
    __syncthreads();
  }`;
  return {
    name,
    signature: 'ippiiif',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, ${output}* out, const ${input}* in, unsigned length, unsigned parts, unsigned inner, float factor) {${form === 'rows' ? rows : columns}
}
`,
  };
}
