/** What the adapters of several systems need: masses by name, and outputs of solutions and objectives by name. */
import type { Adapter } from '@orth/testing';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type SparseTransportResult, transportObjectivesAsync } from '../../src/index.js';

export type Inputs = Readonly<Record<string, Tensor>>;
export type Outputs = Record<string, Tensor | ArrayLike<number> | number>;

/** The masses that a fixture gives. */
export const masses = ({ a, b }: Inputs) => ({ ...(a && { a }), ...(b && { b }) });

/** Vectors of length `size` one after the other, each less its mean. */
export function centred(x: ArrayLike<number>, size = x.length): Float64Array {
  const out = Float64Array.from(x);
  for (let from = 0; from < out.length; from += size) {
    const vector = out.subarray(from, from + size);
    const mean = vector.reduce((total, value) => total + value, 0) / size;
    for (let i = 0; i < size; i++) vector[i]! -= mean;
  }
  return out;
}

/** Outputs of a k-sparse or quadratic solve; `<name>Centred` is `<name>` less its mean. */
export function solutionOutputs(result: SparseTransportResult, wanted: readonly string[]): Outputs {
  const { solutions, shape } = result;
  const [m, n] = shape.slice(-2) as [number, number];
  const { alpha, beta } = result.duals;
  const all = (of: (solution: (typeof solutions)[number]) => ArrayLike<number>) =>
    solutions.flatMap((solution) => Array.from(of(solution)));
  const make: Record<string, () => Tensor | ArrayLike<number> | number> = {
    plan: () => result.plan(),
    value: () => solutions.map(({ objective }) => objective),
    transportCost: () => solutions.map(({ transportCost }) => transportCost),
    alpha: () => alpha,
    beta: () => beta,
    alphaCentred: () => centred(alpha, m),
    betaCentred: () => centred(beta, n),
    nnzPerColumn: () => all(({ nonzerosPerColumn }) => nonzerosPerColumn),
    marginalError: () => solutions.map(({ residuals }) => residuals.rows + residuals.columns),
    tieMargin: () => solutions.map(({ tieMargin }) => tieMargin),
    certified: () => solutions.map(({ certified }) => Number(certified)),
  };
  const outputs: Outputs = {};
  for (const name of wanted) if (make[name]) outputs[name] = make[name]();
  result.dispose();
  return outputs;
}

/** The dual at (alpha, beta) and the semi-dual at alpha; without `k` the quadratic ones. */
export const objectives: Adapter = async ({ inputs, params, wanted }) => {
  const { k, gamma = 1 } = params;
  const { alpha, beta } = inputs;
  const { dual, semiDual } = await transportObjectivesAsync(inputs.C!, {
    ...masses(inputs),
    gamma,
    alpha: alpha!,
    ...(beta && { beta }),
    ...(k !== undefined && { k }),
  });
  const outputs: Outputs = {};
  for (const [prefix, objective] of [
    ['dual', dual],
    ['semi', semiDual],
  ] as const) {
    if (!objective) continue;
    outputs[`${prefix}Value`] = objective.value;
    outputs[`${prefix}GradAlpha`] = objective.gradientAlpha;
    outputs[`${prefix}GradBeta`] = objective.gradientBeta;
    outputs[`${prefix}Plan`] = objective.plan;
    outputs[`${prefix}Beta`] = objective.beta;
  }
  return Object.fromEntries(Object.entries(outputs).filter(([name]) => wanted.includes(name)));
};
