import { checkInteger } from '@orth/backend';
import { dispose, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { checkFunction } from '../checks.js';
import { crossEntropy } from './combine.js';
import type { Dataset } from './dataset.js';

/** Anything that gives logits. */
export interface Predictor {
  /** Logits of inputs, `[B, V]` or `[B, T, V]`, which the caller disposes. */
  predict(inputs: Tensor): Tensor;
}

/**
 * Mean cross-entropy of a model, or an {@link Ensemble}, over a data set, in nats.
 * @param batchSize - examples at once. Default 1024
 * @throws TypeError or RangeError for a wrong argument
 */
export async function evaluateLoss(
  model: Predictor,
  data: Dataset,
  batchSize = 1024,
): Promise<number> {
  const caller = 'evaluateLoss';
  checkFunction(caller, 'model.predict', model?.predict);
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  checkInteger(caller, 'data.size', data.size, { min: 1 });
  let sum = 0;
  for (let from = 0; from < data.size; from += batchSize) {
    const count = Math.min(batchSize, data.size - from);
    const { inputs, targets } = data.batch(Array.from({ length: count }, (_, i) => from + i));
    const loss = tidy(() => crossEntropy(model.predict(inputs), targets));
    sum += count * (await loss.data())[0]!;
    dispose([loss, inputs, targets]);
  }
  return sum / data.size;
}
