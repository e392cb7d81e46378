/** `Transpose` of matrices in blocks that fit the cache; other permutations stay with tfjs. */
import { type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { addressOf, type KernelArguments, overriddenKernel } from './heap.js';
import { heapWords, transposeMatrices } from './matrixProduct.js';

type Original<A> = (args: KernelArguments<A>) => TensorInfo | TensorInfo[];

const hasWords = (x: TensorInfo) => x.dtype === 'float32' || x.dtype === 'int32';

interface TransposeAttributes {
  readonly perm: number[];
}

/** A permutation that only exchanges two neighbouring groups of axes, the last of them at the end, swaps matrices. */
function asMatrices(shape: number[], perm: number[]) {
  const axes = perm.filter((axis) => shape[axis] !== 1);
  const sorted = [...axes].sort((p, q) => p - q);
  let same = 0;
  while (same < axes.length && axes[same] === sorted[same]) same++;
  const rest = axes.slice(same);
  const before = sorted.slice(same);
  const cut = before.indexOf(rest[0]!);
  if (cut <= 0 || rest.some((axis, i) => axis !== before[(i + cut) % before.length])) return;
  const size = (list: number[]) => util.sizeFromShape(list.map((axis) => shape[axis]!));
  return {
    count: size(sorted.slice(0, same)),
    rows: size(before.slice(0, cut)),
    columns: size(before.slice(cut)),
  };
}

function transpose(
  args: KernelArguments<TransposeAttributes>,
  original: Original<TransposeAttributes>,
) {
  const { backend } = args;
  const x = args.inputs.x!;
  const { perm } = args.attrs;
  const matrices = hasWords(x) && util.sizeFromShape(x.shape) > 0 && asMatrices(x.shape, perm);
  if (!matrices) return original(args);
  const { count, rows, columns } = matrices;
  const out = backend.makeOutput(
    perm.map((axis) => x.shape[axis]!),
    x.dtype,
  );
  const [from, to] = [addressOf(backend, x) / 4, addressOf(backend, out) / 4];
  transposeMatrices(heapWords(backend), from, to, count, rows, columns);
  return out;
}

/** The kernel of this file, to be registered after tfjs's own. */
export const transposeKernels = (): KernelConfig[] => [
  overriddenKernel<TransposeAttributes>('Transpose', transpose),
];
