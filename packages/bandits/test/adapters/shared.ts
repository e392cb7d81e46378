/** Reading fixtures: inputs to the host, networks out of their matrices. */
import type { AdapterContext } from '@orth/testing';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Activation } from '../../src/neural/activations.js';
import { DiagonalConfidence } from '../../src/neural/diagonalConfidence.js';
import { Mlp } from '../../src/neural/mlp.js';

export type Inputs = Readonly<Record<string, Float64Array>>;

/** All inputs as float64 on the host. */
export async function hostInputs({ inputs }: AdapterContext): Promise<Inputs> {
  const entries = Object.entries(inputs as Record<string, Tensor>);
  const read = entries.map(async ([name, x]) => [name, Float64Array.from(await x.data())] as const);
  return Object.fromEntries(await Promise.all(read));
}

/** A network of the given layers, all parameters in `theta` order. */
export function networkOf(
  dim: number,
  hidden: readonly number[],
  activation: Activation,
  theta: ArrayLike<number>,
): Mlp {
  const room = DiagonalConfidence.extraFloats(dim, 1, hidden);
  const net = new Mlp({ dim, blocks: 1, hidden, activation, scale: 1 }, room);
  if (theta.length !== net.parameterCount) {
    throw new RangeError(`${theta.length} parameters for a network of ${net.parameterCount}`);
  }
  net.theta.set(theta);
  return net;
}

/** The network whose matrices are the inputs W1, b1, W2, b2, … */
export function networkOfMatrices(context: AdapterContext, inputs: Inputs): Mlp {
  const hidden: number[] = [];
  const parts: number[] = [];
  let l = 1;
  for (; inputs[`W${l}`]; l++) {
    const W = inputs[`W${l}`]!;
    const outputs = context.inputs[`W${l}`]!.shape.at(-1)!;
    if (inputs[`W${l + 1}`]) hidden.push(outputs);
    parts.push(...W, ...(inputs[`b${l}`] ?? new Float64Array(outputs)));
  }
  const [dim] = context.inputs.W1!.shape;
  return networkOf(dim!, hidden, context.params.activation ?? 'relu', parts);
}

/** Numbers that the generator may leave out or write as null. */
export const optional = (value: number | null | undefined, otherwise: number) => value ?? otherwise;
