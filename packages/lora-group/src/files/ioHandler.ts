/** An adapter through tfjs's IO handlers: IndexedDB, local storage, downloads, HTTP, files. */
import { CheckpointError } from '@orth/backend';
import { io } from '@tensorflow/tfjs-core';
import { type AdapterContent, nameTensors, sortTensors } from './adapterFile.js';
import { type FileTensor, sizeOf } from './fileTensor.js';

const FORMAT = 'orth-lora-group';

/** An adapter in the form that handlers carry. */
export function toArtifacts(content: AdapterContent): io.ModelArtifacts {
  const tensors = [...nameTensors(content)];
  const total = tensors.reduce((sum, [, { data }]) => sum + data.length, 0);
  const data = new Float32Array(total);
  let at = 0;
  for (const [, x] of tensors) {
    data.set(x.data, at);
    at += x.data.length;
  }
  return {
    format: FORMAT,
    generatedBy: '@orth/lora-group',
    convertedBy: null,
    modelTopology: { className: FORMAT, config: content.config, own: content.own ?? null },
    weightSpecs: tensors.map(([name, { shape }]) => ({
      name,
      shape: [...shape],
      dtype: 'float32',
    })),
    weightData: data.buffer,
  };
}

function fail(problem: string): never {
  throw new CheckpointError(`loadAdapter: ${problem}; nothing was changed`);
}

/**
 * Inverse of {@link toArtifacts}.
 * @throws CheckpointError if the artifacts are another model's, or damaged
 */
export function fromArtifacts(
  artifacts: io.ModelArtifacts,
  mapPath: (path: string) => string,
): AdapterContent {
  const topology = artifacts?.modelTopology as Record<string, unknown> | undefined;
  if (topology?.className !== FORMAT || !artifacts.weightSpecs || !artifacts.weightData) {
    return fail('these artifacts are not an adapter of @orth/lora-group');
  }
  const { weightData } = artifacts;
  const bytes = new io.CompositeArrayBuffer(weightData).slice(0);
  if (bytes.byteLength % 4 !== 0) fail('the numbers are cut short');
  const numbers = new Float32Array(bytes);
  const tensors = new Map<string, FileTensor>();
  let at = 0;
  for (const { name, shape, dtype } of artifacts.weightSpecs) {
    const isShape = Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (typeof name !== 'string' || dtype !== 'float32' || !isShape) {
      fail('the weight specs are damaged');
    }
    const size = sizeOf(shape);
    if (!(at + size <= numbers.length)) fail('numbers are missing');
    tensors.set(name, { shape, data: numbers.slice(at, at + size) });
    at += size;
  }
  if (at !== numbers.length) fail('there are more numbers than the weight specs tell of');
  const { own } = topology;
  return {
    config: topology.config,
    own: typeof own === 'string' ? own : undefined,
    ...sortTensors(tensors, mapPath),
  };
}

/** The handler behind a URL such as `indexeddb://name`. */
export function resolveHandler(
  caller: string,
  target: string | io.IOHandler,
  direction: 'save' | 'load',
): io.IOHandler {
  if (typeof target !== 'string') {
    if (typeof target?.[direction] === 'function') return target;
    throw new TypeError(`${caller}: the handler must have a method ${direction}, got none`);
  }
  const handlers = direction === 'save' ? io.getSaveHandlers(target) : io.getLoadHandlers(target);
  if (handlers.length !== 1) {
    const rule = 'the URL must be one that exactly one registered handler takes';
    throw new RangeError(`${caller}: ${rule}, got ${target} with ${handlers.length}`);
  }
  return handlers[0]!;
}
