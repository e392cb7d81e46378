import type { Tensor } from '@tensorflow/tfjs-core';
import {
  internals,
  type LayerLike,
  type LayersModelLike,
  type LayerWeight,
  variableOf,
} from './layerTypes.js';
import { matrixSize, type Target, type TargetKind } from './target.js';

/** A target within a layer. */
export interface LayerTarget extends Target {
  readonly weight: LayerWeight;
}

/** A layer that holds weights of its own. */
export interface LayerNode {
  readonly path: string;
  readonly layer: LayerLike;
  readonly targets: readonly LayerTarget[];
}

/** A model's layers. */
export interface LayerTree {
  /** Layers that hold weights of their own, each once. */
  readonly nodes: readonly LayerNode[];
  /** The model itself, models within it, and wrappers. */
  readonly containers: readonly LayerLike[];
}

/** Layers to whose output an adapter adds, and the field that holds their kernel. */
const KINDS: Readonly<Record<string, readonly [TargetKind, string]>> = {
  Dense: ['dense', 'kernel'],
  Conv1D: ['conv', 'kernel'],
  Conv2D: ['conv', 'kernel'],
  Conv3D: ['conv', 'kernel'],
  Embedding: ['embedding', 'embeddings'],
};

/** The last part of a weight's name: `kernel` of `dense_Dense1/kernel`. */
export const shortName = ({ originalName }: LayerWeight): string =>
  originalName.slice(originalName.lastIndexOf('/') + 1);

function targetsOf(path: string, layer: LayerLike): LayerTarget[] {
  const known = KINDS[layer.getClassName()];
  if (known) {
    const [kind, field] = known;
    const weight = (layer as unknown as Record<string, LayerWeight | undefined>)[field];
    if (!weight) return [];
    const variable = variableOf(weight);
    return [{ path, kind, weight, variable, ...matrixSize(variable.shape) }];
  }
  return layer.weights
    .filter((weight) => (weight.read() as Tensor).rank >= 2)
    .map((weight) => {
      const variable = variableOf(weight);
      return {
        path: `${path}.${shortName(weight)}`,
        kind: 'weight' as const,
        weight,
        variable,
        ...matrixSize(variable.shape),
      };
    });
}

/** The layers of a model, those within models and wrappers too. A layer that is used twice is there once. */
export function layerTree(model: LayersModelLike): LayerTree {
  const nodes: LayerNode[] = [];
  const containers: LayerLike[] = [];
  const seen = new Set<LayerLike>();
  const visit = (layer: LayerLike, path: string): void => {
    if (seen.has(layer)) return;
    seen.add(layer);
    const { layers, layer: wrapped, forwardLayer, backwardLayer } = internals(layer);
    const below = (inner: LayerLike) => visit(inner, path ? `${path}.${inner.name}` : inner.name);
    if (Array.isArray(layers)) {
      containers.push(layer);
      for (const inner of layers) below(inner);
    } else if (forwardLayer && backwardLayer) {
      containers.push(layer);
      below(forwardLayer);
      below(backwardLayer);
    } else if (wrapped && typeof wrapped.call === 'function') {
      containers.push(layer);
      // A wrapper has one layer within, which goes by the wrapper's name.
      visit(wrapped, path);
    } else {
      nodes.push({ path, layer, targets: targetsOf(path, layer) });
    }
  };
  visit(model, '');
  return { nodes, containers };
}
