import { seededRandom } from '@orth/backend';
import { gather, type Tensor2D, tensor1d } from '@tensorflow/tfjs-core';
import type { FitEpoch, FitOptions, ResolvedFit } from './fitOptions.js';
import type { PromptDescent } from './promptDescent.js';
import type { PromptLosses } from './promptLosses.js';

/** What an epoch goes over. */
export interface EpochData {
  readonly epoch: number;
  readonly images: Tensor2D;
  /** Class number of each image. */
  readonly classes: Int32Array;
  readonly seed: number;
}

type EpochSettings = ResolvedFit &
  Pick<FitOptions, 'signal'> & { readonly onStep: FitOptions['onStep'] | undefined };

/** Streams of a seed below this number are for initial values. */
const FIRST_EPOCH_STREAM = 100;

/** One pass over the images; the means of its losses. */
export async function fitEpoch(
  descent: PromptDescent,
  model: { losses(images: Tensor2D, classes: readonly number[]): PromptLosses },
  { epoch, images, classes, seed }: EpochData,
  settings: EpochSettings,
): Promise<FitEpoch> {
  const { batchSize, epochs, initialEpoch, finalEpoch, optimizer, momentum, weightDecay } =
    settings;
  const learningRate = optimizer ? undefined : settings.learningRate(epoch);
  const count = classes.length;
  const steps = Math.ceil(count / batchSize);
  const rows = Array.from(classes, (_, row) => row);
  const sums = { ce: 0, semantic: 0, diversity: 0, loss: 0 };
  // A stream for each epoch, so that the order of one depends on nothing before it.
  const random = seededRandom(seed).fork(FIRST_EPOCH_STREAM + epoch);
  const order = settings.shuffle && steps > 1 ? random.shuffle(rows) : rows;
  for (let step = 0; step < steps; step++) {
    settings.signal?.throwIfAborted();
    const chosen = order.slice(step * batchSize, (step + 1) * batchSize);
    const batch = steps === 1 ? images : gatherRows(images, chosen);
    const labels = chosen.map((row) => classes[row]!);
    try {
      const losses = await descent.step(
        'MSGCoOp.fit',
        () => model.losses(batch, labels),
        optimizer ?? { learningRate: learningRate!, momentum, weightDecay },
      );
      for (const key of ['ce', 'semantic', 'diversity', 'loss'] as const) {
        sums[key] += (losses[key] * chosen.length) / count;
      }
      const done = (epoch - initialEpoch) * steps + step + 1;
      const total = (finalEpoch - initialEpoch) * steps;
      await settings.onStep?.({ ...losses, epoch, step, done, total });
    } finally {
      if (batch !== images) batch.dispose();
    }
  }
  return { ...sums, epoch, epochs, learningRate };
}

function gatherRows(x: Tensor2D, rows: readonly number[]): Tensor2D {
  const indices = tensor1d([...rows], 'int32');
  const chosen = gather(x, indices);
  indices.dispose();
  return chosen;
}
