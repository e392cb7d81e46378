import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { fromTorch, toTorch } from '../files/kernelLayout.js';
import { type Call, callWithAdditions, callWithWeights } from './adaptedLayer.js';
import { AdapterSet } from './adapterSet.js';
import type { Trainable } from './adapterTypes.js';
import type { ExtraWeight } from './extraWeights.js';
import {
  type LayerNode,
  type LayerTarget,
  type LayerTree,
  layerTree,
  shortName,
} from './layerTree.js';
import {
  type LayerLike,
  type LayersModelLike,
  type LayerWeight,
  variableOf,
} from './layerTypes.js';
import { listNames, type ModuleSelector, matcher } from './matchTargets.js';
import type { ResolvedOptions } from './options.js';
import type { Target } from './target.js';

/**
 * Adapters of a tf.layers model, which stays the same object: `predict`, `fit` and `evaluate` run with the active
 * adapters, `trainableWeights` are theirs, and `weights`, `getWeights` and `save` the pretrained model's own, as without them.
 *
 * Compile the model after adapting it, and after whatever changes what is trained. Batch normalisation keeps its
 * statistics while the model is frozen.
 */
export class AdaptedModel<Model extends LayersModelLike = LayersModelLike> extends AdapterSet {
  private readonly tree: LayerTree;
  private readonly ownWeights: readonly { readonly flag: Trainable; readonly variable: Variable }[];
  /** Objects that got properties of their own, with the names of these. */
  private readonly patched = new Map<object, Set<string>>();
  private readonly trainedWeights = new Map<Variable, LayerWeight>();

  /** Use `adapt`. */
  constructor(
    /** The model. */
    readonly model: Model,
  ) {
    super('AdaptedModel');
    this.tree = layerTree(model);
    this.ownWeights = model.weights.map((weight) => ({
      flag: this.guardFlag(weight),
      variable: variableOf(weight),
    }));
    this.hideAdapters();
    this.begin();
  }

  /** Merges the active adapters for good, takes this library off the model and returns it. */
  override mergeAndUnload(): Model {
    super.mergeAndUnload();
    return this.model;
  }

  protected candidates(): readonly LayerTarget[] {
    return this.tree.nodes.flatMap(({ targets }) => targets);
  }

  protected linearTargets(): readonly Target[] {
    return this.candidates().filter(({ kind }) => kind === 'dense');
  }

  protected baseWeights() {
    return this.ownWeights;
  }

  protected extraWeights({ bias, modulesToSave }: ResolvedOptions, targets: readonly Target[]) {
    const whole = modulesToSave === undefined ? [] : this.wholeModules(modulesToSave);
    const chosen = new Set(targets.map(({ path }) => path));
    const withBias = this.tree.nodes.filter(
      ({ path }) => bias === 'all' || (bias === 'loraOnly' && chosen.has(path)),
    );
    const found = new Map<Variable, ExtraWeight>();
    const take = ({ path, layer }: LayerNode, wanted: (weight: LayerWeight) => boolean) => {
      for (const weight of layer.weights) {
        const variable = variableOf(weight);
        if (wanted(weight) && !found.has(variable)) {
          found.set(variable, extraWeight(path, layer, weight, variable));
        }
      }
    };
    for (const node of whole) take(node, () => true);
    for (const node of withBias) take(node, (weight) => shortName(weight) === 'bias');
    return { weights: [...found.values()], modules: whole.map(({ path }) => path) };
  }

  protected refresh(): void {
    for (const { layer, targets } of this.tree.nodes) this.patchCall(layer, targets);
    const now = new Set(this.factorVariables());
    for (const variable of this.trainedWeights.keys()) {
      if (!now.has(variable)) this.trainedWeights.delete(variable);
    }
    for (const variable of now) {
      if (!this.trainedWeights.has(variable)) this.trainedWeights.set(variable, asWeight(variable));
    }
  }

  protected detach(): void {
    for (const [object, keys] of this.patched) {
      for (const key of keys) Reflect.deleteProperty(object, key);
    }
    this.patched.clear();
  }

  private wholeModules(selector: ModuleSelector): readonly LayerNode[] {
    const matches = matcher(selector);
    const nodes = this.tree.nodes.filter(({ layer }) => layer.weights.length > 0);
    const whole = nodes.filter(({ path, targets }) =>
      matches({
        path,
        kind: targets[0]?.kind ?? 'weight',
        shape: [...(targets[0]?.variable.shape ?? [])],
      }),
    );
    if (whole.length > 0) return whole;
    const names = listNames(nodes.map(({ path }) => path));
    throw new RangeError(`AdaptedModel: modulesToSave must match a layer, got none of ${names}`);
  }

  /**
   * The flag whether a weight is trained, for this class alone to change while the model is frozen: `compile` of a
   * sequential model would set them all.
   */
  private guardFlag(weight: LayerWeight): Trainable {
    const { get, set } = inheritedAccessor(weight, 'trainable');
    this.patch(weight, 'trainable', {
      get,
      set: (value: boolean) => {
        if (!this.frozen) set.call(weight, value);
      },
    });
    return {
      get trainable() {
        return get.call(weight) as boolean;
      },
      set trainable(value: boolean) {
        set.call(weight, value);
      },
    };
  }

