import { checkTensor, NonFiniteError } from '@orth/backend';
import {
  broadcastTo,
  engine,
  keep,
  Optimizer,
  reshape,
  type Scalar,
  type serialization,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  type Variable,
  where,
  zeros,
} from '@tensorflow/tfjs-core';
import {
  matchState,
  type OptimizerState,
  parseState,
  type SlotState,
  type VariableState,
} from './checkpoint.js';
import { clipGradients } from './clipGradients.js';
import { optionsFromJSON, optionsToJSON } from './config.js';
import { areFinite, finiteMask, firstNonFinite, readsAtOnce } from './finiteness.js';
import { resolveStepOptions, type StepOptions, type VariableInfo } from './options.js';
import type { GroupDescription } from './routing.js';
import {
  adopt,
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
  unpack,
} from './targets.js';

/** Gradients by variable name, or a list of them; absent ones are null or undefined. */
export type Gradients = Parameters<Optimizer['applyGradients']>[0];
type NamedTensor = Extract<Gradients, unknown[]>[number];

/** What a subclass decides about a variable. */
export interface Route<Plan = unknown> extends Omit<GroupDescription, 'name' | 'shape'> {
  /** The rule that updates it; absent: the variable stays as it is. */
  readonly method?: UpdateMethod<Plan>;
  readonly plan?: Plan;
}

/**
 * What every optimizer of this package has: routing, state, schedules, checkpoints, clipping, and the promise that a
 * step with a gradient that is not finite changes nothing. A subclass says who updates which variable; the update
 * itself is a pure {@link UpdateMethod}.
 */
export abstract class OrthOptimizer<Options extends StepOptions> extends Optimizer {
  private readonly step: ReturnType<typeof resolveStepOptions>;
  /** Variables met so far; null for frozen ones. */
  private readonly targets = new Map<string, Target | null>();
  private restored: readonly VariableState[] = [];
  private readonly checks = new Set<Promise<void>>();
  private exported: Tensor[] = [];
  private failure: Error | undefined;
  private epoch = 0;
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
   * @param f - returns the scalar loss
   * @param returnCost - whether to return the loss. Default false
   * @param varList - variables to train. Default: all trainable ones
   * @returns the loss, which the caller disposes, or null
   * @throws as {@link applyGradients} does; nothing is leaked then
   */
  override minimize(f: () => Scalar, returnCost = false, varList?: Variable[]): Scalar | null {
    const { value, grads } = this.computeGradients(f, varList);
    let keepValue = false;
    try {
      this.applyGradients(
        varList
          ? varList.map(({ name }) => ({ name, tensor: grads[name] as Tensor }))
          : (grads as Gradients),
      );
      keepValue = returnCost;
    } finally {
      for (const gradient of Object.values(grads)) gradient?.dispose();
      if (!keepValue) value.dispose();
    }
    return keepValue ? value : null;
  }

