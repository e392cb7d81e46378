/** What the adapters of several optimizers need: running steps with given gradients, and reading output names. */
import type { OrthOptimizer } from '@orth/muon';
import type { AdapterContext, Fixture } from '@orth/testing';
import {
  gather,
  reshape,
  sub,
  type Tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';

export type Params = AdapterContext['params'];
export type Inputs = Readonly<Record<string, Tensor>>;
// biome-ignore lint/suspicious/noExplicitAny: any optimizer of the package
export type AnyOptimizer = OrthOptimizer<any>;

/** For groups: every matrix, however small. */
export const matrices = ({ shape }: { readonly shape: readonly number[] }) => shape.length >= 2;

const LAYOUTS = { in_out: 'inOut', out_in: 'outIn' } as const;
/** The fixtures' weights are `[out, in]` unless they say otherwise. */
export const layoutOf = (name: string | undefined) =>
  LAYOUTS[(name ?? 'out_in') as keyof typeof LAYOUTS];

/** Inputs whose names begin with a prefix, without it. */
export const withPrefix = (prefix: string, inputs: Inputs): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(inputs)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, x]) => [name.slice(prefix.length), x]),
  );

/** A pattern for any of these names; of two that fit, the longer one. */
export const anyOf = (names: readonly string[]): string =>
  [...names]
    .sort((a, b) => b.length - a.length)
    .map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('|');

/** Options of `orthogonalize` that the references have beside their triple: an epsilon that is added to the norm. */
export const orthogonalizationOf = ({ normEps = 1e-7 }: Params) => ({
  epsilon: normEps as number,
  epsilonMode: 'add' as const,
});

/** Gradients of one step: every `[steps, …shape]` at `step`, counted from 1. */
export const stepGradient = (gradients: Tensor, step: number): Tensor =>
  tidy(() => reshape(gather(gradients, [step - 1]), gradients.shape.slice(1)));

/** Runs steps on one parameter and disposes the optimizer; `after` sees each step, counted from 1. */
export async function runSteps(
  optimizer: AnyOptimizer,
  start: Tensor,
  gradients: Tensor,
  steps: number,
  after: (step: number, weights: Variable) => unknown,
): Promise<void> {
  const weights = variable(start, true, `fixture/${start.id}-${Math.abs(optimizer.iterations)}`);
  for (let step = 1; step <= steps; step++) {
    const gradient = stepGradient(gradients, step);
    optimizer.applyGradients([{ name: weights.name, tensor: gradient }]);
    gradient.dispose();
    await after(step, weights);
  }
  await optimizer.settle();
  optimizer.dispose();
  weights.dispose();
}

/** The direction of the last step, before learning rate and decay: `optimizer` has learning rate 1 and no decay. */
export async function lastDirection(
  optimizer: AnyOptimizer,
  start: Tensor,
  gradients: Tensor,
  steps: number,
): Promise<Tensor> {
  const zero = tidy(() => sub(start, start));
  let before = zero.clone();
  let direction = zero.clone();
  await runSteps(optimizer, zero, gradients, steps, (_, weights) => {
    direction.dispose();
    direction = sub(before, weights);
    before.dispose();
    before = weights.clone();
  });
  before.dispose();
  zero.dispose();
  return direction;
}

/** The slots of the one variable that an optimizer has state of. */
export async function slotsOf(optimizer: AnyOptimizer) {
  const { variables } = await optimizer.saveState();
  return variables[0]!.slots;
}

/**
 * Whether a fixture recorded a reference instead of a copy: some generators kept the array that the author's code updates
 * in place, so that p1, p2, … all hold the weights after the last step, to the last bit. With a learning rate above 0 no
 * two steps can agree like that. Steps in between are tested against `reference.ts`.
 */
export function isAlias({ outputs }: Fixture, output: string, final: string): boolean {
  const [early, late] = [outputs[output]?.data, outputs[final]?.data];
  return !!early && !!late && early.every((value, i) => value === late[i]);
}

/** Collects outputs by key, each group run once. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item)) ?? [];
    groups.set(key(item), group);
    group.push(item);
  }
  return [...groups.values()];
}
