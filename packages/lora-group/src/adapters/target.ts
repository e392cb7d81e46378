import { engine, reshape, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import type { MatrixSize } from '../lora/initializers.js';

/**
 * How a target is used, which decides how an adapter reaches it: `'dense'`, `'conv'` and `'embedding'` add to the layer's
 * output; a `'weight'` is replaced by the sum of itself and its updates.
 */
export type TargetKind = 'dense' | 'conv' | 'embedding' | 'weight';

/** A pretrained weight that can be given an adapter. Its matrix view joins all axes but the last. */
export interface Target extends MatrixSize {
  /** `encoder.block0.query`: the layer's name within its containers, or the name of a variable. */
  readonly path: string;
  readonly kind: TargetKind;
  readonly variable: Variable;
}

/** The matrix view's sizes of a weight of rank >= 2. */
export function matrixSize(shape: readonly number[]): MatrixSize {
  const outSize = shape[shape.length - 1]!;
  return { inSize: shape.slice(0, -1).reduce((product, n) => product * n, 1), outSize };
}

/** The matrix view of a target's weight. */
export const matrixOf = ({ variable, inSize, outSize }: Target): Tensor =>
  variable.rank === 2 ? variable : reshape(variable, [inSize, outSize]);

/** A name that no variable has, made from `wish`: tfjs refuses to register a name twice. */
export function freeName(wish: string): string {
  const taken = engine().registeredVariables;
  if (!Object.hasOwn(taken, wish)) return wish;
  let suffix = 1;
  while (Object.hasOwn(taken, `${wish}_${suffix}`)) suffix++;
  return `${wish}_${suffix}`;
}

/** Whether gradients are being recorded. */
export const isRecording = (): boolean => engine().state.gradientDepth > 0;