  /**
   * One step. Gradients are neither changed nor disposed. All arguments are checked before anything is changed.
   *
   * On backends that cannot be read synchronously (webgpu, webgl) a step with a gradient that is not finite is undone on
   * the device, and the error comes with the next step or with {@link settle}.
   *
   * @param gradients - by variable name, or a list of `{ name, tensor }`; a missing one may be null or undefined
   * @throws NonFiniteError if a gradient holds NaN or an infinity, unless `onNonFinite` is `'skip'`
   * @throws TypeError, RangeError or Error for an unknown name, a wrong shape or dtype, or after {@link dispose}
   */
  override applyGradients(gradients: Gradients): void {
    this.throwFailure();
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
      const inputs = groups.map((group, i) => this.prepare(group, flats[i]!));
      const outputs = this.compute(inputs);
      // From here on nothing throws.
      for (const [name, target] of met) this.targets.set(name, target);
      groups.forEach((group, i) => {
        commit(group, outputs[i]!, inputs[i]!, mask);
      });
      this.incrementIterations();
      if (mask) this.watch(keep(mask), updates);
    });
  }

  /**
   * Waits until every step so far is known to have had finite gradients. On cpu, wasm and native backends that is so
   * already.
   * @throws NonFiniteError if one had not, and `onNonFinite` is `'throw'`
   */
  async settle(): Promise<void> {
    await Promise.all(this.checks);
    this.throwFailure();
  }

  /**
   * How each variable is treated, and why; print it with `formatGroups`.
   * @param variables - variables, or a model's `trainableWeights`. Default: those met so far, else all trainable ones
   */
  describeGroups(variables?: readonly VariableInfo[]): GroupDescription[] {
    const registered = Object.values(engine().registeredVariables) as Variable[];
    const met = registered.filter(({ name }) => this.targets.has(name));
    const list = variables ?? (met.length > 0 ? met : registered.filter((v) => v.trainable));
    return list.map(({ name, shape }) => {
      const { optimizer, matrixShape, matrices, reason } = this.route({ name, shape });
      return { name, shape: [...shape], optimizer, matrixShape, matrices, reason };
    });
  }

  /** Bytes of state kept between steps: momenta and moments, not the weights. */
  stateBytes(): number {
    const met = this.known().reduce(
      (sum, { unit, slots }) => sum + (unit ? slotSizes(Object.values(slots)) : 0),
      0,
    );
    const waiting = this.restored.flatMap(({ slots }) => Object.values(slots));
    return 4 * (met + slotSizes(waiting.map(({ shape }) => shape)));
  }

  /**
   * The whole state as plain data. With the same options, {@link loadState} continues from it bit for bit, in another
   * process too.
   */
  async saveState(): Promise<OptimizerState> {
    await Promise.all(this.checks);
    const { iterations, nonFiniteSteps } = this;
    const targets = this.known().filter(({ unit }) => unit);
    const saved = targets.map(({ name, updates }) => ({ name, updates }));
    const tensors = tidy(() => targets.map((target) => mapSlots(stateOf(target), keep)));
    const waiting = this.restored;
    const variables = await Promise.all(
      saved.map(async (variable, i) => ({ ...variable, slots: await readSlots(tensors[i]!) })),
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
    const parsed = parseState(state, this.getClassName());
    const met = variables ? this.meet(variables) : new Map(this.targets);
    this.restore(parsed, met);
  }

  /**
   * The state in tfjs's form: `iter`, then `<variable>/<slot>` for each slot. The tensors stay the optimizer's own, and
   * are disposed by its next `getWeights`, `setWeights`, `loadState` or `dispose`.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    const { iterations, variables } = await this.saveState();
    this.disposeExported();
    const weights = [{ name: 'iter', tensor: tensor(iterations, [], 'int32') as Tensor }];
    for (const { name, updates, slots } of variables) {
      for (const [slot, { data, shape }] of Object.entries(slots)) {
        const values = tensor(data as Float32Array, [...shape], 'float32');
        weights.push({ name: `${name}/${slot}`, tensor: values });
      }
      if (this.counts(name, slots)) {
        weights.push({ name: `${name}/${UPDATES}`, tensor: tensor(updates, [], 'int32') });
      }
    }
    this.exported = weights.map(({ tensor: x }) => keep(x));
    return weights;
  }

  /**
   * Continues from what {@link getWeights} gave; the tensors may be disposed afterwards.
   * @throws CheckpointError if it is not such a list, or of other variables or shapes; then nothing is changed
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    const values = await Promise.all(
      weights.map(async ({ name, tensor: x }) => ({ name, shape: x.shape, data: await x.data() })),
    );
    const [iter, ...rest] = values;
    const variables = new Map<string, { updates: number; slots: Record<string, SlotState> }>();
    for (const { name, shape, data } of rest) {
      const cut = name.lastIndexOf('/');
      const [variable, slot] = [name.slice(0, cut), name.slice(cut + 1)];
      const entry = variables.get(variable) ?? { updates: 0, slots: {} };
      variables.set(variable, entry);
      if (slot === UPDATES) entry.updates = data[0]!;
      else entry.slots[slot] = { shape, data };
    }
    const state = {
      format: 'orth-optimizer',
      version: 1,
      className: this.getClassName(),
      iterations: iter?.name === 'iter' ? iter.data[0] : undefined,
      nonFiniteSteps: 0,
      variables: [...variables].map(([name, entry]) => ({ name, ...entry })),
    };
    this.restore(parseState(state), new Map(this.targets));
  }

  /**
   * The options as plain JSON.
   * @throws TypeError if an option is a function of the user's own, which JSON cannot hold
   */
  override getConfig(): serialization.ConfigDict {
    return optionsToJSON(this.options) as serialization.ConfigDict;
  }

  /** Makes an optimizer from {@link getConfig}. */
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
    this.restored = [];
    this.disposeExported();
    this.failure = undefined;
    this.disposed = true;
  }

  private known(): Target[] {
    return [...this.targets.values()].filter((target): target is Target => target !== null);
  }

  private throwFailure(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    if (this.disposed) throw new Error(`${this.label}: must not be used after dispose()`);
  }

  /** Checks a step's gradients and finds their variables; changes nothing. */
  private collect(gradients: Gradients): { updates: Update[]; met: Map<string, Target | null> } {
    const caller = `${this.label}.applyGradients`;
    if (typeof gradients !== 'object' || gradients === null) {
      throw new TypeError(`${caller}: gradients must be a map or an array, got ${gradients}`);
    }
    const given: (readonly [string, Tensor | null | undefined])[] = Array.isArray(gradients)
      ? gradients.map(({ name, tensor: x }) => [name, x] as const)
      : Object.entries(gradients);
    const variables = given.map(([name]) => this.variable(caller, name));
    if (new Set(variables).size !== variables.length) {
      throw new TypeError(`${caller}: gradients must name each variable once`);
    }
    const zero = this.step.missingGradient === 'zero';
    const met = this.meet(
      // State that waits for its variables is matched by order too, so it needs all that are named.
      variables.filter((_, i) => given[i]![1] || zero || this.restored.length > 0),
    );
    const updates: Update[] = [];
    given.forEach(([name, gradient], i) => {
      const variable = variables[i]!;
      if (gradient) {
        const shape = variable.shape;
        checkTensor(caller, `gradient of ${name}`, gradient, { shape, allowEmpty: true });
      }
      const target = met.get(name);
      if (!target || (!gradient && !zero)) return;
      updates.push({ target, variable, ...(gradient && { gradient }) });
    });
    if (zero) {
      for (const target of this.known()) {
        const variable = engine().registeredVariables[target.name] as Variable | undefined;
        if (!variable || updates.some((update) => update.target === target)) continue;
        updates.push({ target, variable });
      }
    }
    if (this.restored.length > 0 && met.size > 0) {
      const matching = matchState(this.restored, ofThisStep(met), isRegistered);
      this.restored = matching.waiting;
      for (const [name, target] of met) this.targets.set(name, target);
      for (const [target, saved] of matching.pairs) fill(target, saved);
    }
    return { updates, met };
  }

  private variable(caller: string, name: string): Variable {
    const variable = engine().registeredVariables[name] as Variable | undefined;
    if (variable) return variable;
    throw new Error(`${caller}: gradients must name variables, got ${JSON.stringify(name)}`);
  }

  /** Targets of variables, made where they are new; not remembered yet. */
  private meet(variables: readonly VariableInfo[]): Map<string, Target | null> {
    const met = new Map<string, Target | null>();
    let fresh = 0;
    for (const { name, shape } of variables) {
      const known = this.targets.get(name);
      if (known && `${known.shape}` === `${shape}`) {
        met.set(name, known);
        continue;
      }
      if (known) {
        throw new RangeError(
          `${this.label}: ${name} must keep its shape [${known.shape}], got [${shape}]`,
        );
      }
      const index = this.targets.size + fresh++;
      met.set(name, known === null ? null : this.target({ name, shape }, index));
    }
    return met;
  }

  private target(variable: VariableInfo, index: number): Target | null {
    const { method, plan } = this.route(variable);
    if (!method) return null;
    const shape = [...variable.shape];
    return {
      name: variable.name,
      shape,
      size: sizeOf(shape),
      index,
      method,
      plan,
      slots: method.slots(variable, plan),
      key: method.unitKey(variable, plan),
      updates: 0,
    };
  }

  private prepare(group: readonly Update[], gradient: Tensor): UnitInput<unknown> {
    const members = group.map(({ target }) => target);
    const { state } = unitOf(members);
    const weights = pack(group.map(({ variable }) => variable));
    return { members, gradient, weights, state, update: members[0]!.updates + 1 };
  }

  private compute(inputs: readonly UnitInput<unknown>[]): UnitOutput[] {
    const outputs = new Map<UnitInput<unknown>, UnitOutput>();
    for (const method of new Set(inputs.map(({ members }) => members[0]!.method))) {
      const own = inputs.filter(({ members }) => members[0]!.method === method);
      method.update(own, this.iterations).forEach((output, i) => {
        outputs.set(own[i]!, output);
      });
    }
    return inputs.map((input) => outputs.get(input)!);
  }

  private refuse(updates: readonly Update[]): void {
    this.skipped++;
    if (this.step.onNonFinite === 'skip') return;
    for (const { target, gradient } of updates) {
      const at = gradient ? firstNonFinite(gradient) : -1;
      if (!gradient || at < 0) continue;
      throw new NonFiniteError(
        `${this.label}.applyGradients: gradient of ${target.name} must be finite, got ${
          gradient.dataSync()[at]
        } at flat index ${at}; nothing was changed`,
      );
    }
  }

  /** Takes the step back in the books, as the mask has done on the device, if the mask turns out false. */
  private watch(mask: Tensor, updates: readonly Update[]): void {
    const { epoch } = this;
    const step = this.iterations - 1;
    const check = mask
      .data()
      .then(([finite]) => {
        if (finite || epoch !== this.epoch) return;
        this.skipped++;
        this.iterations_ = this.iterations - 1;
        for (const { target } of updates) target.updates--;
        if (this.step.onNonFinite === 'skip') return;
        this.failure ??= new NonFiniteError(
          `${this.label}.applyGradients: gradients must be finite, got NaN or an infinity at step ${step}; nothing was changed by it`,
        );
      })
      .catch((error: Error) => {
        if (epoch === this.epoch) this.failure ??= error;
      })
      .finally(() => {
        mask.dispose();
        this.checks.delete(check);
      });
    this.checks.add(check);
  }

  private restore(state: OptimizerState, met: ReadonlyMap<string, Target | null>): void {
    if (this.disposed) throw new Error(`${this.label}: must not be used after dispose()`);
    const { pairs, waiting } =
      met.size > 0
        ? matchState(state.variables, ofThisStep(met), isRegistered)
        : { pairs: [], waiting: state.variables };
    this.forget();
    this.disposeExported();
    for (const [name, target] of met) this.targets.set(name, target);
    for (const [target, saved] of pairs) fill(target, saved);
    this.restored = waiting;
    this.iterations_ = state.iterations;
    this.skipped = state.nonFiniteSteps;
    this.failure = undefined;
  }

  /** Frees all state but keeps the routing. */
  private forget(): void {
    this.epoch++;
    for (const unit of new Set(this.known().map((target) => target.unit))) {
      if (unit) disposeUnit(unit);
    }
    for (const target of this.known()) {
      delete target.unit;
      target.updates = 0;
    }
  }

  private disposeExported(): void {
    for (const x of this.exported) x.dispose();
    this.exported = [];
  }

  private counts(name: string, slots: Readonly<Record<string, SlotState>>): boolean {
    const target = this.targets.get(name);
    return target ? target.method.countsUpdates : 'secondMoment' in slots;
  }
}