  /** `weights` stays the model's own; `trainableWeights` gets what adapters train. */
  private hideAdapters(): void {
    const { nodes, containers } = this.tree;
    for (const { layer, targets } of nodes) {
      if (layer.weights.length === 0) continue;
      const here = new Set(targets.map(({ path }) => path));
      this.addWeights(layer, () => this.factorVariables(here));
    }
    for (const container of containers) {
      const below = new Set(
        nodes
          .filter(({ layer }) => contains(container, layer))
          .flatMap(({ targets }) => targets.map(({ path }) => path)),
      );
      this.addWeights(container, () => this.factorVariables(below));
    }
  }

  private addWeights(layer: LayerLike, factors: () => Variable[]): void {
    const own = [...layer.weights];
    const inherited = inheritedAccessor(layer, 'trainableWeights').get;
    this.patch(layer, 'weights', { get: () => [...own] });
    this.patch(layer, 'trainableWeights', {
      get: () => {
        const before = inherited.call(layer) as LayerWeight[];
        const weights = factors().map((variable) => this.trainedWeights.get(variable)!);
        return [...new Set([...before, ...weights])];
      },
    });
  }

  /** Puts a `call` on the layer while adapters act there, and takes it off when none does. */
  private patchCall(layer: LayerLike, targets: readonly LayerTarget[]): void {
    const call = Reflect.get(Object.getPrototypeOf(layer), 'call').bind(layer) as Call;
    const active = targets.filter(({ path }) => this.modulesAt(path).length > 0);
    const isNormalization = layer.getClassName() === 'BatchNormalization';
    if (active.length > 0) {
      this.patch(layer, 'call', {
        value: (inputs: unknown, kwargs: unknown) => this.call(layer, active, call, inputs, kwargs),
      });
    } else if (isNormalization && this.isStill(layer)) {
      this.patch(layer, 'call', {
        value: (inputs: unknown, kwargs: object) => call(inputs, { ...kwargs, training: false }),
      });
    } else this.unpatch(layer, 'call');
  }

  private call(
    layer: LayerLike,
    targets: readonly LayerTarget[],
    call: Call,
    inputs: unknown,
    kwargs: unknown,
  ): unknown {
    const [target] = targets as [LayerTarget];
    const active = this.modulesAt(target.path);
    const adds = target.kind !== 'weight' && active.every(({ module }) => module.addsToOutput);
    if (adds) return callWithAdditions(target, layer, call, active, inputs, kwargs);
    const replaced = targets.map((each) => ({
      target: each,
      value: (): Tensor => this.effectiveWeight(each),
    }));
    return callWithWeights(replaced, call, inputs, kwargs);
  }

  /** Whether a layer of batch normalisation has to keep its statistics: the model is frozen, and no adapter trains it. */
  private isStill(layer: LayerLike): boolean {
    return this.frozen && !layer.weights.some(({ trainable }) => trainable);
  }

  private patch(object: object, key: string, descriptor: PropertyDescriptor): void {
    const keys = this.patched.get(object) ?? new Set<string>();
    this.patched.set(object, keys);
    keys.add(key);
    const rest = 'value' in descriptor ? { writable: true } : {};
    Object.defineProperty(object, key, { configurable: true, ...rest, ...descriptor });
  }

  private unpatch(object: object, key: string): void {
    if (this.patched.get(object)?.delete(key)) Reflect.deleteProperty(object, key);
  }
}

/** The accessor that an object inherits. */
function inheritedAccessor(object: object, key: string) {
  for (let at = Object.getPrototypeOf(object); at; at = Object.getPrototypeOf(at)) {
    const { get, set = () => {} } = Object.getOwnPropertyDescriptor(at, key) ?? {};
    if (get) return { get: get as () => unknown, set: set as (value: unknown) => void };
  }
  throw new TypeError(`adapt: model must be of tfjs-layers, got a part without ${key}`);
}

/** Whether a layer lies within a container. */
function contains(container: LayerLike, layer: LayerLike): boolean {
  const { nodes } = layerTree(container as LayersModelLike);
  return nodes.some((node) => node.layer === layer);
}

/** A factor as tf.layers wants its weights: as little of `LayerVariable` as training touches. */
function asWeight(variable: Variable): LayerWeight {
  return {
    name: variable.name,
    originalName: variable.name,
    get trainable() {
      return variable.trainable;
    },
    set trainable(value: boolean) {
      variable.trainable = value;
    },
    read: () => variable,
    ...{ id: variable.id, shape: variable.shape, dtype: variable.dtype, constraint: null },
  };
}

/** A layer's weight by the name that PyTorch has for it, where it has one. */
function extraWeight(
  path: string,
  layer: LayerLike,
  weight: LayerWeight,
  variable: Variable,
): ExtraWeight {
  const name = shortName(weight);
  const className = layer.getClassName();
  const isKernel = name === 'kernel' && /^(Dense|Conv[123]D)$/.test(className);
  const isTable = name === 'embeddings' && className === 'Embedding';
  const same = <T>(x: T): T => x;
  return {
    key: `${path}.${isKernel || isTable ? 'weight' : name}`,
    variable,
    toFile: isKernel ? toTorch : same,
    fromFile: isKernel ? fromTorch : same,
  };
}
