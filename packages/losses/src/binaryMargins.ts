import { checkTensor } from '@orth/backend';
import { cast, mul, step, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { checkEach } from './lossArguments.js';

/**
 * Demands scores and binary labels of one shape.
 * @throws TypeError for another dtype; RangeError for another shape, an empty batch, labels that are not all in {0, 1} or
 *   all in {−1, 1}, or scores that are not finite (the last two where values are checked)
 */
export function checkBinary(
  caller: string,
  scores: Tensor,
  labels: Tensor,
  checkValues: boolean,
): void {
  checkTensor(caller, 'scores', scores);
  checkTensor(caller, 'labels', labels, {
    shape: scores.shape,
    dtype: ['int32', 'float32', 'bool'],
  });
  if (!checkValues) return;
  checkEach(caller, 'scores', scores, 'be finite', Number.isFinite);
  const values = labels.dataSync();
  const lowest = values.some((y) => y === -1) ? -1 : 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === lowest || values[i] === 1) continue;
    throw new RangeError(
      `${caller}: labels must be all in {0, 1} or all in {-1, 1}, got ${values[i]} at index ${i}`,
    );
  }
}

/** −1 or 1 for labels in either convention, float32. */
export const signs = (labels: Tensor): Tensor =>
  tidy(() => sub(mul(step(cast(labels, 'float32')), 2), 1));

/** `y f` for signs y, without checks. */
export const marginsOf = (scores: Tensor, labels: Tensor): Tensor =>
  tidy(() => mul(scores, signs(labels)));
