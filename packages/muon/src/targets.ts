/** The optimizer's view of variables, and its state: who is updated with whom, and the tensors kept from step to step. */
import {
  concat,
  keep,
  reshape,
  slice,
  type Tensor,
  tidy,
  type Variable,
  zeros,
} from '@tensorflow/tfjs-core';
import type { VariableInfo } from './options.js';

/** State that belongs to one variable: shapes of its slots by name. */
export type SlotShapes = Readonly<Record<string, readonly number[]>>;

/** What numbers of a slot must be. */
export interface SlotRule {
  /** In a message, after "must hold". */
  readonly kind: string;
  readonly holds: (value: number, index: number) => boolean;
}

/** For moments of which a root is taken. */
export const NOT_NEGATIVE: SlotRule = { kind: 'numbers >= 0', holds: (value) => value >= 0 };

/** Variables that are updated together in one pass over flat tensors. */
export interface UnitInput<Plan> {
  /** The variables, in the order in which their values lie in the flat tensors. */
  readonly members: readonly Target<Plan>[];
  /** All gradients, flat: `[Σ size]`. */
  readonly gradient: Tensor;
  /** All weights, flat. */
  readonly weights: Tensor;
  /** Each slot of all members, flat. */
  readonly state: Readonly<Record<string, Tensor>>;
  /** Which update of these variables this is, from 1. */
  readonly update: number;
}

/** New values for a unit, flat as they came. */
export interface UnitOutput {
  readonly weights: Tensor;
  readonly state: Readonly<Record<string, Tensor>>;
}

/**
 * An update rule, such as Muon's or AdamW's: pure mathematics over units. `Plan` is what it needs to know of a variable,
 * worked out once.
 */
export interface UpdateMethod<Plan = unknown> {
  /** Name in descriptions and groups. */
  readonly name: string;
  /** Whether the number of updates matters (bias correction), and so is saved with each variable. */
  readonly countsUpdates: boolean;
  /** Names of the slots that hold int32; all others are float32. */
  readonly integerSlots?: readonly string[];
  /** What saved numbers of a slot must fulfil beside being numbers, so that no step can fail on them. */
  slotRule?(slot: string, plan: Plan): SlotRule | undefined;
  /** Shapes of a variable's slots; all start as zeros. */
  slots(variable: VariableInfo, plan: Plan): SlotShapes;
  /** Variables with equal keys may share a unit; undefined: always alone. */
  unitKey(variable: VariableInfo, plan: Plan): string | undefined;
  /** Computes one step, counted from 0, of all its units; changes nothing. */
  update(units: readonly UnitInput<Plan>[], step: number): UnitOutput[];
}

/** dtype of a slot. */
export const slotType = ({ integerSlots }: UpdateMethod, slot: string) =>
  integerSlots?.includes(slot) ? 'int32' : 'float32';

/** A variable that the optimizer knows. */
export interface Target<Plan = unknown> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly size: number;
  /** Order in which the optimizer met it. */
  readonly index: number;
  readonly method: UpdateMethod<Plan>;
  readonly plan: Plan;
  readonly slots: SlotShapes;
  readonly key: string | undefined;
  /** Updates so far. */
  updates: number;
  /** Where its state is. */
  unit?: Unit;
}

/** The state of variables that are updated together: for each slot one flat kept tensor. */
export interface Unit {
  readonly members: readonly Target[];
  state: Record<string, Tensor>;
}

/** A variable with its gradient in this step. */
export interface Update {
  readonly target: Target;
  readonly variable: Variable;
  /** Absent: zeros. */
  readonly gradient?: Tensor;
}

/** Variables with one key share a unit until it holds this many numbers: beyond, gathering costs more than it saves. */
export const MAX_SHARED_SIZE = 1 << 16;

export const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/** Puts a step's updates into units: equal keys together, in the order in which the optimizer met the variables. */
export function partition(updates: readonly Update[]): Update[][] {
  const sorted = [...updates].sort((a, b) => a.target.index - b.target.index);
  const open = new Map<string, { updates: Update[]; size: number }>();
  const units: Update[][] = [];
  for (const update of sorted) {
    const { key, size, updates: count, method } = update.target;
    const alone = key === undefined || size > MAX_SHARED_SIZE;
    const id = alone ? undefined : `${method.name} ${method.countsUpdates ? count : ''} ${key}`;
    const last = id === undefined ? undefined : open.get(id);
    if (last && last.size + size <= MAX_SHARED_SIZE) {
      last.updates.push(update);
      last.size += size;
      continue;
    }
    const unit = { updates: [update], size };
    if (id !== undefined) open.set(id, unit);
    units.push(unit.updates);
  }
  return units;
}

/** One flat tensor of several. */
export function pack(tensors: readonly Tensor[]): Tensor {
  const flat = tensors.map((x) => reshape(x, [x.size]));
  return flat.length === 1 ? flat[0]! : concat(flat);
}

/** Inverse of {@link pack}. */
export function unpack(flat: Tensor, shapes: readonly (readonly number[])[]): Tensor[] {
  if (shapes.length === 1) return [reshape(flat, [...shapes[0]!])];
  let offset = 0;
  return shapes.map((shape) => {
    const size = sizeOf(shape);
    const part = slice(flat, [offset], [size]);
    offset += size;
    return reshape(part, [...shape]);
  });
}

/**
 * The unit of exactly these targets, with their state: the one they are in already if it is theirs alone, else made
 * anew from the units they were in (whose other members get units of their own).
 */
export function unitOf(members: readonly Target[]): Unit {
  const current = members[0]!.unit;
  if (
    current &&
    current.members.length === members.length &&
    current.members.every((member, i) => member === members[i])
  ) {
    return current;
  }
  for (const { unit } of members) if (unit && unit.members.length > 1) dissolve(unit);
  const state: Record<string, Tensor> = {};
  tidy(() => {
    for (const slot of Object.keys(members[0]!.slots)) {
      const fresh = members.every(({ unit }) => !unit);
      const total = members.reduce((sum, { slots }) => sum + sizeOf(slots[slot]!), 0);
      const dtype = slotType(members[0]!.method, slot);
      state[slot] = keep(
        fresh
          ? zeros([total], dtype)
          : pack(
              members.map(
                ({ unit, slots }) => unit?.state[slot] ?? zeros([...slots[slot]!], dtype),
              ),
            ),
      );
    }
  });
  for (const { unit } of members) if (unit) disposeUnit(unit);
  return adopt(members, state);
}

/** Makes a unit of its members and their state. */
export function adopt(members: readonly Target[], state: Record<string, Tensor>): Unit {
  const unit = { members, state };
  for (const member of members) member.unit = unit;
  return unit;
}

/** Gives each member a unit of its own. */
function dissolve(unit: Unit): void {
  const alone = tidy(() =>
    Object.entries(unit.state).map(([slot, flat]) => {
      const shapes = unit.members.map(({ slots }) => [sizeOf(slots[slot]!)]);
      return [slot, unpack(flat, shapes).map((x) => keep(x))] as const;
    }),
  );
  disposeUnit(unit);
  unit.members.forEach((member, i) => {
    adopt([member], Object.fromEntries(alone.map(([slot, parts]) => [slot, parts[i]!])));
  });
}

/** Frees a unit's state. */
export function disposeUnit({ state }: Unit): void {
  for (const tensor of Object.values(state)) tensor.dispose();
}
