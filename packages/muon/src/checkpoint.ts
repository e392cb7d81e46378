/** The state of an optimizer as plain data: what is saved, how it is checked, and which variable it belongs to. */
import { CheckpointError } from '@orth/backend';
import { type SlotShapes, sizeOf, type Target } from './targets.js';

/** The state of one variable. */
export interface VariableState {
  /** The variable's name when the state was saved. */
  readonly name: string;
  /** Updates it has had; counts in AdamW's bias correction. */
  readonly updates: number;
  /** Its tensors by slot (`momentum`, `firstMoment`, …), row-major. */
  readonly slots: Readonly<Record<string, SlotState>>;
}

/** One tensor of a variable's state. */
export interface SlotState {
  readonly shape: readonly number[];
  /** float32, or int32 where `dtype` says so; other number types are cast when loaded. */
  readonly data: ArrayLike<number>;
  /** Given for integers only. */
  readonly dtype?: 'int32';
}

/** The whole state of an optimizer: plain data that survives structured cloning, or `encodeState` for bytes. */
export interface OptimizerState {
  readonly format: 'orth-optimizer';
  readonly version: 1;
  /** The optimizer's class, e.g. `OrthMuon`. */
  readonly className: string;
  /** Steps taken. */
  readonly iterations: number;
  /** Steps not taken because a gradient was not finite. */
  readonly nonFiniteSteps: number;
  /** In the order in which the optimizer met them. */
  readonly variables: readonly VariableState[];
}

const fail = (problem: string): never => {
  throw new CheckpointError(`loadState: ${problem}; nothing was changed`);
};

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x) && !ArrayBuffer.isView(x);

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

/**
 * Demands something that was made as an optimizer state.
 * @throws CheckpointError that says what to pass
 */
export function checkState(
  caller: string,
  state: unknown,
): asserts state is Record<string, unknown> {
  if (isRecord(state) && state.format === 'orth-optimizer') return;
  let got: string = state === null ? 'null' : typeof state;
  if (state instanceof Promise) got = 'a promise: await it';
  if (ArrayBuffer.isView(state)) got = 'bytes: decodeState(bytes)';
  const rule = `state must be what saveState() or decodeState() gives, got ${got}`;
  throw new CheckpointError(`${caller}: ${rule}`);
}

/**
 * Checks a saved state from top to bottom and copies it, casting numbers to float32.
 * @throws CheckpointError that names what is wrong
 */
export function parseState(state: unknown, className?: string): OptimizerState {
  checkState('loadState', state);
  if (state.version !== 1) fail(`version must be 1, got ${String(state.version)}`);
  if (typeof state.className !== 'string') fail('className must be a string');
  if (className !== undefined && state.className !== className) {
    fail(`the state must belong to ${className}, got one of ${String(state.className)}`);
  }
  if (!isCount(state.iterations)) fail('iterations must be an integer >= 0');
  if (!isCount(state.nonFiniteSteps)) fail('nonFiniteSteps must be an integer >= 0');
  if (!Array.isArray(state.variables)) return fail('variables must be an array');
  const variables = state.variables.map(parseVariable);
  if (new Set(variables.map(({ name }) => name)).size !== variables.length) {
    fail('variables must have different names');
  }
  return {
    format: 'orth-optimizer',
    version: 1,
    className: state.className as string,
    iterations: state.iterations as number,
    nonFiniteSteps: state.nonFiniteSteps as number,
    variables,
  };
}

function parseVariable(variable: unknown): VariableState {
  if (!isRecord(variable) || typeof variable.name !== 'string') {
    return fail('each variable must have a name');
  }
  const { name, updates, slots } = variable;
  if (!isCount(updates)) return fail(`updates of ${name} must be an integer >= 0`);
  if (!isRecord(slots)) return fail(`slots of ${name} must be an object`);
  const parsed = Object.entries(slots).map(([slot, x]) => {
    const where = `${name}/${slot}`;
    if (!isRecord(x) || !Array.isArray(x.shape) || !x.shape.every(isCount)) {
      return fail(`${where} must have a shape`);
    }
    if (x.dtype !== undefined && x.dtype !== 'int32') {
      return fail(`${where} must have dtype int32 or none, got ${String(x.dtype)}`);
    }
    const integer = x.dtype === 'int32';
    const data = parseData(where, x.shape, x.data, integer);
    const shape = x.shape as number[];
    return [slot, { shape, data, ...(integer && { dtype: 'int32' as const }) }] as const;
  });
  return { name, updates, slots: Object.fromEntries(parsed) };
}

