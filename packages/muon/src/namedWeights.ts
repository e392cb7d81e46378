/** An optimizer's state in tfjs's form: `iter`, then `<variable>/<slot>` for each slot of each variable. */
import { CheckpointError } from '@orth/backend';
import { type Optimizer, Tensor, tensor } from '@tensorflow/tfjs-core';
import { type OptimizerState, parseState, type SlotState } from './checkpoint.js';

/** tfjs's named tensor. */
export type NamedTensor = Extract<Parameters<Optimizer['applyGradients']>[0], unknown[]>[number];

/** Slot under which a variable's number of updates travels. */
const UPDATES = 'updates';

/** A state as named tensors. */
export function toNamedTensors({ iterations, variables }: OptimizerState): NamedTensor[] {
  const weights = [{ name: 'iter', tensor: tensor(iterations, [], 'int32') as Tensor }];
  for (const { name, updates, slots } of variables) {
    for (const [slot, { data, shape, dtype = 'float32' }] of Object.entries(slots)) {
      const values = tensor(data as Float32Array | Int32Array, [...shape], dtype);
      weights.push({ name: `${name}/${slot}`, tensor: values });
    }
    weights.push({ name: `${name}/${UPDATES}`, tensor: tensor(updates, [], 'int32') });
  }
  return weights;
}

/**
 * Inverse of {@link toNamedTensors}; reads the tensors and leaves them alone.
 * @throws CheckpointError if they are not such a list
 */
export async function fromNamedTensors(
  weights: readonly NamedTensor[],
  className: string,
): Promise<OptimizerState> {
  const named = (w: NamedTensor) => typeof w?.name === 'string' && w.tensor instanceof Tensor;
  if (!Array.isArray(weights) || !weights.every(named)) {
    throw new CheckpointError(
      'setWeights: weights must be the { name, tensor } of getWeights; nothing was changed',
    );
  }
  const values = await Promise.all(
    weights.map(async ({ name, tensor: x }) => ({ name, tensor: x, data: await x.data() })),
  );
  const [iter, ...rest] = values;
  if (iter?.name !== 'iter') {
    throw new CheckpointError('setWeights: weights must begin with iter; nothing was changed');
  }
  const variables = new Map<string, { updates?: number; slots: Record<string, SlotState> }>();
  for (const { name, tensor: x, data } of rest) {
    const cut = name.lastIndexOf('/');
    const [variable, slot] = [name.slice(0, cut), name.slice(cut + 1)];
    const entry = variables.get(variable) ?? { slots: {} };
    variables.set(variable, entry);
    if (slot === UPDATES) entry.updates = data[0]!;
    else if (x.dtype === 'int32') entry.slots[slot] = { shape: x.shape, data, dtype: 'int32' };
    else entry.slots[slot] = { shape: x.shape, data };
  }
  return parseState({
    format: 'orth-optimizer',
    version: 1,
    className,
    iterations: iter.data[0],
    nonFiniteSteps: 0,
    variables: [...variables].map(([name, entry]) => ({ name, ...entry })),
  });
}
