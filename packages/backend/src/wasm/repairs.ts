/** Kernels of tfjs's wasm backend that give wrong numbers for some arguments, put right. */
import { type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, overriddenKernel } from './heap.js';

type Original<A> = (args: KernelArguments<A>) => TensorInfo | TensorInfo[];

interface OneHotAttributes {
  readonly dtype: TensorInfo['dtype'];
  readonly depth: number;
  readonly onValue: number;
  readonly offValue: number;
}

/** tfjs's kernel writes whole numbers, whose bits are other numbers in a float32 tensor. */
function oneHot(args: KernelArguments<OneHotAttributes>, original: Original<OneHotAttributes>) {
  const { attrs, backend } = args;
  if (attrs.dtype !== 'float32') return original(args);
  const indices = args.inputs.indices!;
  const out = backend.makeOutput([...indices.shape, attrs.depth], 'float32');
  const at = backend.typedArrayFromHeap(indices);
  const to = floats(backend, out);
  to.fill(attrs.offValue);
  for (let i = 0; i < at.length; i++) {
    if (at[i]! >= 0 && at[i]! < attrs.depth) to[i * attrs.depth + at[i]!] = attrs.onValue;
  }
  return out;
}

interface CumulativeAttributes {
  readonly axis: number;
}

/** tfjs's kernels take an axis counted from the end for one that does not exist. */
function cumulative(
  args: KernelArguments<CumulativeAttributes>,
  original: Original<CumulativeAttributes>,
) {
  const [axis] = util.parseAxisParam(args.attrs.axis, args.inputs.x!.shape);
  return original({ ...args, attrs: { ...args.attrs, axis: axis! } });
}

interface ClipAttributes {
  readonly clipValueMin: number;
  readonly clipValueMax: number;
}

/** tfjs's kernel gives a bound for NaN, which then goes unseen. */
function clip(args: KernelArguments<ClipAttributes>, original: Original<ClipAttributes>) {
  const { attrs, backend } = args;
  const x = args.inputs.x!;
  if (x.dtype !== 'float32') return original(args);
  const { clipValueMin: low, clipValueMax: high } = attrs;
  const out = backend.makeOutput(x.shape, 'float32');
  const [from, to] = [floats(backend, x), floats(backend, out)];
  for (let i = 0; i < from.length; i++) to[i] = Math.min(Math.max(from[i]!, low), high);
  return out;
}

/** The kernels of this file, to be registered after tfjs's own. */
export const repairedKernels = (): KernelConfig[] => [
  overriddenKernel<OneHotAttributes>('OneHot', oneHot),
  overriddenKernel<CumulativeAttributes>('Cumsum', cumulative),
  overriddenKernel<CumulativeAttributes>('Cumprod', cumulative),
  overriddenKernel<ClipAttributes>('ClipByValue', clip),
];
