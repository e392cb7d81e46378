/** `ot-sparse/entropic/…`, without the divergence. */
import type { Adapter } from '@orth/testing';
import { type SinkhornOptions, type SinkhornResult, sinkhornAsync } from '../../src/index.js';
import { centred, masses, type Outputs } from './shared.js';

function entropicOutputs(result: SinkhornResult, wanted: readonly string[]): Outputs {
  const { solutions, shape } = result;
  const [m, n] = shape.slice(-2) as [number, number];
  const { alpha, beta } = result.duals;
  const make: Record<string, () => Outputs[string]> = {
    plan: () => result.plan(),
    value: () => solutions.map(({ objective }) => objective),
    transportCost: () => solutions.map(({ transportCost }) => transportCost),
    // Σ T(log T − 1), the entropy in Cuturi's convention.
    negEntropy: () =>
      solutions.map((solution) =>
        solution.entries().values.reduce((total, t) => total + t * (Math.log(t) - 1), 0),
      ),
    f: () => alpha,
    g: () => beta,
    fCentred: () => centred(alpha, m),
    gCentred: () => centred(beta, n),
    mass: () => solutions.map(({ mass }) => mass),
    marginalError: () => solutions.map(({ residuals }) => residuals.rows + residuals.columns),
  };
  const outputs: Outputs = {};
  for (const name of wanted) if (make[name]) outputs[name] = make[name]();
  result.dispose();
  return outputs;
}

/** Run to convergence: fixtures hold optima. */
const CONVERGED = { tolerance: 1e-10, maxIterations: 100_000 };

const solve: Adapter = async ({ inputs, params, wanted }) => {
  const { epsilon } = params;
  const options: SinkhornOptions = { ...masses(inputs), epsilon, ...CONVERGED };
  const result = await sinkhornAsync(inputs.C!, options);
  // Fixtures mean ⟨f, a⟩ + ⟨g, b⟩, which lacks ε times the mass of a bᵀ less that of the plan: 0 for masses of 1.
  const value = result.solutions.map(
    ({ objective, mass }) => objective - epsilon * (mass * mass - mass),
  );
  const outputs = entropicOutputs(result, wanted);
  return { ...outputs, ...(wanted.includes('value') && { value }) };
};

const solveUnbalanced: Adapter = async ({ inputs, params, wanted }) => {
  const { epsilon, rho, rhoA, rhoB, penalty = 'kl' } = params;
  const options: SinkhornOptions = {
    ...masses(inputs),
    epsilon,
    ...(rho !== undefined && { rho }),
    ...(rhoA !== undefined && { rhoA }),
    ...(rhoB !== undefined && { rhoB }),
    marginalPenalty: penalty,
    ...CONVERGED,
  };
  return entropicOutputs(await sinkhornAsync(inputs.C!, options), wanted);
};

/** Potentials and columns' error after each of the first iterations from zeros. */
const trace: Adapter = async ({ inputs, params, wanted }) => {
  const { epsilon, iterations } = params;
  const columns: Record<string, number[]> = { f: [], g: [], columnError: [], rowError: [] };
  for (let maxIterations = 1; maxIterations <= iterations; maxIterations++) {
    const options = { ...masses(inputs), epsilon, maxIterations, tolerance: 0 };
    const result = await sinkhornAsync(inputs.C!, options);
    for (const { alpha, beta, residuals } of result.solutions) {
      columns.f!.push(...alpha);
      columns.g!.push(...beta);
      columns.columnError!.push(residuals.columns);
      columns.rowError!.push(residuals.rows);
    }
    result.dispose();
  }
  return Object.fromEntries(Object.entries(columns).filter(([name]) => wanted.includes(name)));
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/entropic/solve': solve,
  'ot-sparse/entropic/solveUnbalanced': solveUnbalanced,
  'ot-sparse/entropic/sinkhornTrace': trace,
};
