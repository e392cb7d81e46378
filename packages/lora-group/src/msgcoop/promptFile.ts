/** Learned prompts as a safetensors file, with what going on with training needs. */
import { CheckpointError } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { FileTensor } from '../files/fileTensor.js';
import { decodeSafetensors, encodeSafetensors } from '../files/safetensors.js';

const FORMAT = 'orth-msgcoop';
const VERSION = '1';

/** What a file holds. */
export interface PromptState {
  readonly contexts: FileTensor;
  readonly momentum: FileTensor | undefined;
  /** Epochs done. */
  readonly epoch: number;
}

const read = async (x: Tensor): Promise<FileTensor> => ({
  shape: [...x.shape],
  data: Float32Array.from(await x.data()),
});

/** The file. */
export async function encodePrompts(
  contexts: Tensor,
  momentum: Tensor | undefined,
  epoch: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const [learned, velocity] = await Promise.all([read(contexts), momentum && read(momentum)]);
  const tensors = new Map([['contexts', learned]]);
  if (velocity) tensors.set('momentum', velocity);
  const metadata = { format: FORMAT, version: VERSION, epoch: String(epoch) };
  return encodeSafetensors(tensors, new Map(Object.entries(metadata)));
}

/**
 * Reads a file for a model of this shape.
 * @throws CheckpointError if it is damaged, or of something else
 */
export function decodePrompts(
  caller: string,
  bytes: Uint8Array,
  shape: readonly number[],
): PromptState {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const fail = (problem: string): never => {
    throw new CheckpointError(`${caller}: ${problem}; nothing was changed`);
  };
  if (metadata.get('format') !== FORMAT || metadata.get('version') !== VERSION) {
    fail(`bytes must be a file of save, got one of ${metadata.get('format') ?? 'another kind'}`);
  }
  const epoch = Number(metadata.get('epoch') ?? Number.NaN);
  if (!Number.isSafeInteger(epoch) || epoch < 0) fail('the number of epochs is damaged');
  const contexts = tensors.get('contexts');
  const momentum = tensors.get('momentum');
  if (!contexts) return fail('bytes must hold contexts, got none');
  for (const x of momentum ? [contexts, momentum] : [contexts]) {
    if (`${x.shape}` !== `${shape}`) fail(`contexts must have shape [${shape}], got [${x.shape}]`);
    if (!x.data.every(Number.isFinite)) fail('contexts must be finite, got NaN or an infinity');
  }
  return { contexts, momentum, epoch };
}
