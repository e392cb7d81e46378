import type { Adapter } from '@orth/testing';
import { sinkhornDivergenceAsync } from '../../src/index.js';

/** Debiased unless said otherwise; masses (`a`, `b`) and `reach` may be absent. */
const divergence: Adapter = async ({ inputs, params, wanted }) => {
  const { x, y } = inputs;
  const a = inputs.a ?? inputs.weightsX;
  const b = inputs.b ?? inputs.weightsY;
  const { p = 2, blur = 0.05, reach, debias = true } = params;
  const result = await sinkhornDivergenceAsync(x!, y!, {
    a,
    b,
    p,
    blur,
    debias,
    ...(reach !== undefined && reach !== null && { reach }),
    tolerance: 1e-9,
    maxIterations: 100000,
  });
  const value = result.values;
  const gradients = wanted.some((name) => name.startsWith('grad'))
    ? result.solutions[0]!.gradients()
    : undefined;
  result.dispose();
  return {
    value,
    ...(gradients && {
      gradX: gradients.x,
      gradY: gradients.y,
      gradA: gradients.a,
      gradB: gradients.b,
    }),
  };
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/entropic/sinkhornDivergence': divergence,
};
