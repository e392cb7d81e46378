import { checkNumber } from '@orth/backend';
import type { Variable } from '@tensorflow/tfjs-core';
import type { ActiveModule, Adapter } from './adapterTypes.js';
import type { BaseValues } from './extraWeights.js';
import { listNames } from './matchTargets.js';

/**
 * Which adapters there are, which of them are active, and with what weight. Weights that an adapter trains whole are in the
 * model while it is active; the pretrained ones wait in {@link baseValues}.
 */
export class AdapterRegistry {
  readonly baseValues: BaseValues = new Map();
  private readonly adapters = new Map<string, Adapter>();
  private weights: ReadonlyMap<string, number> = new Map();
  private isEnabled = true;

  /** Names of all adapters, in the order they came. */
  get names(): readonly string[] {
    return [...this.adapters.keys()];
  }

  /** Active adapters with their weights. */
  get active(): ReadonlyMap<string, number> {
    return this.weights;
  }

  /** Whether active adapters take part. */
  get enabled(): boolean {
    return this.isEnabled;
  }

  /** All adapters. */
  all(): readonly Adapter[] {
    return [...this.adapters.values()];
  }

  /** An adapter that is known to be there. */
  get(name: string): Adapter {
    return this.adapters.get(name)!;
  }

  /** Adds an adapter, not active. */
  add(adapter: Adapter): void {
    this.adapters.set(adapter.name, adapter);
  }

  /** Removes an adapter that is not active, and frees it. */
  remove(name: string): void {
    const adapter = this.get(name);
    this.adapters.delete(name);
    disposeAdapter(adapter);
  }

  /** Removes and frees all. */
  clear(): void {
    for (const adapter of this.adapters.values()) disposeAdapter(adapter);
    this.adapters.clear();
    this.weights = new Map();
  }

  /** Makes these the active ones. */
  activate(next: ReadonlyMap<string, number>): void {
    this.swapExtras('out');
    this.weights = next;
    this.swapExtras('in');
  }

  /** Lets active adapters take part or not. */
  enable(enabled: boolean): void {
    if (enabled === this.isEnabled) return;
    if (!enabled) this.swapExtras('out');
    this.isEnabled = enabled;
    this.swapExtras('in');
  }

  /** Puts the pretrained values of all weights back into the model. */
  takeOut(): void {
    this.swapExtras('out');
  }

  /** Leaves the adapters' values in the model for good. */
  forgetBase(): void {
    for (const value of this.baseValues.values()) value.dispose();
    this.baseValues.clear();
  }

  /** Modules of active adapters at a path, whether they take part or not. */
  modulesAt(path: string): ActiveModule[] {
    return [...this.weights].flatMap(([name, weight]) => {
      const { modules, options, random } = this.get(name);
      const module = modules.get(path);
      return module ? [{ module, weight, dropout: options.dropout, random }] : [];
    });
  }

  /** @throws RangeError unless `name` is a free name without dots and slashes, which separate parts of names in files */
  checkNew(caller: string, name: string): void {
    if (typeof name !== 'string' || name.length === 0 || /[./]/.test(name)) {
      throw new RangeError(
        `${caller}: name must be a text without dots and slashes, got ${JSON.stringify(name)}`,
      );
    }
    if (this.adapters.has(name)) {
      throw new RangeError(`${caller}: name must be new, got ${JSON.stringify(name)} again`);
    }
  }

  /** @throws RangeError unless `names` are different names of adapters, at least one */
  checkNames(caller: string, names: readonly string[]): void {
    if (!Array.isArray(names as unknown) || names.length === 0) {
      throw new RangeError(`${caller}: names must hold an adapter, got ${JSON.stringify(names)}`);
    }
    if (new Set(names).size !== names.length) {
      throw new RangeError(`${caller}: names must differ, got ${listNames(names)}`);
    }
    const unknown = names.filter((name) => !this.adapters.has(name));
    if (unknown.length === 0) return;
    const known = listNames(this.names);
    throw new RangeError(`${caller}: names must be among ${known}, got ${listNames(unknown)}`);
  }

  /** @throws RangeError if two of these adapters train the same weight whole */
  checkOwners(caller: string, names: readonly string[]): void {
    const owners = new Map<Variable, string>();
    for (const name of names) {
      for (const { variable, key } of this.get(name).extras.weights) {
        const other = owners.get(variable);
        if (other !== undefined) {
          throw new RangeError(
            `${caller}: names must not train one weight twice, got ${other} and ${name} for ${key}`,
          );
        }
        owners.set(variable, name);
      }
    }
  }

  private swapExtras(direction: 'in' | 'out'): void {
    if (!this.isEnabled) return;
    for (const name of this.weights.keys()) {
      const { extras } = this.get(name);
      if (direction === 'in') extras.swapIn(this.baseValues);
      else extras.swapOut(this.baseValues);
    }
  }
}

/** @throws TypeError or RangeError unless there is a finite weight for each name */
export function checkWeights(
  caller: string,
  names: readonly string[],
  weights: readonly number[],
): void {
  if (weights.length !== names.length) {
    throw new RangeError(
      `${caller}: weights must be as many as names, ${names.length}, got ${weights.length}`,
    );
  }
  for (const weight of weights) checkNumber(caller, 'weights', weight);
}

function disposeAdapter({ modules, extras }: Adapter): void {
  for (const module of modules.values()) module.dispose();
  extras.dispose();
}
