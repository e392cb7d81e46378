import {
  type Optimizer,
  type Tensor,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import type { ReproContext } from '../harness/repro.js';

/** Hidden matrices of a small GPT's two blocks. */
const SHAPES = Array.from({ length: 2 }, () => [
  [256, 256],
  [256, 256],
  [256, 256],
  [256, 256],
  [256, 1024],
  [1024, 256],
]).flat();
export const STEP_SETTING = `one step on ${SHAPES.length} matrices of a GPT of width 256, named hidden<i>, medians`;

let made = 0;

/**
 * Median milliseconds of one step of each optimizer on the same matrices, taking turns.
 * @param create - optimizers by name
 */
export async function stepTimes<Name extends string>(
  { random, quick }: ReproContext,
  seed: number,
  create: Readonly<Record<Name, () => Optimizer>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(create) as Name[];
  const source = random(seed);
  const gradients = SHAPES.map((shape) => source.normalTensor(shape));
  const runs = names.map((name) => {
    const prefix = `steptime${made++}`;
    const variables = SHAPES.map((shape, i) =>
      tidy(() => variable(zeros(shape), true, `${prefix}/hidden${i}`)),
    );
    return { name, optimizer: create[name](), variables, times: [] as number[] };
  });
  const rounds = quick ? 5 : 9;
  for (let round = -2; round < rounds; round++) {
    for (const { optimizer, variables, times } of runs) {
      const map = Object.fromEntries(variables.map(({ name }, i) => [name, gradients[i]!]));
      const start = performance.now();
      optimizer.applyGradients(map as never);
      await (variables.at(-1) as Variable).data();
      // The first two rounds warm up.
      if (round >= 0) times.push(performance.now() - start);
    }
  }
  for (const { optimizer, variables } of runs) {
    optimizer.dispose();
    for (const v of variables) v.dispose();
  }
  for (const g of gradients as Tensor[]) g.dispose();
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
  return Object.fromEntries(runs.map(({ name, times }) => [name, median(times)])) as Record<
    Name,
    number
  >;
}
