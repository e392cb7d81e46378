import type { AdamWGroup } from './options.js';

/** As much of a tf.layers model as {@link endLayerGroup} looks at. */
export interface LayeredModel {
  readonly layers: readonly {
    readonly trainableWeights: readonly { readonly name: string }[];
  }[];
}

const escapePattern = (name: string) => name.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/**
 * A group that sends the first and the last layer with weights of a tf.layers model to AdamW: the input and output
 * layers, which orthogonalised updates do not suit, whatever their names are.
 *
 * Matches by name, also after tfjs has renamed the variables of a copy (`…/kernel` to `…/kernel_1`), so that it can be
 * part of a saved configuration.
 *
 * @param model - anything with `layers` that have `trainableWeights`
 * @throws TypeError if `model` has no layers at all; RangeError if none has weights
 * @example
 * const optimizer = new Muon({ groups: [endLayerGroup(model)] });
 * @see Jordan et al. 2024: "Muon … for hidden layers"
 */
export function endLayerGroup(model: LayeredModel): AdamWGroup {
  if (model?.layers === undefined) {
    throw new TypeError('endLayerGroup: model must be a tf.layers model, got no layers');
  }
  const weighted = model.layers.filter(({ trainableWeights }) => trainableWeights.length > 0);
  if (weighted.length === 0) {
    throw new RangeError('endLayerGroup: model must have a layer with trainable weights, got none');
  }
  const ends = [weighted[0]!, weighted[weighted.length - 1]!];
  const names = ends.flatMap(({ trainableWeights }) => trainableWeights.map((w) => w.name));
  const match = new RegExp(`^(?:${[...new Set(names)].map(escapePattern).join('|')})(?:_\\d+)?$`);
  return { match, optimizer: 'adamW' };
}
