/** `UnsortedSegmentSum`: the gradient of `gather`, so of every embedding. */
import { type KernelConfig, util } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, wasmKernel } from './heap.js';

/**
 * out[s, …] = Σ over i with segmentIds[i] = s of x[i, …]; ids outside [0, numSegments) are dropped, as on cpu.
 * x has shape `[n, …]` (float32 or int32), segmentIds `[n]`, the result `[numSegments, …]`.
 */
function unsortedSegmentSum({ inputs, attrs, backend }: KernelArguments<{ numSegments: number }>) {
  const [x, segmentIds] = [inputs.x!, inputs.segmentIds!];
  const { numSegments } = attrs;
  const out = backend.makeOutput([numSegments, ...x.shape.slice(1)], x.dtype);
  const from = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  const to = x.dtype === 'float32' ? floats(backend, out) : backend.typedArrayFromHeap(out);
  to.fill(0);
  const width = util.sizeFromShape(x.shape.slice(1));
  for (let i = 0; i < ids.length; i++) {
    const segment = ids[i]!;
    if (segment < 0 || segment >= numSegments) continue;
    const target = segment * width;
    const source = i * width;
    for (let j = 0; j < width; j++) to[target + j]! += from[source + j]!;
  }
  return out;
}

/** The kernel of this file. */
export const segmentKernels = (): KernelConfig[] => [
  wasmKernel<{ numSegments: number }>('UnsortedSegmentSum', unsortedSegmentSum),
];
