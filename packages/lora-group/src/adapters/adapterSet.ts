import {
  CheckpointError,
  checkNumber,
  checkOneOf,
  checkOptions,
  NonFiniteError,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import {
  add,
  all,
  cast,
  type io,
  isFinite as isFiniteTensor,
  mul,
  reshape,
  stack,
  type Tensor,
  tensor,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import {
  type OwnHeader,
  parseOwnHeader,
  parsePeftConfig,
  toPeftConfig,
} from '../files/adapterConfig.js';
import {
  type AdapterContent,
  type AdapterFiles,
  fromFiles,
  toFiles,
} from '../files/adapterFile.js';
import { expectShape, type FileTensor } from '../files/fileTensor.js';
import { fromArtifacts, resolveHandler, toArtifacts } from '../files/ioHandler.js';
import { startsFromWeight } from '../lora/initializers.js';
import type { AdapterModule, ModuleScale } from './adapterModule.js';
import {
  type Combination,
  type Combined,
  checkCombination,
  combine,
  type Weighted,
} from './combineAdapters.js';
import { checkTargets, createModule } from './createModule.js';
import { type BaseValues, type ExtraWeight, ExtraWeights, hold } from './extraWeights.js';
import { GraloraModule } from './graloraModule.js';
import { loadModules } from './loadModules.js';
import { LoraModule } from './loraModule.js';
import { listNames, matcher, type TargetInfo } from './matchTargets.js';
import { type AdapterOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { matrixOf, type Target } from './target.js';

/** An adapter by name. */
interface Adapter {
  readonly name: string;
  readonly options: ResolvedOptions;
  readonly modules: ReadonlyMap<string, AdapterModule>;
  readonly extras: ExtraWeights;
  /** Where dropout's masks come from. */
  readonly random: Random;
}

/** A module that takes part in a forward pass. */
export interface ActiveModule {
  readonly module: AdapterModule;
  readonly weight: number;
  readonly dropout: number;
  readonly random: Random;
}

/** Anything with a flag whether it is trained. */
export interface Trainable {
  trainable: boolean;
}

/** Numbers of parameters. */
export interface ParameterCount {
  /** Trained now: active adapters, weights trained whole beside them, and the model's own where they are not frozen. */
  readonly trainable: number;
  /** Of all adapters. */
  readonly adapters: number;
  /** Of the pretrained model. */
  readonly base: number;
}

/** A target, and what adapters it has. */
export interface TargetDescription extends TargetInfo {
  /** Parameters of each adapter here, by name. */
  readonly adapters: Readonly<Record<string, number>>;
}

/** Options of {@link AdapterSet.loadAdapter}. */
export interface LoadOptions {
  /** Name to load it under. Default `'default'` */
  readonly name?: string;
  /** Whether to make it the active one. Default: if no other is */
  readonly activate?: boolean;
  /** From paths in the file to paths here, as tfjs renames layers. Default: the same */
  readonly mapPath?: (path: string) => string;
}

/** Options of {@link AdapterSet.addWeightedAdapter}. */
export interface WeightedOptions {
  /** Default `'cat'`, the exact sum. */
  readonly combination?: Combination;
  /** Rank for `'svd'`. Default: the greatest of those combined */
  readonly rank?: number;
}

/**
 * Adapters of a model: the part that does not depend on what a model is. Some are active, each with a weight; merging
 * writes the active ones into the pretrained weights and removes every trace of them from the forward pass.
 *
 * Longer than other files, since it is the whole of what users call; each method only ties together what others do.
 */
export abstract class AdapterSet {
  private readonly adapters = new Map<string, Adapter>();
  private activeWeights: ReadonlyMap<string, number> = new Map();
  private readonly baseValues: BaseValues = new Map();
  /** Pretrained weights, while adapters are merged. */
  private originals: Map<string, Tensor> | undefined;
  private isEnabled = true;
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
    return [...this.adapters.keys()];
  }

  /** Active adapters with their weights. */
  get activeAdapters(): ReadonlyMap<string, number> {
    return new Map(this.activeWeights);
  }

  /** Whether the active adapters are written into the pretrained weights. */
  get merged(): boolean {
    return this.originals !== undefined;
  }

  /** Whether active adapters take part. */
  get enabled(): boolean {
    return this.isEnabled;
  }

  /** Whether the pretrained weights are kept from training. */
  get frozen(): boolean {
    return this.isFrozen;
  }

  /** Whether the adapters have been taken off. */
  get disposed(): boolean {
    return this.isOver;
  }

  /**
   * Adds an adapter. The first one becomes active; make later ones so by {@link setAdapter}.
   *
   * @param name - without dots, which separate parts of names in files
   * @throws (rejects with) TypeError or RangeError if the name is taken or an option wrong, among them a rank of 0 or above a
   *   target's smaller side, and patterns that match nothing; nothing is changed then
   */
  async addAdapter(name: string, options: AdapterOptions = {}): Promise<void> {
    const caller = `${this.label}.addAdapter`;
    const resolved = resolveOptions(caller, options);
    this.checkNew(caller, name);
    const targets = this.select(caller, resolved);
    checkTargets(caller, targets, resolved);
    const { weights } = this.extraWeights(resolved, targets);
    const values = startsFromWeight(resolved.init)
      ? await Promise.all(targets.map(({ path, variable }) => this.original(path, variable).data()))
      : [];
    this.checkNew(caller, name);
    const root = seededRandom(resolved.seed);
    const modules = new Map<string, AdapterModule>();
    try {
      targets.forEach((target, i) => {
        modules.set(
          target.path,
          this.onOriginal(target, () =>
            createModule(target, resolved, name, root.fork(i + 1), values[i]),
          ),
        );
      });
    } catch (error) {
      for (const module of modules.values()) module.dispose();
      throw error;
    }
    const extras = new ExtraWeights(weights, this.baseValues);
    this.install({ name, options: resolved, modules, extras, random: root.fork(0) });
    if (this.activeWeights.size === 0 && !this.merged) this.activate(new Map([[name, 1]]));
    else this.update();
  }

  /**
   * Chooses the active adapters: their updates are added up.
   *
   * @param names - one or several
   * @param weights - what each counts by. Default: 1 each
   * @throws RangeError or Error for unknown names, weights that are not finite, two adapters that train the same weights
   *   whole, or while adapters are merged
   */
  setAdapter(names: string | readonly string[], weights?: readonly number[]): void {
    const caller = `${this.label}.setAdapter`;
    this.checkUnmerged(caller);
    const list = typeof names === 'string' ? [names] : [...names];
    this.checkNames(caller, list);
    const factors = weights ?? list.map(() => 1);
    if (factors.length !== list.length) {
      throw new RangeError(
        `${caller}: weights must be as many as names, ${list.length}, got ${factors.length}`,
      );
    }
    for (const weight of factors) checkNumber(caller, 'weights', weight);
    const owners = new Map<Variable, string>();
    for (const name of list) {
      for (const { variable, key } of this.adapters.get(name)!.extras.weights) {
        const other = owners.get(variable);
        if (other !== undefined) {
          throw new RangeError(
            `${caller}: names must not train one weight twice, got ${other} and ${name} for ${key}`,
          );
        }
        owners.set(variable, name);
      }
    }
    this.activate(new Map(list.map((name, i) => [name, factors[i]!])));
  }

  /** Lets the model run as it was pretrained, until {@link enableAdapters}. */
  disableAdapters(): void {
    this.checkUnmerged(`${this.label}.disableAdapters`);
    if (!this.isEnabled) return;
    this.swapExtras('out');
    this.isEnabled = false;
    this.update();
  }

  /** Undoes {@link disableAdapters}. */
  enableAdapters(): void {
    this.checkUnmerged(`${this.label}.enableAdapters`);
    if (this.isEnabled) return;
    this.isEnabled = true;
    this.swapExtras('in');
    this.update();
  }

  /**
   * Removes an adapter and frees it. If it was active, the other active ones remain so.
   * @throws RangeError or Error if there is no such adapter, or while adapters are merged
   */
  deleteAdapter(name: string): void {
    const caller = `${this.label}.deleteAdapter`;
    this.checkUnmerged(caller);
    this.checkNames(caller, [name]);
    const left = new Map([...this.activeWeights].filter(([other]) => other !== name));
    this.activate(left);
    const adapter = this.adapters.get(name)!;
    this.adapters.delete(name);
    disposeAdapter(adapter);
    this.update();
  }

  /**
   * Adds an adapter that is a weighted sum of others, computed once; `setAdapter(names, weights)` has the sum without it.
   *
   * @throws (rejects with) RangeError or TypeError for unknown names, adapters that are not plain LoRA or train weights
   *   whole, or ranks that do not fit
   */
  async addWeightedAdapter(
    names: readonly string[],
    weights: readonly number[],
    newName: string,
    options: WeightedOptions = {},
  ): Promise<void> {
    const caller = `${this.label}.addWeightedAdapter`;
    checkOptions(caller, options, ['combination', 'rank']);
    const { combination = 'cat', rank } = options;
    checkOneOf(caller, 'combination', combination, ['cat', 'svd', 'linear']);
    this.checkNew(caller, newName);
    this.checkNames(caller, names);
    if (weights.length !== names.length) {
      throw new RangeError(
        `${caller}: weights must be as many as names, ${names.length}, got ${weights.length}`,
      );
    }
    for (const weight of weights) checkNumber(caller, 'weights', weight);
    const sources = names.map((name) => this.adapters.get(name)!);
    const plain = ({ options: { method, useDora }, extras }: Adapter) =>
      method === 'lora' && !useDora && extras.weights.length === 0;
    const odd = sources.find((adapter) => !plain(adapter));
    if (odd) {
      throw new RangeError(
        `${caller}: names must be of plain LoRA adapters without weights trained whole, got ${odd.name}`,
      );
    }
    const parts = new Map<Target, Weighted[]>();
    for (const target of this.candidates()) {
      const list = sources.flatMap(({ modules }, i) => {
        const module = modules.get(target.path);
        return module instanceof LoraModule ? [{ module, weight: weights[i]! }] : [];
      });
      if (list.length === 0) continue;
      checkCombination(caller, target, list, combination, rank);
      parts.set(target, list);
    }
    const combined = new Map<Target, Combined>();
    for (const [target, list] of parts) {
      combined.set(target, await combine(target, list, combination, rank));
    }
    this.checkNew(caller, newName);
    const modules = new Map(
      [...combined].map(([target, { factors, r }]) => {
        const common = { n: 1, alpha: r, useRslora: false, useDora: false, fromInitial: false };
        return [target.path, new LoraModule(target, { ...common, r, name: newName }, factors)];
      }),
    );
    const resolved = { ...sources[0]!.options, n: 1, useRslora: false, alpha: undefined };
    this.install({
      name: newName,
      options: { ...resolved, init: 'kaiming', rankPattern: {}, alphaPattern: {} },
      modules,
      extras: new ExtraWeights([], this.baseValues),
      random: seededRandom(resolved.seed).fork(0),
    });
    this.update();
  }

  /**
   * Writes the active adapters into the pretrained weights: the forward pass is then the pretrained model's own, with
   * nothing added. {@link unmerge} brings the weights back bit for bit, since they are kept meanwhile.
   *
   * @param names - which. Default: the active ones. Those become the active ones
   * @throws RangeError or Error for unknown names, or if adapters are merged or switched off
   */
  merge(names?: string | readonly string[]): void {
    const merged = this.mergedWeights(`${this.label}.merge`, names);
    this.commitMerge(merged);
  }

  /**
   * {@link merge}, unless a merged weight holds NaN or an infinity: then nothing is changed.
   * @throws (rejects with) as {@link merge}, and NonFiniteError
   */
  async safeMerge(names?: string | readonly string[]): Promise<void> {
    const caller = `${this.label}.safeMerge`;
    const before = this.activeWeights;
    const merged = this.mergedWeights(caller, names);
    const weights = [...merged.values()];
    const finite = tidy(() => stack(weights.map((W) => cast(all(isFiniteTensor(W)), 'int32'))));
    const flags = await finite.data();
    finite.dispose();
    const bad = [...merged.keys()].filter((_, i) => flags[i] === 0);
    if (bad.length > 0) {
      for (const W of weights) W.dispose();
      this.activate(before);
      throw new NonFiniteError(
        `${caller}: merged weights must be finite, got NaN or an infinity in ${listNames(bad)}; nothing was changed`,
      );
    }
    this.commitMerge(merged);
  }

  /**
   * Brings the pretrained weights back, bit for bit.
   * @throws Error if nothing is merged
   */
  unmerge(): void {
    const caller = `${this.label}.unmerge`;
    this.checkUsable(caller);
    if (!this.originals) throw new Error(`${caller}: adapters must be merged, got none that is`);
    for (const { path, variable } of this.candidates()) {
      const original = this.originals.get(path);
      if (!original) continue;
      variable.assign(original);
      original.dispose();
    }
    this.originals = undefined;
    this.update();
  }

  /**
   * Merges the active adapters for good (if they are not yet), and takes everything of this library off the model, which
   * is left with its own weights alone.
   */
  mergeAndUnload(): void {
    if (!this.merged) this.merge();
    for (const original of this.originals!.values()) original.dispose();
    this.originals = undefined;
    // Weights trained whole keep the adapter's values.
    for (const value of this.baseValues.values()) value.dispose();
    this.baseValues.clear();
    this.end();
  }

  /** Takes all adapters off and frees them; the model is as it was before, bit for bit. Does nothing the second time. */
  dispose(): void {
    if (this.isOver) return;
    if (this.merged) this.unmerge();
    this.swapExtras('out');
    this.end();
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

  /** Counts parameters. */
  countParameters(): ParameterCount {
    const count = (list: readonly Tensor[]) => list.reduce((sum, x) => sum + x.size, 0);
    const adapters = [...this.adapters.values()].flatMap(({ modules, extras }) => [
      ...[...modules.values()].flatMap((module) => Object.values(module.factors)),
      ...extras.current(),
    ]);
    return {
      trainable: count(this.trainableVariables),
      adapters: count(adapters),
      base: count([...new Set(this.baseWeights().map(({ variable }) => variable))]),
    };
  }

  /** Every weight that can be adapted, and the adapters it has. */
  describe(): TargetDescription[] {
    return this.candidates().map(({ path, kind, variable: { shape } }) => ({
      path,
      kind,
      shape: [...shape],
      adapters: Object.fromEntries(
        [...this.adapters].flatMap(([name, { modules }]) => {
          const module = modules.get(path);
          if (!module) return [];
          return [[name, Object.values(module.factors).reduce((sum, x) => sum + x.size, 0)]];
        }),
      ),
    }));
  }

  /**
   * What an update adds to a weight, active adapters together; differentiable.
   * @param path - of a target
   * @returns the shape of the weight
   * @throws RangeError if there is no such target
   */
  delta(path: string): Tensor {
    const target = this.target(`${this.label}.delta`, path);
    return tidy(() => {
      const W = this.originalMatrix(target);
      const updates = this.listed(path).map(({ module, weight }) => mul(module.delta(W), weight));
      const total = updates.reduce((x, y) => add(x, y), mul(W, 0));
      return reshape(total, target.variable.shape);
    });
  }

  /**
   * Factors of plain LoRA adapters with the weights they adapt, for regularisers: `A [in, n r]`, `B [n r, out]`. Call it within
   * a tidy: the view of a kernel of higher rank as a matrix is a new tensor.
   * @param names - Default: the active ones
   */
  loraFactors(names?: readonly string[]): {
    readonly path: string;
    readonly adapter: string;
    readonly weight: Tensor;
    readonly A: Variable;
    readonly B: Variable;
    readonly n: number;
    readonly r: number;
  }[] {
    const caller = `${this.label}.loraFactors`;
    const list = names ?? [...this.activeWeights.keys()];
    this.checkNames(caller, list);
    return this.candidates().flatMap((target) =>
      list.flatMap((adapter) => {
        const module = this.adapters.get(adapter)!.modules.get(target.path);
        if (!(module instanceof LoraModule)) return [];
        const { A, B, options } = module;
        const weight = this.originalMatrix(target);
        return [{ path: target.path, adapter, weight, A, B, n: options.n, r: options.r }];
      }),
    );
  }

  /**
   * An adapter as PEFT's files: only its own numbers, and those of weights that it trains whole. A group of n updates of
   * rank r is one of rank n r there, which PEFT runs as such.
   *
   * @param name - Default: the only active one
   * @throws (rejects with) RangeError or Error if there is no such adapter
   * @example
   * const { config, weights } = await adapters.saveAdapter();
   * writeFileSync('adapter_config.json', JSON.stringify(config));
   * writeFileSync('adapter_model.safetensors', weights);
   */
  async saveAdapter(name?: string): Promise<AdapterFiles> {
    return toFiles(await this.content(`${this.label}.saveAdapter`, name));
  }

  /**
   * Adds an adapter from files of {@link saveAdapter} or of PEFT.
   *
   * @param files - `config` as parsed from JSON, `weights` as bytes
   * @throws (rejects with) CheckpointError if the files are damaged or belong to a model of other shapes or names; nothing
   *   is changed then
   */
  async loadAdapter(files: AdapterFiles, options: LoadOptions = {}): Promise<void> {
    const { mapPath } = this.checkLoad(`${this.label}.loadAdapter`, options);
    this.load(fromFiles(files, mapPath), options);
  }

  /**
   * Saves an adapter through a tfjs IO handler.
   * @param target - a handler, or a URL such as `indexeddb://my-adapter`
   * @throws (rejects with) RangeError or Error if there is no such adapter, TypeError if it is no handler
   */
  async saveTo(target: string | io.IOHandler, name?: string): Promise<io.SaveResult> {
    const caller = `${this.label}.saveTo`;
    const handler = resolveHandler(caller, target, 'save');
    return handler.save!(toArtifacts(await this.content(caller, name)));
  }

  /**
   * Adds an adapter that {@link saveTo} saved.
   * @throws (rejects with) as {@link loadAdapter}
   */
  async loadFrom(target: string | io.IOHandler, options: LoadOptions = {}): Promise<void> {
    const caller = `${this.label}.loadFrom`;
    const { mapPath } = this.checkLoad(caller, options);
    const artifacts = await resolveHandler(caller, target, 'load').load!();
    this.load(fromArtifacts(artifacts, mapPath), options);
  }

  /** Modules that take part at a path. */
  protected modulesAt(path: string): ActiveModule[] {
    return this.isEnabled && !this.merged ? this.listed(path) : [];
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

  private listed(path: string): ActiveModule[] {
    return [...this.activeWeights].flatMap(([name, weight]) => {
      const { modules, options, random } = this.adapters.get(name)!;
      const module = modules.get(path);
      return module ? [{ module, weight, dropout: options.dropout, random }] : [];
    });
  }

  private trained() {
    const on = this.isEnabled && !this.merged;
    const active = on ? [...this.activeWeights.keys()].map((name) => this.adapters.get(name)!) : [];
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
  private update(): void {
    const { extras } = this.trained();
    const factors = new Set(this.factorVariables());
    for (const { modules } of this.adapters.values()) {
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

  private activate(next: ReadonlyMap<string, number>): void {
    if (this.isEnabled) this.swapExtras('out');
    this.activeWeights = next;
    if (this.isEnabled) this.swapExtras('in');
    this.update();
  }

  private swapExtras(direction: 'in' | 'out'): void {
    if (!this.isEnabled) return;
    for (const name of this.activeWeights.keys()) {
      const { extras } = this.adapters.get(name)!;
      if (direction === 'in') extras.swapIn(this.baseValues);
      else extras.swapOut(this.baseValues);
    }
  }

  private install(adapter: Adapter): void {
    this.adapters.set(adapter.name, adapter);
  }

  private end(): void {
    this.isOver = true;
    for (const { flag } of this.baseWeights()) flag.trainable = this.flags.get(flag) ?? true;
    this.detach();
    for (const adapter of this.adapters.values()) disposeAdapter(adapter);
    this.adapters.clear();
    this.activeWeights = new Map();
  }

  /** The weight as pretrained, merged or not. */
  private original(path: string, variable: Variable): Tensor {
    return this.originals?.get(path) ?? variable;
  }

  private originalMatrix(target: Target): Tensor {
    const W = this.original(target.path, target.variable);
    return W.rank === 2 ? W : reshape(W, [target.inSize, target.outSize]);
  }

  /** Runs `work` with the target's variable as pretrained. */
  private onOriginal<T>(target: Target, work: () => T): T {
    const original = this.originals?.get(target.path);
    if (!original) return work();
    const merged = hold(target.variable);
    target.variable.assign(original);
    try {
      return work();
    } finally {
      target.variable.assign(merged);
      merged.dispose();
    }
  }

  private select(caller: string, options: ResolvedOptions): readonly Target[] {
    const { targetModules, excludeModules, layersToTransform } = options;
    const infoOf = ({ path, kind, variable }: Target): TargetInfo => ({
      path,
      kind,
      shape: [...variable.shape],
    });
    const isAll = targetModules === 'allLinear';
    const pool = isAll ? this.linearTargets() : this.candidates();
    const wanted = isAll ? () => true : matcher(targetModules);
    const unwanted = excludeModules === undefined ? () => false : matcher(excludeModules);
    const whole =
      options.modulesToSave === undefined ? () => false : matcher(options.modulesToSave);
    const chosen = pool.filter((target) => {
      const info = infoOf(target);
      const layer = Number(/\d+/.exec(target.path)?.[0] ?? Number.NaN);
      if (layersToTransform && !layersToTransform.includes(layer)) return false;
      return wanted(info) && !unwanted(info) && !(isAll && whole(info));
    });
    if (chosen.length === 0) {
      const names = listNames(this.candidates().map(({ path }) => path));
      throw new RangeError(`${caller}: targetModules must match a module, got none of ${names}`);
    }
    const both = chosen.filter((target) => whole(infoOf(target)));
    if (both.length > 0) {
      const names = listNames(both.map(({ path }) => path));
      throw new RangeError(
        `${caller}: modulesToSave must not be targets too, got ${names} as both`,
      );
    }
    return chosen;
  }

  private mergedWeights(
    caller: string,
    names?: string | readonly string[],
  ): ReadonlyMap<string, Tensor> {
    this.checkUsable(caller);
    if (this.merged) {
      const list = listNames([...this.activeWeights.keys()]);
      throw new Error(
        `${caller}: adapters must not be merged already, got ${list} merged; unmerge first`,
      );
    }
    if (!this.isEnabled) throw new Error(`${caller}: adapters must be enabled, got disabled ones`);
    if (names !== undefined) this.setAdapter(names);
    if (this.activeWeights.size === 0) {
      throw new Error(`${caller}: an adapter must be active, got none`);
    }
    return new Map(
      this.candidates()
        .filter(({ path }) => this.listed(path).length > 0)
        .map((target) => [target.path, this.effectiveWeight(target)]),
    );
  }

  private commitMerge(merged: ReadonlyMap<string, Tensor>): void {
    const originals = new Map<string, Tensor>();
    for (const { path, variable } of this.candidates()) {
      const W = merged.get(path);
      if (!W) continue;
      originals.set(path, hold(variable));
      variable.assign(W);
      W.dispose();
    }
    this.originals = originals;
    this.update();
  }

  private async content(caller: string, name?: string): Promise<AdapterContent> {
    this.checkUsable(caller);
    const active = [...this.activeWeights.keys()];
    const chosen = name ?? active[0];
    if (chosen === undefined || (name === undefined && active.length > 1)) {
      throw new RangeError(`${caller}: name must be given unless one adapter is active, got none`);
    }
    this.checkNames(caller, [chosen]);
    const { options, modules, extras, random } = this.adapters.get(chosen)!;
    const targets = this.candidates().filter(({ path }) => modules.has(path));
    const scales = new Map<string, ModuleScale>();
    let fromInitial = false;
    for (const { path } of targets) {
      const module = modules.get(path)!;
      if (module instanceof LoraModule) {
        scales.set(path, module.fileScale());
        fromInitial = module.options.fromInitial;
      } else if (module instanceof GraloraModule) scales.set(path, module.options);
      else scales.set(path, { r: 0, alpha: 1 });
    }
    const { modules: whole } = this.extraWeights(options, targets);
    const { n, init, seed } = options;
    const own: OwnHeader = {
      n,
      fromInitial,
      init,
      seed,
      random: random.state(),
    };
    const [parts, values] = await Promise.all([
      Promise.all(targets.map((target) => modules.get(target.path)!.save(target))),
      Promise.all(
        extras.current().map(async (x) => ({
          shape: x.shape,
          data: Float32Array.from(await x.data()),
        })),
      ),
    ]);
    return {
      config: toPeftConfig(options, scales, whole),
      own: JSON.stringify(own),
      modules: new Map(targets.map(({ path }, i) => [path, new Map(Object.entries(parts[i]!))])),
      extras: new Map(extras.weights.map((extra, i) => [extra.key, extra.toFile(values[i]!)])),
    };
  }

  private checkLoad(caller: string, options: LoadOptions) {
    checkOptions(caller, options, ['name', 'activate', 'mapPath']);
    const { name = 'default', mapPath = (path: string) => path } = options;
    this.checkNew(caller, name);
    return { mapPath };
  }

  private load(content: AdapterContent, { name = 'default', activate }: LoadOptions): void {
    this.checkNew(`${this.label}.loadAdapter`, name);
    const config = parsePeftConfig(content.config);
    const own = parseOwnHeader(content.own);
    const candidates = new Map(this.candidates().map((target) => [target.path, target]));
    const foreign = [...content.modules.keys()].filter((path) => !candidates.has(path));
    if (foreign.length > 0 || content.modules.size === 0) {
      const here = listNames([...candidates.keys()]);
      throw new CheckpointError(
        `loadAdapter: the file must be of modules that are here (${here}), got ${listNames(foreign)}; nothing was changed`,
      );
    }
    const targets = [...content.modules.keys()].map((path) => candidates.get(path)!);
    const options: ResolvedOptions = {
      ...optionsOf(config, own, targets),
      modulesToSave: modulesOf(content.extras, config.bias),
    };
    const { weights } = this.extraWeights(options, targets);
    const values = extraValues(weights, content.extras);
    const random = own?.random ? restoreRandom(own.random) : seededRandom(options.seed).fork(0);
    const modules = loadModules(targets, content.modules, config, own, name, (target, make) =>
      this.onOriginal(target, make),
    );
    const extras = new ExtraWeights(weights, this.baseValues);
    const tensors = weights.map(({ variable }, i) => tensor(values[i]!.data, variable.shape));
    extras.replace(tensors);
    for (const x of tensors) x.dispose();
    this.install({ name, options, modules, extras, random });
    const wanted = activate ?? this.activeWeights.size === 0;
    if (wanted && !this.merged) this.activate(new Map([[name, 1]]));
    else this.update();
  }

  private checkNew(caller: string, name: string): void {
    this.checkUsable(caller);
    if (typeof name !== 'string' || name.length === 0 || /[./]/.test(name)) {
      throw new RangeError(
        `${caller}: name must be a text without dots and slashes, got ${JSON.stringify(name)}`,
      );
    }
    if (this.adapters.has(name)) {
      throw new RangeError(`${caller}: name must be new, got ${JSON.stringify(name)} again`);
    }
  }

  private checkNames(caller: string, names: readonly string[]): void {
    this.checkUsable(caller);
    if (!Array.isArray(names as unknown) || names.length === 0) {
      throw new RangeError(`${caller}: names must hold an adapter, got ${JSON.stringify(names)}`);
    }
    if (new Set(names).size !== names.length) {
      throw new RangeError(`${caller}: names must differ, got ${listNames(names)}`);
    }
    const unknown = names.filter((name) => !this.adapters.has(name));
    if (unknown.length === 0) return;
    const known = listNames(this.adapterNames);
    throw new RangeError(`${caller}: names must be among ${known}, got ${listNames(unknown)}`);
  }

  private checkUnmerged(caller: string): void {
    this.checkUsable(caller);
    if (!this.merged) return;
    const list = listNames([...this.activeWeights.keys()]);
    throw new Error(`${caller}: adapters must not be merged, got ${list} merged; unmerge first`);
  }
}

function disposeAdapter({ modules, extras }: Adapter): void {
  for (const module of modules.values()) module.dispose();
  extras.dispose();
}

/** Options that a file's adapter amounts to. */
function optionsOf(
  config: ReturnType<typeof parsePeftConfig>,
  own: OwnHeader | undefined,
  targets: readonly Target[],
): ResolvedOptions {
  const { method, bias, useRslora, useDora, dropout, k, blockSize, neumannTerms } = config;
  return {
    ...resolveOptions('loadAdapter', { method, bias }),
    useRslora,
    useDora,
    dropout,
    k,
    blockSize,
    neumannTerms,
    n: own?.n ?? 1,
    init: own?.init ?? 'kaiming',
    seed: own?.seed ?? 0,
    targetModules: targets.map(({ path }) => path),
  };
}

/** Paths of modules of which a file has more than a bias, or a bias that the bias mode does not explain. */
function modulesOf(
  extras: ReadonlyMap<string, FileTensor>,
  bias: ResolvedOptions['bias'],
): readonly string[] | undefined {
  const keys = [...extras.keys()].filter((key) => bias === 'none' || !key.endsWith('.bias'));
  const paths = [...new Set(keys.map((key) => key.replace(/\.[^.]*$/, '')))];
  return paths.length > 0 ? paths : undefined;
}

/** Values out of a file in the model's layout, all checked. */
function extraValues(
  weights: readonly ExtraWeight[],
  file: ReadonlyMap<string, FileTensor>,
): FileTensor[] {
  const keys = new Set(weights.map(({ key }) => key));
  const strange = [...file.keys()].filter((key) => !keys.has(key));
  const missing = [...keys].filter((key) => !file.has(key));
  if (strange.length > 0 || missing.length > 0) {
    const problem = `the file's other weights must be those of its modules, got ${listNames(strange)} too many and ${listNames(missing)} missing`;
    throw new CheckpointError(`loadAdapter: ${problem}; nothing was changed`);
  }
  return weights.map((extra) => {
    const { key, variable } = extra;
    const x = file.get(key)!;
    const inLayout = extra.fromFile(x);
    expectShape(key, inLayout, variable.shape);
    return inLayout;
  });
}
