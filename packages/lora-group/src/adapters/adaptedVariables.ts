import { checkBoolean, checkOptions } from '@orth/backend';
import { add, dropout as dropOut, mul, type Tensor, tidy, Variable } from '@tensorflow/tfjs-core';
import { linear } from '../lora/linear.js';
import { checkInput } from '../lora/lora.js';
import { AdapterSet } from './adapterSet.js';
import type { ExtraWeight } from './extraWeights.js';
import { matcher } from './matchTargets.js';
import type { ResolvedOptions } from './options.js';
import { matrixSize, type Target } from './target.js';

/** Options of {@link AdaptedVariables.apply}. */
export interface ApplyOptions {
  /** Shape `[out]`. Default: none */
  readonly bias?: Tensor;
  /** Whether dropout acts. Default false */
  readonly training?: boolean;
}

/** Greatest seed for one of tfjs's masks. */
export const GREATEST_SEED = 2 ** 31 - 1;

/**
 * Adapters of plain variables, for models written as functions: use {@link apply} in place of `matMul(x, W)`, or
 * {@link weight} in place of `W` in any other operation.
 */
export class AdaptedVariables extends AdapterSet {
  private readonly targets: readonly Target[];

  /** Use `adapt`. */
  constructor(private readonly variables: Readonly<Record<string, Variable>>) {
    super('AdaptedVariables');
    this.targets = Object.entries(variables)
      .filter(([, variable]) => variable.rank >= 2)
      .map(([path, variable]) => {
        const kind = variable.rank === 2 ? ('dense' as const) : ('weight' as const);
        return { path, kind, variable, ...matrixSize(variable.shape) };
      });
    this.begin();
  }

  /**
   * `x W + b` with the active adapters, `s (x A) B` beside `x W`, so that a step costs no gradient of `W`'s size.
   *
   * @param path - name of a variable of rank 2
   * @param x - shape `[…, in]`
   * @returns shape `[…, out]`
   * @throws TypeError or RangeError for another path, rank or shape
   */
  apply(path: string, x: Tensor, options: ApplyOptions = {}): Tensor {
    const caller = 'AdaptedVariables.apply';
    this.checkUsable(caller);
    checkOptions(caller, options, ['bias', 'training']);
    const { bias, training = false } = options;
    checkBoolean(caller, 'training', training);
    const target = this.target(caller, path);
    if (target.kind !== 'dense') {
      const { shape } = target.variable;
      throw new RangeError(`${caller}: ${path} must have rank 2, got shape [${shape}]; use weight`);
    }
    checkInput(caller, x, target.variable, bias);
    return tidy(() => {
      const y = this.product(target, x, training);
      return bias ? add(y, bias) : y;
    });
  }

  /**
   * A weight with the active adapters' updates, for use in any operation; differentiable with respect to their factors.
   * Dropout, which acts on inputs, has no part in it.
   *
   * @param path - name of a variable
   * @returns the variable's shape; the variable itself where no adapter takes part, else a new tensor
   * @throws RangeError for another path
   */
  weight(path: string): Tensor {
    const caller = 'AdaptedVariables.weight';
    this.checkUsable(caller);
    return this.effectiveWeight(this.target(caller, path));
  }

  protected candidates(): readonly Target[] {
    return this.targets;
  }

  protected linearTargets(): readonly Target[] {
    return this.targets.filter(({ kind }) => kind === 'dense');
  }

  protected baseWeights() {
    return Object.values(this.variables).map((variable) => ({ flag: variable, variable }));
  }

  protected extraWeights({ modulesToSave }: ResolvedOptions) {
    if (modulesToSave === undefined) return { weights: [], modules: [] };
    const matches = matcher(modulesToSave);
    const modules = Object.keys(this.variables).filter((path) =>
      matches({ path, kind: 'weight', shape: [...this.variables[path]!.shape] }),
    );
    if (modules.length === 0) {
      throw new RangeError(
        `AdaptedVariables: modulesToSave must match a variable, got none of ${Object.keys(this.variables).join(', ')}`,
      );
    }
    const weights: ExtraWeight[] = modules.map((path) => ({
      key: `${path}.weight`,
      variable: this.variables[path]!,
      toFile: (x) => x,
      fromFile: (x) => x,
    }));
    return { weights, modules };
  }

  protected refresh(): void {}

  protected detach(): void {}

  private product(target: Target, x: Tensor, training: boolean): Tensor {
    const W = target.variable;
    const active = this.modulesAt(target.path);
    if (active.some(({ module }) => !module.addsToOutput)) {
      return linear(x, this.effectiveWeight(target));
    }
    const base = linear(x, W);
    return active.reduce((y, { module, weight, dropout, random }) => {
      const input =
        training && dropout > 0
          ? dropOut(x, dropout, undefined, random.integer(0, GREATEST_SEED))
          : x;
      const update = module.contribution({
        project: (A) => linear(input, A),
        input: () => input,
        base: () => base,
        weight: () => W,
      });
      return add(y, weight === 1 ? update : mul(update, weight));
    }, base);
  }
}

/** Whether something is a record of variables. */
export function isVariables(x: unknown): x is Readonly<Record<string, Variable>> {
  if (typeof x !== 'object' || x === null || Array.isArray(x)) return false;
  const values = Object.values(x);
  return values.length > 0 && values.every((value) => value instanceof Variable);
}
