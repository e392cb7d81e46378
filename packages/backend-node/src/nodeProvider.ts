import { availableParallelism } from 'node:os';
import {
  type BackendDetails,
  type BackendProvider,
  type BackendRequest,
  globalRegistry,
} from '@orth/backend';
import {
  copyRegisteredKernels,
  findBackend,
  findBackendFactory,
  getKernelsForBackend,
  registerBackend,
  registerKernel,
  removeBackend,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { describeCpu } from './describeCpu.js';
import { registerNewtonSchulz } from './fused/newtonSchulz.js';
import { guardAllocations, type HeapBackend } from './heap.js';
import { conv2dKernels } from './kernels/conv2d.js';
import { elementwiseKernels } from './kernels/elementwise.js';
import { BACKEND } from './kernels/kernel.js';
import { matMulKernels } from './kernels/matMul.js';
import { reduceKernels } from './kernels/reduce.js';
import { type Foreign, openForeign } from './native/foreign.js';
import { locateOnnxRuntime } from './native/locate.js';
import { type OnnxRuntime, openOnnxRuntime } from './native/onnxRuntime.js';
import { selectBlas } from './native/selectBlas.js';
import { selfTest } from './native/selfTest.js';
import { checkNodeOptions, NODE_OPTIONS, type NodeOptions } from './options.js';
import { current } from './runtime.js';

/** Above this, the threads of one product wait for each other longer than they work. */
const MOST_THREADS = 16;

const FAMILIES = [matMulKernels, conv2dKernels, elementwiseKernels, reduceKernels];

/** Kernels of tfjs's wasm backend and ours, on one heap, with the heavy ones native. */
export const nodeProvider: BackendProvider = {
  name: BACKEND,
  priority: 40,
  options: NODE_OPTIONS,
  async start(request) {
    const options = checkNodeOptions(request);
    const threads = request.threads ?? Math.min(availableParallelism(), MOST_THREADS);
    const details = await startNative(options, threads, request);
    const heap = await startWasm();
    guardAllocations(heap);
    registerOnHeap(heap);
    return details;
  },
};

/** What runs now, and for which options: the same ones again cost nothing. */
const running = globalRegistry('node-running', () => ({
  key: '',
  details: undefined as BackendDetails | undefined,
}));

async function startNative(
  options: NodeOptions,
  threads: number,
  request: BackendRequest,
): Promise<BackendDetails> {
  const key = JSON.stringify([threads, ...NODE_OPTIONS.map((name) => request[name] ?? null)]);
  if (current.runtime && running.details && running.key === key) return running.details;
  const foreign = await openForeign();
  const path = options.libraryPath ?? locateOnnxRuntime();
  // Its threads are as many as it was opened with, as long as it is open.
  current.runtime?.onnx.close();
  current.runtime = undefined;
  const onnx = open(foreign, path, threads);
  selfTest(foreign, onnx);
  const blas = selectBlas(foreign, onnx, options);
  current.runtime = { foreign, onnx, ...(blas && { blas }) };
  running.key = key;
  running.details = {
    library: blas ? `BLAS (${blas.path}), ONNX Runtime` : 'ONNX Runtime',
    version: blas ? `${blas.version}, ${onnx.version}` : onnx.version,
    device: describeCpu(),
    threads,
  };
  return running.details;
}

function open(foreign: Foreign, path: string, threads: number): OnnxRuntime {
  try {
    return openOnnxRuntime(foreign, path, threads);
  } catch (error) {
    throw new Error(`ONNX Runtime could not be loaded from ${path}: ${(error as Error).message}`);
  }
}

/** The wasm backend, started through its provider if it does not run yet. */
async function startWasm(): Promise<HeapBackend> {
  const providers = globalRegistry('backend-providers', () => new Map<string, BackendProvider>());
  await providers.get('wasm')?.start({ auto: false });
  return findBackend('wasm') as HeapBackend;
}

/**
 * Registers the backend on the heap of `wasm`. Both names share one object: the compiled kernels know one heap only, and
 * tensors pass from one backend to the other without a copy.
 */
function registerOnHeap(heap: HeapBackend): void {
  if (findBackendFactory(BACKEND)) {
    if (findBackend(BACKEND) === heap) return;
    removeBackend(BACKEND);
  }
  shareDisposal(heap);
  for (const { kernelName } of getKernelsForBackend(BACKEND)) unregisterKernel(kernelName, BACKEND);
  copyRegisteredKernels('wasm', BACKEND);
  for (const config of FAMILIES.flatMap((family) => family())) {
    unregisterKernel(config.kernelName, BACKEND);
    registerKernel(config);
  }
  registerNewtonSchulz();
  const tfjsPriority = 3;
  registerBackend(BACKEND, () => heap, tfjsPriority);
}

const users = new WeakMap<HeapBackend, number>();

/** Removing one of the two backends must not take the heap from the other: the last one out disposes it. */
function shareDisposal(heap: HeapBackend): void {
  const known = users.get(heap);
  users.set(heap, (known ?? 1) + 1);
  if (known !== undefined) return;
  const dispose = heap.dispose.bind(heap);
  heap.dispose = () => {
    const left = users.get(heap)! - 1;
    users.set(heap, left);
    if (left === 0) dispose();
  };
}
