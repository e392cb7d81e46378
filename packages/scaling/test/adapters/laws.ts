import type { Adapter } from '@orth/testing';
import {
  dataEfficiency,
  effectiveData,
  fitChinchilla,
  fitPowerLaw,
  fitReciprocal,
} from '../../src/index.js';

const QUICK = { bootstrap: 0 };

/** Series are numbered: x0, y0 → params0, rmse0; a single one may be without a number. */
const powerLaw: Adapter = ({ fixture: { inputs }, params }) => {
  const outputs: Record<string, number[]> = {};
  for (const name of Object.keys(inputs)) {
    const suffix = /^x(\d*)$/.exec(name)?.[1];
    const y = inputs[`y${suffix}`];
    if (suffix === undefined || !y) continue;
    const options = { ...QUICK, ...(params.robust && { robust: true }) };
    const { A, alpha, E, rmse } = fitPowerLaw(inputs[name]!.data, y.data, options);
    outputs[`params${suffix}`] = [A, alpha, E];
    outputs[`rmse${suffix}`] = [rmse];
    outputs[`asymptote${suffix}`] = [E];
  }
  return outputs;
};

const chinchilla: Adapter = ({ fixture: { inputs } }) => {
  const loss = (inputs.loss ?? inputs.y)!.data;
  const { A, alpha, B, beta, E, rmse } = fitChinchilla(inputs.N!.data, inputs.D!.data, loss, QUICK);
  return { params: [A, alpha, B, beta, E], rmse };
};

const reciprocal: Adapter = ({ fixture: { inputs } }) => {
  const { A, E, rmse } = fitReciprocal(inputs.x!.data, inputs.y!.data, QUICK);
  return { params: [A, E], rmse };
};

const effective: Adapter = ({ fixture: { inputs }, params }) => {
  const { A, alpha, E, baselineLoss } = params;
  const law = { A, alpha, E };
  const loss = inputs.loss!.data;
  return {
    effectiveData: loss.map((l) => effectiveData(l, law)),
    ...(baselineLoss !== undefined && {
      efficiency: loss.map((l) => dataEfficiency(l, law, baselineLoss)),
    }),
  };
};

export const adapters: Record<string, Adapter> = {
  'scaling/infinite-compute/fitPowerLaw': powerLaw,
  'scaling/infinite-compute/fitChinchilla': chinchilla,
  'scaling/infinite-compute/fitReciprocal': reciprocal,
  'scaling/infinite-compute/effectiveData': effective,
};
