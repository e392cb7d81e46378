/** `ot-sparse/quadratic/…` */
import type { Adapter } from '@orth/testing';
import { quadraticTransportAsync } from '../../src/index.js';
import { masses, objectives, solutionOutputs } from './shared.js';

const solve: Adapter = async ({ inputs, params, wanted }) => {
  const { gamma = 1 } = params;
  const options = { ...masses(inputs), gamma };
  return solutionOutputs(await quadraticTransportAsync(inputs.C!, options), wanted);
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/quadratic/solve': solve,
  'ot-sparse/quadratic/objectives': objectives,
};
