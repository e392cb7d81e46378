import { checkNumber } from '@orth/backend';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { MSGCoOp } from './msgcoop.js';
import type { ClassSelection } from './promptSource.js';

/**
 * Share of predictions that are right.
 * @throws RangeError if there are none, or not as many labels
 */
export function accuracy(predicted: ArrayLike<number>, labels: ArrayLike<number>): number {
  if (predicted.length === 0 || predicted.length !== labels.length) {
    throw new RangeError(
      `accuracy: labels must be as many as predictions, and not none, got ${labels.length} for ${predicted.length}`,
    );
  }
  let right = 0;
  for (let i = 0; i < predicted.length; i++) if (predicted[i] === labels[i]) right++;
  return right / predicted.length;
}

/**
 * `2 a b / (a + b)`: high only if both are; 0 if both are 0.
 * @throws TypeError or RangeError unless both are >= 0
 */
export function harmonicMean(a: number, b: number): number {
  checkNumber('harmonicMean', 'a', a, { min: 0 });
  checkNumber('harmonicMean', 'b', b, { min: 0 });
  return a + b === 0 ? 0 : (2 * a * b) / (a + b);
}

/** Images to test on: their features, and class numbers among their own classes. */
export interface TestImages extends ClassSelection {
  readonly imageFeatures: Tensor2D;
  readonly labels: ArrayLike<number>;
}

/** Accuracies on classes that were trained, and on new ones, and their harmonic mean H. */
export interface BaseToNew {
  readonly base: number;
  readonly novel: number;
  readonly harmonicMean: number;
}

/**
 * The base-to-new protocol: accuracy on the classes of training and on new ones, each among its own classes.
 *
 * @param images - of the `base` classes (by default the model's own), and of `novel` ones, which say what they are
 * @throws (rejects with) as {@link MSGCoOp.predict} and {@link accuracy}
 * @example
 * const { harmonicMean } = await baseToNew(model, {
 *   base: { imageFeatures, labels },
 *   novel: { imageFeatures: newImages, labels: newLabels, classNames: newNames },
 * });
 */
export async function baseToNew(
  model: MSGCoOp,
  images: { readonly base: TestImages; readonly novel: TestImages },
): Promise<BaseToNew> {
  const measure = async ({ imageFeatures, labels, ...classes }: TestImages) =>
    accuracy(await model.predict(imageFeatures, classes), labels);
  const base = await measure(images.base);
  const novel = await measure(images.novel);
  return { base, novel, harmonicMean: harmonicMean(base, novel) };
}
