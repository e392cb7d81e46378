/** `ot-sparse/sparsity-constrained/…` */
import type { Adapter } from '@orth/testing';
import type { Tensor } from '@tensorflow/tfjs-core';
import {
  projectSparseSimplex,
  sparseTransportAsync,
  transportObjectivesAsync,
} from '../../src/index.js';
import { masses, objectives, solutionOutputs } from './shared.js';

const project: Adapter = ({ inputs, params }) => {
  const z = inputs.z ?? params.z ?? 1;
  const { k, axis = 0 } = params;
  return { projection: projectSparseSimplex(inputs.V!, { k, z, axis }) };
};

const solve: Adapter = async ({ inputs, params, wanted }) => {
  const { k, gamma = 1 } = params;
  const options = { ...masses(inputs), k, gamma, allowInfeasible: true };
  return solutionOutputs(await sparseTransportAsync(inputs.C!, options), wanted);
};

/** At k = 1: S at the given potentials, and the exact cost from the greatest S less what the regularisation adds. */
const k1Limit: Adapter = async ({ inputs, params, wanted }) => {
  const { k = 1, gamma = 1 } = params;
  const { semiDual } = await transportObjectivesAsync(inputs.C!, {
    ...masses(inputs),
    k,
    gamma,
    alpha: inputs.alpha!,
  });
  const outputs: Record<string, number | Tensor> = {};
  if (wanted.includes('semiValueAtAlpha')) outputs.semiValueAtAlpha = semiDual.value;
  if (wanted.includes('emd')) {
    const b = inputs.b ? [...(await inputs.b.data())] : [];
    const squares = inputs.b
      ? b.reduce((total, mass) => total + mass * mass, 0)
      : 1 / inputs.C!.shape[1]!;
    outputs.emd = semiDual.value - (gamma / 2) * squares;
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/sparsity-constrained/projectSparseSimplex': project,
  'ot-sparse/sparsity-constrained/objectives': objectives,
  'ot-sparse/sparsity-constrained/solve': solve,
  'ot-sparse/sparsity-constrained/k1Limit': k1Limit,
};
