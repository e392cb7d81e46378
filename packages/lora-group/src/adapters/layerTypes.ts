/** The parts of tfjs-layers that adapters touch, so that this package needs no import of it. */
import type { Tensor, Variable } from '@tensorflow/tfjs-core';

/** A weight of a tf.layers layer. */
export interface LayerWeight {
  readonly name: string;
  readonly originalName: string;
  trainable: boolean;
  read(): Tensor;
}

/** A tf.layers layer. */
export interface LayerLike {
  readonly name: string;
  readonly trainableWeights: LayerWeight[];
  readonly nonTrainableWeights: LayerWeight[];
  readonly weights: LayerWeight[];
  getClassName(): string;
  // tfjs-layers types these by its own aliases.
  // biome-ignore lint/suspicious/noExplicitAny: any layer's
  call(inputs: any, kwargs: any): any;
  // biome-ignore lint/suspicious/noExplicitAny: any layer's
  getConfig(): any;
}

/** A tf.layers model: `tf.sequential`, `tf.model`, or one loaded. */
export interface LayersModelLike extends LayerLike {
  readonly layers: LayerLike[];
}

/** What layers have beside, not all of it public. */
export interface LayerInternals {
  activation?: { apply(x: Tensor): Tensor; getClassName(): string } | null;
  bias?: LayerWeight | null;
  invokeCallHook?(inputs: unknown, kwargs: unknown): void;
  readonly layers?: LayerLike[];
  readonly layer?: LayerLike;
  readonly forwardLayer?: LayerLike;
  readonly backwardLayer?: LayerLike;
}

/** The internals of a layer. */
export const internals = (layer: LayerLike): LayerInternals => layer as unknown as LayerInternals;

/** The variable of a layer's weight. */
export const variableOf = (weight: LayerWeight): Variable => weight.read() as Variable;

/** Whether something is a tf.layers model. */
export function isLayersModel(x: unknown): x is LayersModelLike {
  const model = x as Partial<LayersModelLike> | null;
  return (
    typeof model === 'object' &&
    model !== null &&
    Array.isArray(model.layers) &&
    typeof model.getClassName === 'function' &&
    typeof model.call === 'function'
  );
}

/** Runs `work` while `object` has other values for some properties, which it then gets back. */
export function withProperties<T>(
  object: object,
  values: Readonly<Record<string, unknown>>,
  work: () => T,
): T {
  const before = Object.keys(values).map(
    (key) => [key, Object.getOwnPropertyDescriptor(object, key)] as const,
  );
  try {
    for (const [key, value] of Object.entries(values)) {
      Object.defineProperty(object, key, { value, configurable: true, writable: true });
    }
    return work();
  } finally {
    for (const [key, descriptor] of before) {
      if (descriptor) Object.defineProperty(object, key, descriptor);
      else Reflect.deleteProperty(object, key);
    }
  }
}