function parseData(
  where: string,
  shape: readonly number[],
  data: unknown,
  integer: boolean,
): Float32Array | Int32Array {
  const list = (Array.isArray(data) || ArrayBuffer.isView(data)) as boolean;
  if (!list || data instanceof DataView) {
    return fail(`${where} must hold an array (JSON does not keep typed arrays; encodeState does)`);
  }
  const values = data as ArrayLike<unknown>;
  if (values.length !== sizeOf(shape)) {
    fail(`${where} of shape [${shape}] must hold ${sizeOf(shape)} numbers, got ${values.length}`);
  }
  const copy = new (integer ? Int32Array : Float32Array)(values.length);
  for (let i = 0; i < copy.length; i++) {
    const value = values[i];
    if (typeof value === 'number') copy[i] = value;
    // An infinity is as saved: the square of a gradient of 1e20 is one. What only the cast makes infinite is not.
    if (copy[i] === value || (!integer && Number.isFinite(value) && Number.isFinite(copy[i]))) {
      continue;
    }
    fail(
      `${where} must hold ${integer ? '32-bit integers' : 'numbers'}, got ${String(value)} at ${i}`,
    );
  }
  return copy;
}

/** Which saved variable goes to which target, and what is left for variables not seen yet. */
export interface Matching {
  readonly pairs: readonly (readonly [Target, VariableState])[];
  readonly waiting: readonly VariableState[];
}

/**
 * Finds each saved variable's target: by its exact name; else, when tfjs has renamed the variables (as it does when a
 * model is loaded twice in one process), by order, if there are as many and all shapes agree.
 *
 * @param targets - those that a step names, in its order
 * @param exists - whether a variable of that name exists at all, so that its state may wait for a later step
 * @throws CheckpointError if neither works
 */
export function matchState(
  variables: readonly VariableState[],
  targets: readonly Target[],
  exists: (name: string) => boolean,
): Matching {
  const byName = new Map(targets.map((target) => [target.name, target]));
  const named = variables.filter(({ name }) => byName.has(name));
  const waiting = variables.filter(({ name }) => !byName.has(name));
  if (waiting.length === 0 || (named.length > 0 && waiting.every(({ name }) => exists(name)))) {
    const pairs = named.map((saved) => [byName.get(saved.name)!, saved] as const);
    for (const [target, saved] of pairs) {
      const problem = mismatch(target, saved);
      if (problem) fail(`${problem}; groups and options must be those it was saved with`);
      checkSlots(target, saved);
    }
    return { pairs, waiting };
  }
  const missing = `the state has ${waiting.map(({ name }) => name).join(', ')}, which is not trained here`;
  if (variables.length !== targets.length) {
    fail(
      `${missing}, and ${variables.length} variables cannot be matched by order to ${targets.length}`,
    );
  }
  const pairs = variables.map((saved, i) => [targets[i]!, saved] as const);
  for (const [target, saved] of pairs) {
    const misplaced = byName.has(saved.name) && target.name !== saved.name;
    const problem = misplaced ? `${saved.name} is elsewhere` : mismatch(target, saved);
    if (problem) fail(`${missing}, nor does the order match: ${problem}`);
    checkSlots(target, saved);
  }
  return { pairs, waiting: [] };
}

function mismatch({ name, slots }: Target, saved: VariableState): string | undefined {
  const [want, got] = [describeSlots(slots), describeSlots(shapesOf(saved))];
  return want === got ? undefined : `${name} needs ${want}, got ${got} of ${saved.name}`;
}

/** Fails on numbers that the target's method cannot go on from. */
function checkSlots({ method, plan }: Target, saved: VariableState): void {
  for (const [slot, { data }] of Object.entries(saved.slots)) {
    const rule = method.slotRule?.(slot, plan);
    if (!rule) continue;
    for (let i = 0; i < data.length; i++) {
      if (rule.holds(data[i]!, i)) continue;
      fail(`${saved.name}/${slot} must hold ${rule.kind}, got ${data[i]} at ${i}`);
    }
  }
}

const shapesOf = ({ slots }: VariableState): SlotShapes =>
  Object.fromEntries(Object.entries(slots).map(([slot, { shape }]) => [slot, shape]));

const describeSlots = (slots: SlotShapes) =>
  Object.entries(slots)
    .map(([slot, shape]) => `${slot} [${shape}]`)
    .sort()
    .join(' and ') || 'no state';
