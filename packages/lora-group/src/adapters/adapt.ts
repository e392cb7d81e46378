import { checkOptions } from '@orth/backend';
import type { Variable } from '@tensorflow/tfjs-core';
import { AdaptedModel } from './adaptedModel.js';
import { AdaptedVariables, isVariables } from './adaptedVariables.js';
import type { AdapterSet } from './adapterSet.js';
import { isLayersModel, type LayersModelLike } from './layerTypes.js';
import { ADAPTER_OPTIONS, type AdapterOptions } from './options.js';

/** Options of {@link adapt}: those of the first adapter, and its name. */
export interface AdaptOptions extends AdapterOptions {
  /** Name of the first adapter; null adds none. Default `'default'` */
  readonly name?: string | null;
}

/** Models that have adapters, and these. */
const adapted = new WeakMap<object, AdapterSet>();

/**
 * Gives a model adapters: small trained matrices beside its frozen weights. The model computes the same as before until
 * they are trained, to the last bit.
 *
 * A tf.layers model keeps being itself: compile it (again), then `fit` trains the adapters. For a record of variables use
 * `apply` or `weight` of the result in place of `matMul` or the variable, and give `trainableVariables` to the optimizer.
 *
 * @param model - a tf.layers model, or variables by name; frozen from now on
 * @param options - of the first adapter
 * @throws (rejects with) TypeError or RangeError for a wrong option, or a pattern that matches nothing; Error if the model
 *   has adapters already. The model is unchanged then
 * @example
 * const adapters = await adapt(model, { r: 8, targetModules: ['query', 'value'] });
 * model.compile({ optimizer: tf.train.adam(1e-3), loss: 'meanSquaredError' });
 * await model.fit(x, y);
 * adapters.mergeAndUnload();
 * @see Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"
 */
export async function adapt<Model extends LayersModelLike>(
  model: Model,
  options?: AdaptOptions,
): Promise<AdaptedModel<Model>>;
export async function adapt(
  model: Readonly<Record<string, Variable>>,
  options?: AdaptOptions,
): Promise<AdaptedVariables>;
export async function adapt(
  model: LayersModelLike | Readonly<Record<string, Variable>>,
  options: AdaptOptions = {},
): Promise<AdapterSet> {
  checkOptions('adapt', options, [...ADAPTER_OPTIONS, 'name']);
  const { name = 'default', ...adapterOptions } = options;
  const before = adapted.get(model);
  if (before && !before.disposed) {
    throw new Error('adapt: model must not have adapters already; add one by addAdapter');
  }
  const set = wrap(model);
  adapted.set(model, set);
  try {
    if (name !== null) await set.addAdapter(name, adapterOptions);
    return set;
  } catch (error) {
    set.dispose();
    throw error;
  }
}

function wrap(model: LayersModelLike | Readonly<Record<string, Variable>>): AdapterSet {
  if (isVariables(model)) return new AdaptedVariables(model);
  if (!isLayersModel(model)) {
    throw new TypeError(
      `adapt: model must be a tf.layers model or an object of variables, got ${typeof model}`,
    );
  }
  if (model.layers.length === 0 || model.weights.length === 0) {
    throw new RangeError('adapt: model must be built and have weights, got one without');
  }
  return new AdaptedModel(model);
}
