import { add, mul, reshape, type Tensor, tidy, type Variable } from '@tensorflow/tfjs-core';
import { AdapterRegistry } from './adapterRegistry.js';
import type { ActiveModule, Adapter, Trainable } from './adapterTypes.js';
import type { ExtraWeight } from './extraWeights.js';
import { listNames } from './matchTargets.js';
import { MergedWeights } from './mergedWeights.js';
import type { ResolvedOptions } from './options.js';
import { matrixOf, type Target } from './target.js';

/**
 * What adapters of a model are in: who is there and active, merged, frozen, and what is trained. The actions on it are
 * `AdapterSet`'s.
 */
export abstract class AdapterState {
  protected readonly registry = new AdapterRegistry();
  protected readonly pretrained = new MergedWeights();
  private isFrozen = true;
  private isOver = false;
  /** Flags that weights had before. */
  private flags: ReadonlyMap<Trainable, boolean> = new Map();

  /** @param label - the class' name in messages */
  protected constructor(protected readonly label: string) {}

  /** Every weight that could be adapted. */
  protected abstract candidates(): readonly Target[];
  /** The targets of `'allLinear'`. */
  protected abstract linearTargets(): readonly Target[];
  /** Weights of the model, with the flag whether they are trained. */
  protected abstract baseWeights(): readonly {
    readonly flag: Trainable;
    readonly variable: Variable;
  }[];
  /** Weights of whole modules, or biases, with their names in files. */
  protected abstract extraWeights(
    options: ResolvedOptions,
    targets: readonly Target[],
  ): { readonly weights: readonly ExtraWeight[]; readonly modules: readonly string[] };
  /** Called whenever what is active has changed. */
  protected abstract refresh(): void;
  /** Called once, when the adapters come off. */
  protected abstract detach(): void;

  /** Names of all adapters, in the order they came. */
  get adapterNames(): readonly string[] {
    return this.registry.names;
  }

  /** Active adapters with their weights. */
  get activeAdapters(): ReadonlyMap<string, number> {
    return new Map(this.registry.active);
  }

  /** Whether the active adapters are written into the pretrained weights. */
  get merged(): boolean {
    return this.pretrained.merged;
  }

  /** Whether active adapters take part. */
  get enabled(): boolean {
    return this.registry.enabled;
  }

  /** Whether the pretrained weights are kept from training. */
  get frozen(): boolean {
    return this.isFrozen;
  }

  /** Whether the adapters have been taken off. */
  get disposed(): boolean {
    return this.isOver;
  }

  /** Keeps the pretrained weights from training, as they are from the start. */
  freeze(): void {
    this.checkUsable(`${this.label}.freeze`);
    this.isFrozen = true;
    this.update();
  }

  /** Lets the pretrained weights train as they did before, beside the adapters. Compile tf.layers models anew. */
  unfreeze(): void {
    this.checkUsable(`${this.label}.unfreeze`);
    this.isFrozen = false;
    this.update();
  }

  /** What is to be trained now: an optimizer's `varList`. */
  get trainableVariables(): Variable[] {
    if (this.isOver) return [];
    const { extras } = this.trained();
    const own = this.baseWeights().filter(
      ({ flag, variable }) => flag.trainable && !extras.has(variable),
    );
    const list = [...this.factorVariables(), ...extras, ...own.map(({ variable }) => variable)];
    return [...new Set(list)];
  }

  /** Modules that take part at a path. */
  protected modulesAt(path: string): ActiveModule[] {
    return this.enabled && !this.merged ? this.registry.modulesAt(path) : [];
  }

  /** The weight with all active updates; the variable itself where there are none. */
  protected effectiveWeight(target: Target): Tensor {
    const active = this.modulesAt(target.path);
    if (active.length === 0) return target.variable;
    return tidy(() => {
      const W = matrixOf(target);
      const sum = active
        .map(({ module, weight }) => {
          const update = module.delta(W);
          return weight === 1 ? update : mul(update, weight);
        })
        .reduce((total, update) => add(total, update), W);
      return reshape(sum, target.variable.shape);
    });
  }

  /** The target of a path. */
  protected target(caller: string, path: string): Target {
    const found = this.candidates().find((target) => target.path === path);
    if (found) return found;
    const names = listNames(this.candidates().map((target) => target.path));
    throw new RangeError(`${caller}: path must be one of ${names}, got ${JSON.stringify(path)}`);
  }

  /** Factors of active adapters that are trained now. */
  protected factorVariables(paths?: ReadonlySet<string>): Variable[] {
    return this.trained().factors.flatMap(([path, list]) =>
      paths && !paths.has(path) ? [] : [...list],
    );
  }

  /** Freezes the weights and brings everything up to date: called once, when the model is known. */
  protected begin(): void {
    this.flags = new Map(this.baseWeights().map(({ flag }) => [flag, flag.trainable]));
    this.update();
  }

  protected checkUsable(caller: string): void {
    if (this.isOver) throw new Error(`${caller}: the adapters must not have been taken off`);
  }

  private trained() {
    const on = this.enabled && !this.merged;
    const names = on ? [...this.registry.active.keys()] : [];
    const active = names.map((name) => this.registry.get(name));
    return {
      factors: active.flatMap(({ modules }) =>
        [...modules].map(([path, module]) => [path, Object.values(module.factors)] as const),
      ),
      extras: new Set(
        active.flatMap(({ extras }) => extras.weights.map(({ variable }) => variable)),
      ),
    };
  }

  /** Flags of what is trained, then whatever a model needs. */
  protected update(): void {
    const { extras } = this.trained();
    const factors = new Set(this.factorVariables());
    for (const { modules } of this.registry.all()) {
      for (const module of modules.values()) {
        for (const x of Object.values(module.factors)) x.trainable = factors.has(x);
      }
    }
    for (const { flag, variable } of this.baseWeights()) {
      const before = this.flags.get(flag) ?? true;
      flag.trainable = extras.has(variable) || (before && !this.isFrozen);
    }
    this.refresh();
  }

  protected activate(next: ReadonlyMap<string, number>): void {
    this.registry.activate(next);
    this.update();
  }

  /** Adds an adapter and, if wanted, makes it the only active one. */
  protected install(adapter: Adapter, activate = this.registry.active.size === 0): void {
    this.registry.add(adapter);
    if (activate && !this.merged) this.activate(new Map([[adapter.name, 1]]));
    else this.update();
  }

  protected end(): void {
    this.isOver = true;
    for (const { flag } of this.baseWeights()) flag.trainable = this.flags.get(flag) ?? true;
    this.detach();
    this.registry.clear();
  }

  protected checkNew(caller: string, name: string): void {
    this.checkUsable(caller);
    this.registry.checkNew(caller, name);
  }

  protected checkNames(caller: string, names: readonly string[]): void {
    this.checkUsable(caller);
    this.registry.checkNames(caller, names);
  }

  protected checkUnmerged(caller: string): void {
    this.checkUsable(caller);
    if (!this.merged) return;
    const list = listNames([...this.registry.active.keys()]);
    throw new Error(`${caller}: adapters must not be merged, got ${list} merged; unmerge first`);
  }
}
