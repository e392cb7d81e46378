/** Moves elements between two views: slices, transpositions, repetitions, reversals, paddings, concatenations. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { eachElement, letterOf, type Storage } from './types.js';

/** Name of {@link copySource}. */
export const copyName = (storage: Storage, rank: number): string =>
  `copy_${letterOf(storage)}_r${rank}`;

/**
 * Element `(c0, c1, …)` of the result is that of the source.
 *
 * Parameters: element count, result, source, sizes of all axes but the first, strides of the result, strides of the
 * source; strides may be negative, and the pointers are those of element (0, 0, …).
 */
export function copySource(storage: Storage, rank: number): KernelSource {
  const name = copyName(storage, rank);
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const parameters = [
    'unsigned count',
    `${storage}* out`,
    `const ${storage}* in`,
    ...axes.slice(1).map((axis) => `unsigned size${axis}`),
    ...axes.map((axis) => `int to${axis}`),
    ...axes.map((axis) => `int from${axis}`),
  ];
  const lines = ['unsigned rest = i; long long to = 0, from = 0;'];
  for (let axis = rank - 1; axis > 0; axis--) {
    lines.push(
      `{ const long long c = rest % size${axis}; rest /= size${axis}; to += c * to${axis}; from += c * from${axis}; }`,
    );
  }
  lines.push(
    'to += (long long)rest * to0; from += (long long)rest * from0;',
    'out[to] = in[from];',
  );
  return {
    name,
    signature: `ipp${'i'.repeat(3 * rank - 1)}`,
    code: `
extern "C" __global__ void ${name}(${parameters.join(', ')}) {${eachElement(lines.map((line) => `    ${line}`).join('\n'))}
}
`,
  };
}
