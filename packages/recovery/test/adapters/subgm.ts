import {
  denseMeasurement,
  robustLoss,
  type SubgmSchedule,
  spectralInit,
  subgm,
} from '@orth/recovery';
import type { Adapter } from '@orth/testing';
import {
  add,
  div,
  matMul,
  mul,
  sign,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

const SCHEDULES: Record<string, SubgmSchedule> = {
  geometric: 'geometric',
  polyak: 'polyak',
  'polyak-known': 'polyakKnown',
  polyakKnown: 'polyakKnown',
};

const trace: Adapter = async ({ fixture, inputs, params }) => {
  const A = denseMeasurement(inputs.A as Tensor3D);
  const U0 = inputs.U0 as Tensor2D;
  const first = Object.values(fixture.outputs).find(({ shape }) => shape.length > 0)!;
  const kept: Tensor[] = [];
  const schedule = SCHEDULES[params.schedule ?? 'geometric'];
  if (!schedule) throw new Error(`unknown schedule ${params.schedule}`);
  const { U, X, history } = await subgm(A, inputs.y as Tensor1D, {
    rank: U0.shape[1],
    init: U0,
    steps: params.steps ?? first.shape[0]!,
    schedule,
    ...(params.eta0 !== undefined && { eta0: params.eta0 }),
    ...(params.rho !== undefined && { rho: params.rho }),
    ...(params.optimum !== undefined && { optimum: params.optimum }),
    ...(inputs.xTrue && { truth: inputs.xTrue }),
    onStep: ({ factors }) => kept.push(factors[0]!.clone()),
  });
  const all = await Promise.all(kept.map((x) => x.data()));
  for (const x of [...kept, U, X]) x.dispose();
  A.dispose?.();
  return {
    U: all.flatMap((x) => Array.from(x)),
    loss: history.map(({ loss }) => loss),
    step: history.map(({ step }) => step),
    Qnorm: history.map(({ qNorm }) => qNorm),
    relError: history.map(({ relError }) => relError ?? Number.NaN),
  };
};

const subgradient: Adapter = ({ inputs }) => {
  const A = denseMeasurement(inputs.A as Tensor3D);
  const U = inputs.U as Tensor2D;
  const { value, residual, Q } = robustLoss(A, inputs.y as Tensor1D, U);
  const QU = matMul(Q, U);
  A.dispose?.();
  return { loss: value, residual, Q, QU, gradient: mul(QU, 2) };
};

const init: Adapter = async ({ inputs, params }) => {
  const A = denseMeasurement(inputs.A as Tensor3D);
  const y = inputs.y as Tensor1D;
  const { rank, alpha = 1e-3 } = params;
  const [U0, B] = await Promise.all(
    [alpha, 1].map((size) => spectralInit(A, y, { rank, alpha: size })),
  );
  const C = tidy(() => {
    const Z = div(A.adjoint(sign(y)), A.m);
    return div(add(Z, transpose(Z)), 2);
  });
  const out = { C, BBt: matMul(B!, B!, false, true), U0U0t: matMul(U0!, U0!, false, true) };
  for (const x of [U0!, B!, A]) x.dispose?.();
  return out;
};

export const adapters: Record<string, Adapter> = {
  'recovery/subgm/trace': trace,
  'recovery/subgm/subgradient': subgradient,
  'recovery/subgm/init': init,
};