/** Name under which the number of updates travels in `getWeights`. */
const UPDATES = 'updates';

const isRegistered = (name: string) => name in engine().registeredVariables;

const ofThisStep = (met: ReadonlyMap<string, Target | null>) =>
  [...met.values()].filter((target): target is Target => target !== null);

const slotSizes = (shapes: readonly (readonly number[])[]) =>
  shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);

const gradientOf = ({ gradient, target }: Update) => gradient ?? zeros([target.size]);

function mapSlots<T>(slots: Record<string, Tensor>, f: (x: Tensor) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(slots).map(([slot, x]) => [slot, f(x)]));
}

/** A target's own part of its unit's state, in the slots' shapes. */
function stateOf({ unit, ...target }: Target): Record<string, Tensor> {
  const { members, state } = unit!;
  const at = members.findIndex(({ name }) => name === target.name);
  return Object.fromEntries(
    Object.entries(state).map(([slot, flat]) => {
      const shapes = members.map(({ slots }) => slots[slot]!);
      return [slot, unpack(flat, shapes)[at]!.clone()];
    }),
  );
}

async function readSlots(slots: Record<string, Tensor>): Promise<Record<string, SlotState>> {
  const entries = Object.entries(slots).map(async ([slot, x]) => {
    const data = Float32Array.from(await x.data());
    x.dispose();
    return [slot, { shape: [...x.shape], data }] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Gives a target its saved state. */
function fill(target: Target, { updates, slots }: VariableState): void {
  if (target.unit) disposeUnit(target.unit);
  const state = Object.entries(slots).map(([slot, { data }]) => {
    return [slot, keep(tensor1d(data as Float32Array, 'float32'))] as const;
  });
  adopt([target], Object.fromEntries(state));
  target.updates = updates;
}

/** Writes new weights and state; where a mask is given and false, what was there before stays. */
function commit(
  group: readonly Update[],
  output: UnitOutput,
  { members, weights, state }: UnitInput<unknown>,
  mask: Tensor | undefined,
): void {
  const masks = new Map<number, Tensor>();
  const choose = (next: Tensor, former: Tensor) => {
    if (!mask) return next;
    const size = next.size;
    const wide = masks.get(size) ?? broadcastTo(mask, [size]);
    masks.set(size, wide);
    return where(wide, reshape(next, [size]), reshape(former, [size]));
  };
  const shapes = group.map(({ target }) => target.shape);
  const values = unpack(choose(output.weights, weights), shapes);
  group.forEach(({ variable, target }, i) => {
    variable.assign(values[i]!);
    target.updates++;
  });
  const unit = members[0]!.unit!;
  for (const [slot, next] of Object.entries(output.state)) {
    const former = state[slot]!;
    // A copy, since keeping the tensor itself would keep it for other users of it too.
    unit.state[slot] = keep(choose(next, former).clone());
    former.dispose();
  }
}
