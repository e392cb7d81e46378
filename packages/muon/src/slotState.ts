/** A variable's state between the optimizer's tensors and plain data, and how a step's results are written. */
import { broadcastTo, keep, reshape, type Tensor, tensor1d, where } from '@tensorflow/tfjs-core';
import type { SlotState, VariableState } from './checkpoint.js';
import {
  adopt,
  disposeUnit,
  slotType,
  type Target,
  type UnitInput,
  type UnitOutput,
  type Update,
  unpack,
} from './targets.js';

/** A target's own part of its unit's state, in the slots' shapes; call it inside `tidy`. */
export function stateOf({ unit, name }: Target): Record<string, Tensor> {
  const { members, state } = unit!;
  const at = members.findIndex((member) => member.name === name);
  return Object.fromEntries(
    Object.entries(state).map(([slot, flat]) => {
      const shapes = members.map(({ slots }) => slots[slot]!);
      return [slot, unpack(flat, shapes)[at]!];
    }),
  );
}

/** Reads slots back and disposes them. */
export async function readSlots(slots: Record<string, Tensor>): Promise<Record<string, SlotState>> {
  const entries = Object.entries(slots).map(async ([slot, x]) => {
    const values = await x.data();
    x.dispose();
    const shape = [...x.shape];
    const saved: SlotState =
      x.dtype === 'int32'
        ? { shape, data: Int32Array.from(values), dtype: 'int32' }
        : { shape, data: Float32Array.from(values) };
    return [slot, saved] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Gives a target its saved state. */
export function fill(target: Target, { updates, slots }: VariableState): void {
  if (target.unit) disposeUnit(target.unit);
  const state = Object.entries(slots).map(([slot, { data }]) => {
    const dtype = slotType(target.method, slot);
    const values = (dtype === 'int32' ? Int32Array : Float32Array).from(data);
    return [slot, keep(tensor1d(values, dtype))] as const;
  });
  adopt([target], Object.fromEntries(state));
  target.updates = updates;
}

/**
 * Writes a unit's new weights and state.
 * @param mask - scalar bool on the device; where it is false, what was there before stays, to the last bit
 */
export function commit(
  group: readonly Update[],
  output: UnitOutput,
  { members, weights, state }: UnitInput<unknown>,
  mask?: Tensor,
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
    // A copy by reference, since a rule may return the very tensor that it was given.
    unit.state[slot] = keep(choose(next, former).clone());
    former.dispose();
  }
}
