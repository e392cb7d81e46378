/**
 * `Einsum` of one or two tensors. Labels fall into four kinds: batch (in both factors and the result), summed (in both
 * factors only), and those of one factor; what only one factor has, and the result has not, is summed first.
 */
import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { binaryExpression } from './binary.js';
import { transpose } from './copyView.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, relabel, share, sizeOf, type Workspace, withWorkspace } from './kernel.js';
import { product } from './matMul.js';
import { reduce } from './reduce.js';

/** A tensor with a letter for each axis. */
interface Labelled {
  readonly info: TensorInfo;
  readonly labels: string;
}

const only = (labels: string, keep: (label: string) => boolean) =>
  [...labels].filter(keep).join('');

/** Sums over the labels that are not in `keep`. */
function sumAway(backend: CudaBackend, space: Workspace, x: Labelled, keep: string): Labelled {
  const axes = [...x.labels].flatMap((label, axis) => (keep.includes(label) ? [] : [axis]));
  if (axes.length === 0) return x;
  const info = space.keep(reduce(backend, 'sum', x.info, axes, { dtype: x.info.dtype }));
  return { info, labels: only(x.labels, (label) => keep.includes(label)) };
}

/** Brings the axes into the order of `labels`; the result is new, or `x` itself. */
function ordered(backend: CudaBackend, space: Workspace, x: Labelled, labels: string): TensorInfo {
  if (labels === x.labels) return x.info;
  const perm = [...labels].map((label) => x.labels.indexOf(label));
  return space.keep(transpose(backend, x.info, perm));
}

function contract(
  backend: CudaBackend,
  space: Workspace,
  [a, b]: readonly [Labelled, Labelled],
  result: string,
): Labelled {
  const shared = only(a.labels, (label) => b.labels.includes(label));
  const batch = only(shared, (label) => result.includes(label));
  const summed = only(shared, (label) => !result.includes(label));
  const rows = only(a.labels, (label) => !shared.includes(label));
  const columns = only(b.labels, (label) => !shared.includes(label));
  const sizeIn = (x: Labelled, labels: string) =>
    sizeOf([...labels].map((label) => x.info.shape[x.labels.indexOf(label)]!));
  const [count, m, k] = [sizeIn(a, batch), sizeIn(a, rows), sizeIn(a, summed)];
  const n = sizeIn(b, columns);
  const labels = batch + rows + columns;
  const left = ordered(backend, space, a, batch + rows + summed);
  const right = ordered(backend, space, b, batch + columns + summed);
  const x = relabel(left, [count, m, k]);
  const y = relabel(right, [count, n, k]);
  if (x.dtype === 'float32' && y.dtype === 'float32') {
    const form = { transposeA: false, transposeB: true };
    return { info: space.keep(product(backend, 'Einsum', x, y, form)), labels };
  }
  const { dtype } = x;
  const terms = space.keep(
    evaluate(
      backend,
      binaryExpression('Multiply', dtype),
      [relabel(x, [count, m, 1, k]), relabel(y, [count, 1, n, k])],
      { shape: [count, m, n, k], dtype },
    ),
  );
  return { info: space.keep(reduce(backend, 'sum', terms, [3], { dtype })), labels };
}

function einsum(backend: CudaBackend, tensors: readonly TensorInfo[], given: string): TensorInfo {
  const equation = given.replaceAll(/\s/g, '');
  const { allDims, idDims } = backend_util.decodeEinsumEquation(equation, tensors.length);
  backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as never);
  const [left = '', result = ''] = equation.split('->');
  if (new Set(result).size !== result.length) {
    throw new Error(`einsum: the result must not repeat a label, got '${result}'`);
  }
  const factors = left.split(',').map((labels, i): Labelled => {
    const info = tensors[i]!;
    if (labels.length === info.shape.length) return { info, labels };
    throw new Error(`einsum: '${labels}' must have ${info.shape.length} labels, one for each axis`);
  });
  const sizes = new Map(
    factors.flatMap(({ info, labels }) =>
      [...labels].map((label, axis) => [label, info.shape[axis]!] as const),
    ),
  );
  const shape = [...result].map((label) => sizes.get(label)!);
  return withWorkspace(backend, (space) => {
    const [a, b] = factors as [Labelled, Labelled?];
    const one = sumAway(backend, space, a, result + (b?.labels ?? ''));
    const all = b
      ? contract(backend, space, [one, sumAway(backend, space, b, result + a.labels)], result)
      : one;
    const merged = [...all.labels].map((label) => sizes.get(label)!);
    const found = { info: relabel(all.info, merged), labels: all.labels };
    return share(backend, ordered(backend, space, found, result), shape);
  });
}

/** The kernel of this file. */
export const einsumKernels = (): KernelConfig[] => [
  cudaKernel<{ equation: string }>('Einsum', ({ inputs, attrs, backend }) =>
    einsum(backend, Object.values(inputs), attrs.equation),
  ),
];
