/** LoRA and its variants: forward, update and merged weight, gradients of Σ y². */
import {
  doraForward,
  doraWeight,
  graloraDelta,
  loraDelta,
  loraForward,
  loraScaling,
  oftForward,
  oftRotation,
  oftWeight,
  oloraFactors,
  pissaFactors,
} from '@orth/lora-group';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  add,
  matMul,
  mul,
  square,
  sum,
  type Tensor,
  tidy,
  valueAndGrads,
} from '@tensorflow/tfjs-core';

const scalingOf = (
  r: number,
  { alpha = r, useRslora = false, scaling }: AdapterContext['params'],
) => scaling ?? loraScaling(r, { alpha, useRslora });

/** Only what is wanted; the rest is disposed. */
function keepWanted(wanted: readonly string[], all: Record<string, Tensor>) {
  for (const [name, x] of Object.entries(all)) if (!wanted.includes(name)) x.dispose();
  return Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name)));
}

/** Gradients of Σ y² by the names `gradA`, `gradB`, … */
function gradients(f: (factors: Tensor[]) => Tensor, factors: Record<string, Tensor>) {
  const names = Object.keys(factors);
  const { value, grads } = valueAndGrads((...xs: Tensor[]) => sum(square(f(xs))))(
    Object.values(factors),
  );
  value.dispose();
  return Object.fromEntries(names.map((name, i) => [`grad${name}`, grads[i]!]));
}

const forward: Adapter = ({ inputs, params, wanted }) => {
  const { x, W, bias, A, B } = inputs as Record<string, Tensor>;
  const scaling = scalingOf(A!.shape[1]!, params);
  const options = { scaling, ...(bias && { bias }) };
  const run = ([a, b]: Tensor[]) => loraForward(x!, W!, { A: a!, B: b! }, options);
  const delta = loraDelta(A!, B!, scaling);
  return keepWanted(wanted, {
    ...(x && { y: run([A!, B!]), ...gradients(run, { A: A!, B: B! }) }),
    merged: add(W!, delta),
    delta,
  });
};

const dora: Adapter = ({ inputs, params, wanted }) => {
  const { x, W, bias, A, B, m } = inputs as Record<string, Tensor>;
  const scaling = scalingOf(A!.shape[1]!, params);
  const options = { scaling, ...(bias && { bias }) };
  const run = ([a, b, magnitude]: Tensor[]) =>
    doraForward(x!, W!, { A: a!, B: b!, magnitude: magnitude! }, options);
  return keepWanted(wanted, {
    y: run([A!, B!, m!]),
    ...gradients(run, { A: A!, B: B!, M: m! }),
    merged: doraWeight(W!, { A: A!, B: B!, magnitude: m! }, { scaling }),
  });
};

const gralora: Adapter = ({ inputs, params }) => {
  const { A, B } = inputs as Record<string, Tensor>;
  return { delta: graloraDelta({ A: A!, B: B! }, scalingOf(A!.shape[2]!, params)) };
};

/** `pissaDelta`, `pissaResidual`, `oloraAB`, `oloraResidual`. */
const init: Adapter = async ({ inputs, params, wanted }) => {
  const r = params.r ?? 8;
  const scaling = scalingOf(r, params);
  const outputs: Record<string, Tensor> = {};
  for (const [name, factors] of [
    ['pissa', pissaFactors],
    ['olora', oloraFactors],
  ] as const) {
    if (!wanted.some((output) => output.startsWith(name))) continue;
    const { A, B, residual } = await factors(inputs.W!, r, scaling);
    outputs[`${name}AB`] = matMul(A, B);
    outputs[`${name}Delta`] = tidy(() => mul(matMul(A, B), scaling));
    outputs[`${name}Residual`] = residual;
    A.dispose();
    B.dispose();
  }
  return keepWanted(wanted, outputs);
};

const oft: Adapter = ({ inputs, params, wanted }) => {
  const { v, x, W } = inputs as Record<string, Tensor>;
  const R = oftRotation(v!);
  const Rneumann = oftRotation(v!, { method: 'neumann', terms: params.neumannTerms ?? 5 });
  return keepWanted(wanted, {
    ...(W && { merged: oftWeight(R, W) }),
    ...(W && x && { y: oftForward(x, R, W) }),
    R,
    Rneumann,
  });
};

export const adapters: Record<string, Adapter> = {
  'lora-group/lora/forward': forward,
  'lora-group/lora/dora': dora,
  'lora-group/lora/gralora': gralora,
  'lora-group/lora/init': init,
  'lora-group/lora/oft': oft,
};
