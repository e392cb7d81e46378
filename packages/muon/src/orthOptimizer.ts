import { checkTensor, NonFiniteError } from '@orth/backend';
import {
  engine,
  keep,
  Optimizer,
  type Scalar,
  type serialization,
  type Tensor,
  tidy,
  type Variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { matchState, type OptimizerState, parseState, type VariableState } from './checkpoint.js';
import { clipGradients } from './clipGradients.js';
import { optionsFromJSON, optionsToJSON } from './config.js';
import { DeferredChecks } from './deferredChecks.js';
import { areFinite, finiteMask, firstNonFinite, readsAtOnce } from './finiteness.js';
import { fromNamedTensors, type NamedTensor, toNamedTensors } from './namedWeights.js';
import { resolveStepOptions, type StepOptions, type VariableInfo } from './options.js';
import type { GroupDescription } from './routing.js';
import { commit, fill, readSlots, stateOf } from './slotState.js';
import {
  disposeUnit,
  pack,
  partition,
  sizeOf,
  type Target,
  type UnitInput,
  type UnitOutput,
  type Update,
  type UpdateMethod,
  unitOf,
} from './targets.js';

/** Gradients by variable name, or a list of them; absent ones are null or undefined. */
export type Gradients = Parameters<Optimizer['applyGradients']>[0];

/** What a subclass decides about a variable. */
export interface Route<Plan = unknown> extends Omit<GroupDescription, 'name' | 'shape'> {
  /** The rule that updates it; absent: the variable stays as it is. */
  readonly method?: UpdateMethod<Plan>;
  readonly plan?: Plan;
}

type Met = ReadonlyMap<string, Target | null>;

/**
 * What every optimizer of this package has: routing, state, schedules, checkpoints, clipping, and the promise that a
 * step with a gradient that is not finite changes nothing. A subclass says who updates which variable; the update
 * itself is a pure {@link UpdateMethod}.
 *
 * This file is longer than others since tfjs wants one class with all of these methods; each only ties together what
 * other files do.
 */
export abstract class OrthOptimizer<Options extends StepOptions> extends Optimizer {
  private readonly step: ReturnType<typeof resolveStepOptions>;
  /** Variables met so far; null for frozen ones. */
  private readonly targets = new Map<string, Target | null>();
  /** Saved state whose variables have not been met. */
  private waiting: readonly VariableState[] = [];
  private readonly checks = new DeferredChecks();
  private exported: readonly Tensor[] = [];
  private disposed = false;
  private skipped = 0;

  /** @param label - name in messages */
  protected constructor(
    private readonly label: string,
    private readonly options: Options,
  ) {
    super();
    this.step = resolveStepOptions(label, options);
  }

  /**
   * Decides what happens to a variable.
   * @throws RangeError or TypeError if an explicit group cannot take it
   */
  protected abstract route(variable: VariableInfo): Route;

  /** Steps that were not taken because a gradient was not finite. */
  get nonFiniteSteps(): number {
    return this.skipped;
  }

  /**
   * Evaluates `f`, and updates variables so as to lower its value.
   * @param f - returns the loss, a tensor of rank 0
   * @param returnCost - whether to return the loss. Default false
   * @param varList - variables to train. Default: all trainable ones
   * @returns the loss, which the caller disposes, or null
   * @throws as {@link applyGradients} does; no tensor is left behind then
   */
  override minimize(f: () => Tensor, returnCost = false, varList?: Variable[]): Scalar | null {
    // tfjs's ops return `Tensor`, and it checks the rank itself.
    const { value, grads } = this.computeGradients(f as () => Scalar, varList);
    let done = false;
    try {
      const list = varList?.map(({ name }) => ({ name, tensor: grads[name] as Tensor }));
      this.applyGradients(list ?? (grads as Gradients));
      done = true;
    } finally {
      for (const gradient of Object.values(grads)) gradient?.dispose();
      if (!done || !returnCost) value.dispose();
    }
    return returnCost ? value : null;
  }

  /**
   * One step. Gradients are neither changed nor disposed. Everything is checked before anything is changed.
   *
   * On backends that cannot be read at once (webgpu, webgl) a gradient that is not finite is found on the device: there
   * too nothing is written, but the error comes with a later step or with {@link settle}.
   *
   * @param gradients - by variable name, or a list of `{ name, tensor }`; a missing one may be null or undefined
   * @throws NonFiniteError if a gradient holds NaN or an infinity, unless `onNonFinite` is `'skip'`
   * @throws TypeError, RangeError or Error for an unknown name, a wrong shape or dtype, a schedule's value out of range,
   *   or after {@link dispose}
   */
  override applyGradients(gradients: Gradients): void {
    this.checkUsable();
    this.checks.throwFailure();
    const { updates, met } = this.collect(gradients);
    const groups = partition(updates);
    tidy(() => {
      let flats = groups.map((group) => pack(group.map(gradientOf)));
      const now = readsAtOnce();
      if (now && !areFinite(flats)) return this.refuse(updates);
      const mask = now || flats.length === 0 ? undefined : finiteMask(flats);
      if (this.step.clipNorm !== undefined && flats.length > 0) {
        flats = clipGradients(flats, this.step.clipNorm);
      }
      this.remember(met);
      const inputs = groups.map((group, i) => prepare(group, flats[i]!));
      const outputs = this.compute(inputs);
      // Nothing has changed so far, and nothing below throws.
      groups.forEach((group, i) => {
        commit(group, outputs[i]!, inputs[i]!, mask);
      });
      this.incrementIterations();
      if (mask) this.checks.watch(keep(mask), this.takeBack(updates));
    });
  }

  /**
   * Waits until every step so far is known to have had finite gradients; on cpu, wasm and native backends it is already.
   * @throws NonFiniteError if one had not, and `onNonFinite` is `'throw'`
   */
  async settle(): Promise<void> {
    await this.checks.arrived();
    this.checks.throwFailure();
  }

  /**
   * How each variable is treated, and why; print it with `formatGroups`.
   * @param variables - variables, or a model's `trainableWeights`. Default: those met so far, else all trainable ones
   */
  describeGroups(variables?: readonly VariableInfo[]): GroupDescription[] {
    const registered = Object.values(engine().registeredVariables) as Variable[];
    const met = registered.filter(({ name }) => this.targets.has(name));
    const list = variables ?? (met.length > 0 ? met : registered.filter((v) => v.trainable));
    if (!Array.isArray(list as unknown)) {
      const rule = 'variables must be an array, such as model.trainableWeights';
      throw new TypeError(`${this.label}.describeGroups: ${rule}, got ${typeof list}`);
    }
    return list.map(({ name, shape }) => {
      const { optimizer, matrixShape, matrices, reason } = this.route({ name, shape });
      return { name, shape: [...shape], optimizer, matrixShape, matrices, reason };
    });
  }

  /** Bytes of state kept between steps: momenta and moments, not the weights. */
  stateBytes(): number {
    const met = this.known().flatMap(({ unit, slots }) => (unit ? Object.values(slots) : []));
    const waiting = this.waiting.flatMap(({ slots }) => Object.values(slots));
    const shapes = [...met, ...waiting.map(({ shape }) => shape)];
    return 4 * shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  }

  /**
   * The whole state as plain data. With the same options, {@link loadState} continues from it bit for bit, in another
   * process too. The weights are not in it.
   * @throws (rejects with) Error after {@link dispose}
   */
  async saveState(): Promise<OptimizerState> {
    this.checkUsable();
    await this.checks.arrived();
    const targets = this.known().filter(({ unit }) => unit);
    // Taken now, so that a step during the reading below changes nothing of it.
    const { iterations, nonFiniteSteps, waiting } = this;
    const counts = targets.map(({ name, updates }) => ({ name, updates }));
    const slots = targets.map((target) => tidy(() => stateOf(target)));
    const variables = await Promise.all(
      counts.map(async (variable, i) => ({ ...variable, slots: await readSlots(slots[i]!) })),
    );
    return {
      format: 'orth-optimizer',
      version: 1,
      className: this.getClassName(),
      iterations,
      nonFiniteSteps,
      variables: [...variables, ...waiting],
    };
  }

  /**
   * Continues from a saved state. What belongs to variables that this optimizer has not met waits for the first step
   * that names them: found by exact name, else (when tfjs has renamed them) by order if the shapes agree.
   *
   * @param state - of {@link saveState}, or of `decodeState`
   * @param variables - those to be trained; given, everything is matched now rather than at the first step
   * @throws CheckpointError if the state is damaged, of another optimizer class, or of other variables or shapes; then
   *   nothing is changed
   */
  loadState(state: OptimizerState, variables?: readonly Variable[]): void {
    this.checkUsable();
    const parsed = parseState(state, this.getClassName());
    this.restore(parsed, variables ? this.meet(variables) : new Map(this.targets));
  }

  /**
   * The state in tfjs's form: `iter`, then `<variable>/<slot>` for each slot. The tensors stay the optimizer's own, and
   * are disposed by its next `getWeights`, `setWeights`, `loadState` or `dispose`.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    const weights = toNamedTensors(await this.saveState());
    this.disposeExported();
    this.exported = weights.map(({ tensor }) => keep(tensor));
    return weights;
  }

  /**
   * Continues from what {@link getWeights} gave; the tensors may be disposed afterwards.
   * @throws CheckpointError if it is not such a list, or of other variables or shapes; then nothing is changed
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    this.checkUsable();
    const state = await fromNamedTensors(weights, this.getClassName());
    this.restore(state, new Map(this.targets));
  }

  /**
   * The options as plain JSON.
   * @throws TypeError if an option is a function of the user's own, which JSON cannot hold
   */
  override getConfig(): serialization.ConfigDict {
    return optionsToJSON(this.options) as serialization.ConfigDict;
  }

  /** Makes an optimizer from what {@link getConfig} gave. */
  static override fromConfig<T extends serialization.Serializable>(
    cls: serialization.SerializableConstructor<T>,
    config: serialization.ConfigDict,
  ): T {
    const { customObjects: _, ...options } = config;
    return new cls(optionsFromJSON(options));
  }

  /** Frees the state. The optimizer cannot be used afterwards; disposing again does nothing. */
  override dispose(): void {
    this.forget();
    this.targets.clear();
    this.waiting = [];
    this.disposed = true;
  }

  private checkUsable(): void {
    if (this.disposed) throw new Error(`${this.label}: must not be used after dispose()`);
  }

  private known(): Target[] {
    return withoutFrozen(this.targets);
  }

  private remember(met: Met): void {
    for (const [name, target] of met) this.targets.set(name, target);
  }

  /** Checks a step's gradients and finds their variables. */
  private collect(gradients: Gradients): { updates: Update[]; met: Met } {
    const caller = `${this.label}.applyGradients`;
    const given = listGradients(caller, gradients);
    const zero = this.step.missingGradient === 'zero';
    // Saved state is matched by order too, which takes every variable that is named.
    const all = zero || this.waiting.length > 0;
    const named = given.filter(({ gradient }) => all || gradient);
    const met = this.meet(named.map(({ variable }) => variable));
    const updates = given.flatMap(({ variable, gradient }): Update[] => {
      const target = met.get(variable.name);
      if (!target || (!gradient && !zero)) return [];
      if (variable.dtype !== 'float32') {
        const rule = `must have dtype float32, or be in a 'frozen' group, got ${variable.dtype}`;
        throw new TypeError(`${caller}: ${variable.name} ${rule}`);
      }
      return [{ target, variable, ...(gradient && { gradient }) }];
    });
    if (zero) {
      const present = new Set(updates.map(({ target }) => target));
      for (const target of this.known()) {
        const variable = findVariable(target.name);
        if (variable && !present.has(target)) updates.push({ target, variable });
      }
    }
    if (this.waiting.length > 0 && met.size > 0) {
      const { pairs, waiting } = matchState(this.waiting, withoutFrozen(met), isRegistered);
      this.remember(met);
      for (const [target, saved] of pairs) fill(target, saved);
      this.waiting = waiting;
    }
    return { updates, met };
  }

  /** Targets of variables, made where they are new; not remembered yet. */
  private meet(variables: readonly VariableInfo[]): Met {
    let next = this.targets.size;
    return new Map(
      variables.map(({ name, shape }) => {
        const known = this.targets.get(name);
        if (known && `${known.shape}` !== `${shape}`) {
          const rule = `must keep its shape [${known.shape}], got [${shape}]`;
          throw new RangeError(`${this.label}: ${name} ${rule}`);
        }
        return [name, known === undefined ? this.target({ name, shape }, next++) : known];
      }),
    );
  }

  private target(variable: VariableInfo, index: number): Target | null {
    const { method, plan } = this.route(variable);
    if (!method) return null;
    const { name, shape } = variable;
    return {
      name,
      shape: [...shape],
      size: sizeOf(shape),
      index,
      method,
      plan,
      slots: method.slots(variable, plan),
      key: method.unitKey(variable, plan),
      updates: 0,
    };
  }

  /** Each rule sees all its units at once, so that it can batch across them. */
  private compute(inputs: readonly UnitInput<unknown>[]): UnitOutput[] {
    const outputs = new Map<UnitInput<unknown>, UnitOutput>();
    for (const method of new Set(inputs.map(({ members }) => members[0]!.method))) {
      const own = inputs.filter(({ members }) => members[0]!.method === method);
      const results = method.update(own, this.iterations);
      for (const [i, input] of own.entries()) outputs.set(input, results[i]!);
    }
    return inputs.map((input) => outputs.get(input)!);
  }

  private refuse(updates: readonly Update[]): void {
    this.skipped++;
    if (this.step.onNonFinite === 'skip') return;
    for (const { target, gradient } of updates) {
      const at = gradient ? firstNonFinite(gradient) : -1;
      if (!gradient || at < 0) continue;
      const got = `got ${gradient.dataSync()[at]} at flat index ${at}`;
      throw new NonFiniteError(
        `${this.label}.applyGradients: gradient of ${target.name} must be finite, ${got}; nothing was changed`,
      );
    }
  }

  /** Undoes in the books a step that the mask has kept off the device's tensors. */
  private takeBack(updates: readonly Update[]): () => Error | undefined {
    const step = this.iterations - 1;
    return () => {
      this.skipped++;
      this.iterations_ = this.iterations - 1;
      for (const { target } of updates) target.updates--;
      if (this.step.onNonFinite === 'skip') return undefined;
      return new NonFiniteError(
        `${this.label}.applyGradients: gradients must be finite, got NaN or an infinity at step ${step}; nothing was changed by it`,
      );
    };
  }

  private restore(state: OptimizerState, met: Met): void {
    const { pairs, waiting } =
      met.size > 0
        ? matchState(state.variables, withoutFrozen(met), isRegistered)
        : { pairs: [], waiting: state.variables };
    this.forget();
    this.remember(met);
    for (const [target, saved] of pairs) fill(target, saved);
    this.waiting = waiting;
    this.iterations_ = state.iterations;
    this.skipped = state.nonFiniteSteps;
  }

  /** Frees all state but keeps the routing. */
  private forget(): void {
    this.checks.forget();
    this.disposeExported();
    for (const unit of new Set(this.known().map((target) => target.unit))) {
      if (unit) disposeUnit(unit);
    }
    for (const target of this.known()) {
      delete target.unit;
      target.updates = 0;
    }
  }

  private disposeExported(): void {
    for (const tensor of this.exported) tensor.dispose();
    this.exported = [];
  }
}

function findVariable(name: string): Variable | undefined {
  const { registeredVariables } = engine();
  return Object.hasOwn(registeredVariables, name)
    ? (registeredVariables[name] as unknown as Variable)
    : undefined;
}

const isRegistered = (name: string) => findVariable(name) !== undefined;

const withoutFrozen = (met: Met) =>
  [...met.values()].filter((target): target is Target => target !== null);

const gradientOf = ({ gradient, target }: Update) => gradient ?? zeros([target.size]);

/** The gradients of a step with their variables, checked. */
function listGradients(
  caller: string,
  gradients: Gradients,
): { variable: Variable; gradient?: Tensor | null }[] {
  if (typeof gradients !== 'object' || gradients === null) {
    throw new TypeError(`${caller}: gradients must be a map or an array, got ${gradients}`);
  }
  const entries: (readonly [string, Tensor | null | undefined])[] = Array.isArray(gradients)
    ? gradients.map((entry) => {
        if (typeof entry?.name === 'string') return [entry.name, entry.tensor] as const;
        throw new TypeError(`${caller}: gradients must hold { name, tensor }, got ${entry}`);
      })
    : Object.entries(gradients);
  const list = entries.map(([name, gradient]) => {
    const variable = findVariable(name);
    if (!variable) {
      const rule = 'gradients must name variables, as variableGrads(f).grads does';
      throw new Error(`${caller}: ${rule}, got ${JSON.stringify(name)}`);
    }
    if (gradient) {
      const rule = { shape: variable.shape, allowEmpty: true };
      checkTensor(caller, `gradient of ${name}`, gradient, rule);
    }
    return { variable, ...(gradient && { gradient }) };
  });
  if (new Set(list.map(({ variable }) => variable)).size !== list.length) {
    throw new TypeError(`${caller}: gradients must name each variable once`);
  }
  return list;
}

/** A unit's tensors, gathered for its rule. */
function prepare(group: readonly Update[], gradient: Tensor): UnitInput<unknown> {
  const members = group.map(({ target }) => target);
  const { state } = unitOf(members);
  const weights = pack(group.map(({ variable }) => variable));
  return { members, gradient, weights, state, update: members[0]!.updates + 1 };
}
