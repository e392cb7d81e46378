import { checkOptions } from '@orth/backend';
import {
  add,
  type io,
  mul,
  reshape,
  type Tensor,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import {
  type AdapterContent,
  type AdapterFiles,
  fromFiles,
  toFiles,
} from '../files/adapterFile.js';
import { fromArtifacts, resolveHandler, toArtifacts } from '../files/ioHandler.js';
import { adapterOf, contentOf } from './adapterContent.js';
import { checkWeights } from './adapterRegistry.js';
import { AdapterState } from './adapterState.js';
import type {
  LoadOptions,
  ParameterCount,
  TargetDescription,
  WeightedOptions,
} from './adapterTypes.js';
import { checkTargets } from './createModule.js';
import { LoraModule } from './loraModule.js';
import { makeAdapter, startingValues } from './makeAdapter.js';
import { listNames } from './matchTargets.js';
import { checkFiniteWeights } from './mergedWeights.js';
import { type AdapterOptions, resolveOptions } from './options.js';
import { selectTargets } from './selectTargets.js';
import { checkWeightedOptions, combineTargets, weightedAdapter } from './weightedAdapter.js';
/**
 * Adapters of a model: the part that does not depend on what a model is. Some are active, each with a weight; merging
 * writes the active ones into the pretrained weights and removes every trace of them from the forward pass.
 *
 * Longer than other files, since it is all that users can do; each method only ties together what others do.
 */
export abstract class AdapterSet extends AdapterState {
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
    const pools = { candidates: this.candidates(), linear: this.linearTargets() };
    const targets = selectTargets(caller, resolved, pools);
    checkTargets(caller, targets, resolved);
    const { weights: extras } = this.extraWeights(resolved, targets);
    const values = await startingValues(targets, resolved, this.pretrained);
    this.checkNew(caller, name);
    const { baseValues } = this.registry;
    const parts = { weights: this.pretrained, extras, baseValues };
    this.install(makeAdapter(name, resolved, targets, values, parts));
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
    checkWeights(caller, list, factors);
    this.registry.checkOwners(caller, list);
    this.activate(new Map(list.map((name, i) => [name, factors[i]!])));
  }

  /** Lets the model run as it was pretrained, until {@link enableAdapters}. */
  disableAdapters(): void {
    this.checkUnmerged(`${this.label}.disableAdapters`);
    this.registry.enable(false);
    this.update();
  }

  /** Undoes {@link disableAdapters}. */
  enableAdapters(): void {
    this.checkUnmerged(`${this.label}.enableAdapters`);
    this.registry.enable(true);
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
    this.activate(new Map([...this.registry.active].filter(([other]) => other !== name)));
    this.registry.remove(name);
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
    const settings = checkWeightedOptions(caller, options);
    this.checkNew(caller, newName);
    this.checkNames(caller, names);
    checkWeights(caller, names, weights);
    const sources = names.map((name) => this.registry.get(name));
    const targets = this.candidates();
    const combined = await combineTargets(caller, targets, sources, weights, settings);
    this.checkNew(caller, newName);
    this.registry.add(weightedAdapter(newName, combined, sources[0]!, this.registry.baseValues));
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
    const before = this.registry.active;
    const merged = this.mergedWeights(caller, names);
    try {
      await checkFiniteWeights(caller, merged);
    } catch (error) {
      this.activate(before);
      throw error;
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
    if (!this.merged) throw new Error(`${caller}: adapters must be merged, got none that is`);
    this.pretrained.restore(this.candidates());
    this.update();
  }

  /**
   * Merges the active adapters for good (if they are not yet), and takes everything of this library off the model, which
   * is left with its own weights alone.
   */
  mergeAndUnload(): void {
    if (!this.merged) this.merge();
    this.pretrained.forget();
    // Weights trained whole keep the adapter's values.
    this.registry.forgetBase();
    this.end();
  }

  /** Takes all adapters off and frees them; the model is as it was before, bit for bit. Does nothing the second time. */
  dispose(): void {
    if (this.disposed) return;
    if (this.merged) this.unmerge();
    this.registry.takeOut();
    this.end();
  }

  /** Counts parameters. */
  countParameters(): ParameterCount {
    const count = (list: readonly Tensor[]) => list.reduce((sum, x) => sum + x.size, 0);
    const adapters = this.registry
      .all()
      .flatMap(({ modules, extras }) => [
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
        this.registry.all().flatMap(({ name, modules }) => {
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
      const W = this.pretrained.originalMatrix(target);
      const updates = this.registry
        .modulesAt(path)
        .map(({ module, weight }) => mul(module.delta(W), weight));
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
    const list = names ?? [...this.registry.active.keys()];
    this.checkNames(caller, list);
    return this.candidates().flatMap((target) =>
      list.flatMap((adapter) => {
        const module = this.registry.get(adapter).modules.get(target.path);
        if (!(module instanceof LoraModule)) return [];
        const { A, B, options } = module;
        const weight = this.pretrained.originalMatrix(target);
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

  private mergedWeights(
    caller: string,
    names?: string | readonly string[],
  ): ReadonlyMap<string, Tensor> {
    this.checkUsable(caller);
    if (this.merged) {
      const list = listNames([...this.registry.active.keys()]);
      throw new Error(
        `${caller}: adapters must not be merged already, got ${list} merged; unmerge first`,
      );
    }
    if (!this.enabled) throw new Error(`${caller}: adapters must be enabled, got disabled ones`);
    if (names !== undefined) this.setAdapter(names);
    if (this.registry.active.size === 0) {
      throw new Error(`${caller}: an adapter must be active, got none`);
    }
    return new Map(
      this.candidates()
        .filter(({ path }) => this.registry.modulesAt(path).length > 0)
        .map((target) => [target.path, this.effectiveWeight(target)]),
    );
  }

  private commitMerge(merged: ReadonlyMap<string, Tensor>): void {
    this.pretrained.commit(this.candidates(), merged);
    this.update();
  }

  private async content(caller: string, name?: string): Promise<AdapterContent> {
    this.checkUsable(caller);
    const active = [...this.registry.active.keys()];
    const chosen = name ?? active[0];
    if (chosen === undefined || (name === undefined && active.length > 1)) {
      throw new RangeError(`${caller}: name must be given unless one adapter is active, got none`);
    }
    this.checkNames(caller, [chosen]);
    const adapter = this.registry.get(chosen);
    const targets = this.candidates().filter(({ path }) => adapter.modules.has(path));
    return contentOf(adapter, targets, this.extraWeights(adapter.options, targets).modules);
  }

  private checkLoad(caller: string, options: LoadOptions) {
    checkOptions(caller, options, ['name', 'activate', 'mapPath']);
    const { name = 'default', mapPath = (path: string) => path } = options;
    this.checkNew(caller, name);
    return { mapPath };
  }

  private load(content: AdapterContent, { name = 'default', activate }: LoadOptions): void {
    this.checkNew(`${this.label}.loadAdapter`, name);
    const adapter = adapterOf(content, name, {
      candidates: this.candidates(),
      baseValues: this.registry.baseValues,
      extraWeights: (options, targets) => this.extraWeights(options, targets).weights,
      onOriginal: (target, work) => this.pretrained.onOriginal(target, work),
    });
    this.install(adapter, activate);
  }
}
