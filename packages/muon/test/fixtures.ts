/**
 * Adapters for golden fixtures: what an op's inputs, parameters and wanted outputs mean to our functions. Everything is
 * read off the names, so that fixtures with other shapes, steps and variants run as they are.
 */
import {
  type LearningRateAdjustment,
  Muon,
  type MuonOptions,
  type ParameterGroup,
  qkClip,
} from '@orth/muon';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  add,
  div,
  gather,
  matMul,
  max,
  mean,
  mul,
  reshape,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
  transpose,
  type Variable,
  variable,
  zerosLike,
} from '@tensorflow/tfjs-core';

import { adapters as auon } from './adapters/auon.js';
import { adapters as dct } from './adapters/dct.js';
import { adapters as normuon } from './adapters/normuon.js';
import { adapters as root } from './adapters/root.js';
import { anyOf, isAlias, orthogonalizationOf } from './adapters/shared.js';

type Params = AdapterContext['params'];

const LAYOUTS = { in_out: 'inOut', out_in: 'outIn' } as const;
const layoutOf = (name: string | undefined) => LAYOUTS[(name ?? 'in_out') as keyof typeof LAYOUTS];

const ADJUSTMENTS: Record<string, LearningRateAdjustment> = {
  original: 'original',
  match_rms_adamw: 'matchRmsAdamW',
  rms_to_rms: 'spectral',
  spectral: 'spectral',
  none: 'none',
};

/** What a variant's name changes against the fixture's parameters. */
function variantOptions(variant: string, params: Params): MuonOptions {
  if (variant === 'plain_momentum') return { nesterov: false };
  if (variant === 'cautious') {
    return {
      weightDecayMode: 'cautious',
      weightDecay: Math.max(params.weightDecay ?? 0, 0.1),
    };
  }
  const adjustLearningRate = ADJUSTMENTS[variant];
  if (!adjustLearningRate) throw new Error(`unknown variant ${variant}`);
  return { adjustLearningRate };
}

function muonOptions(params: Params): MuonOptions {
  const { learningRate = 0.02, weightDecay = 0, momentum = 0.95, nesterov = true } = params;
  const { nsSteps, nsCoefficients } = params;
  return {
    learningRate,
    weightDecay,
    momentum,
    nesterov,
    layout: layoutOf(params.layout),
    orthogonalization: {
      ...orthogonalizationOf(params),
      ...(nsSteps !== undefined && { steps: nsSteps }),
      ...(nsCoefficients && { coefficients: [nsCoefficients] }),
    },
    // The auxiliary AdamW of the fixtures has a tenth of the learning rate.
    adamW: {
      learningRate: learningRate / 10,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-10,
      weightDecay,
    },
  };
}

/** Runs steps with given gradients; `after` sees each step, counted from 1. */
async function run(
  options: MuonOptions,
  start: Readonly<Record<string, Tensor>>,
  gradients: Readonly<Record<string, Tensor>>,
  steps: number,
  after: (step: number, weights: ReadonlyMap<string, Variable>, optimizer: Muon) => unknown,
): Promise<void> {
  const optimizer = new Muon(options);
  const weights = new Map(
    Object.entries(start).map(([name, w]) => [name, variable(w, true, `fixture/${name}`)]),
  );
  for (let step = 1; step <= steps; step++) {
    const now = [...weights].map(([key, { name, shape }]) => ({
      name,
      tensor: tidy(() => reshape(gather(gradients[key]!, [step - 1]), shape)),
    }));
    optimizer.applyGradients(now);
    for (const { tensor } of now) tensor.dispose();
    await after(step, weights, optimizer);
  }
  await optimizer.settle();
  optimizer.dispose();
  for (const w of weights.values()) w.dispose();
}

const withPrefix = (prefix: string, inputs: Readonly<Record<string, Tensor>>) =>
  Object.fromEntries(
    Object.entries(inputs)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, x]) => [name.slice(prefix.length), x]),
  );

const matrices = /./;

/** `p<t>_<param>_<variant>` and `buf_<param>_<variant>`: several kernels through several steps. */
const steps: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const pattern = new RegExp(`^(?:p(\\d+)|(buf))_(${names})_(.+)$`);
  const total = params.steps ?? Object.values(gradients)[0]!.shape[0];
  const parsed = wanted.map((output) => {
    const match = pattern.exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, at, buffer, name, variant] = match as unknown as string[];
    const last = buffer !== undefined || isAlias(fixture, output, `p${total}_${name}_${variant}`);
    return { output, step: last ? total : Number(at), buffer, name: name!, variant: variant! };
  });
  const outputs: Record<string, Tensor | ArrayLike<number>> = {};
  for (const variant of new Set(parsed.map((p) => p.variant))) {
    const mine = parsed.filter((p) => p.variant === variant);
    const groups: ParameterGroup[] = [
      { match: ({ shape }) => shape.length >= 2, optimizer: 'muon' },
    ];
    const options = { ...muonOptions(params), ...variantOptions(variant, params), groups };
    const last = Math.max(...mine.map(({ step }) => step));
    await run(options, start, gradients, last, async (step, weights, optimizer) => {
      for (const { output, name, buffer } of mine.filter((p) => p.step === step)) {
        if (!buffer) {
          outputs[output] = weights.get(name)!.clone();
          continue;
        }
        const { variables } = await optimizer.saveState();
        outputs[output] = variables.find((v) => v.name === `fixture/${name}`)!.slots.momentum!.data;
      }
    });
  }
  return outputs;
};

/** `p<t>_<kind>[_in_out|_out_in]_<variant>`, where a kind that begins with `batch` has a batch on axis 0. */
const layouts: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const start = withPrefix('p_', inputs);
  const gradients = withPrefix('g_', inputs);
  const names = anyOf(Object.keys(start));
  const pattern = new RegExp(`^p(\\d+)_(${names})(?:_(in_out|out_in))?_(.+)$`);
  const outputs: Record<string, Tensor> = {};
  for (const output of wanted) {
    const match = pattern.exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const [, at, name, layout, variant] = match;
    const total = params.steps ?? gradients[name!]!.shape[0];
    const step = isAlias(fixture, output, output.replace(`p${at}_`, `p${total}_`)) ? total : +at!;
    const group: ParameterGroup = {
      match: matrices,
      optimizer: 'muon',
      layout: layoutOf(layout ?? params.layout),
      ...(name!.startsWith('batch') && { batchAxes: [0] }),
    };
    const options = {
      ...muonOptions(params),
      ...variantOptions(variant!, params),
      groups: [group],
    };
    const only = { [name!]: start[name!]! };
    await run(options, only, gradients, step, (t, weights) => {
      if (t === step) outputs[output] = weights.get(name!)!.clone();
    });
  }
  return outputs;
};

/** Least squares from zero, with the learning rates that the fixture's text fixes. */
const leastSquares: Adapter = async ({ inputs, params, wanted }) => {
  const A = inputs.A as Tensor2D;
  const B = inputs.B as Tensor2D;
  const { steps: total = 60, compareSteps = 15 } = params;
  const outputs: Record<string, Tensor | number | number[]> = {};
  const residual = (W: Tensor) => sub(matMul(A, W as Tensor2D), B);
  const loss = (W: Tensor) => tidy(() => mul(mean(sum(square(residual(W)), 1)), 0.5));
  const gradient = (W: Tensor) => tidy(() => div(matMul(A, residual(W), true), A.shape[0]));
  const pattern = /^(?:loss|loss_final\d+|W\d+)_(?!final\d|optimum$)(.+)$/;
  const variants = wanted.flatMap((name) => pattern.exec(name)?.[1] ?? []);
  for (const variant of new Set(variants)) {
    const W = tidy(() =>
      variable(zerosLike(matMul(A, B, true)), true, `fixture/${variant}`),
    ) as Variable;
    const optimizer = new Muon({
      learningRate: (t) => 0.6 * (1 - t / total),
      nesterov: !variant.includes('nonesterov'),
      groups: [{ match: matrices, optimizer: 'muon' }],
    });
    let velocity: Tensor = zerosLike(W);
    const values: Tensor[] = [];
    for (let t = 0; t < total; t++) {
      values.push(loss(W));
      const g = gradient(W);
      if (variant.startsWith('sgdm')) {
        const next = tidy(() => add(mul(velocity, 0.9), g));
        velocity.dispose();
        velocity = next;
        tidy(() => {
          W.assign(sub(W, mul(velocity, 0.1 * (1 - t / total))));
        });
      } else {
        optimizer.applyGradients([{ name: W.name, tensor: g }]);
      }
      g.dispose();
      const name = `W${t + 1}_${variant}`;
      if (wanted.includes(name)) outputs[name] = W.clone();
    }
    velocity.dispose();
    await optimizer.settle();
    optimizer.dispose();
    W.dispose();
    // Read back together: a software GPU takes longer for one read than for a step.
    const all = tidy(() => stack(values));
    const numbers = Array.from(await all.data());
    for (const x of [all, ...values]) x.dispose();
    outputs[`loss_${variant}`] = numbers.slice(0, compareSteps);
    outputs[`loss_final${total}_${variant}`] = numbers[total - 1]!;
  }
  const best = solve(A, B);
  const optimum = loss(best);
  outputs.loss_optimum = (await optimum.data())[0]!;
  optimum.dispose();
  best.dispose();
  return outputs;
};

/** Least-squares solution by gradient descent with conjugate directions, column by column of the normal equations. */
function solve(A: Tensor2D, B: Tensor2D): Tensor {
  return tidy(() => {
    const H = matMul(A, A, true);
    let X: Tensor = zerosLike(matMul(A, B, true));
    let R: Tensor = matMul(A, B, true);
    let P = R;
    let rr = sum(square(R), 0, true);
    for (let i = 0; i < 2 * H.shape[0]; i++) {
      const HP = matMul(H, P as Tensor2D);
      const step = div(rr, add(sum(mul(P, HP), 0, true), 1e-30));
      X = add(X, mul(P, step));
      R = sub(R, mul(HP, step));
      const next = sum(square(R), 0, true);
      P = add(R, mul(P, div(next, add(rr, 1e-30))));
      rr = next;
    }
    return X;
  });
}

/** Greatest logit of each head, and what clipping makes of the projections and of it. */
const clip: Adapter = async ({ inputs, params }) => {
  const { tau, heads, headDim } = params;
  const layout = layoutOf(params.layout);
  const X = inputs.X as Tensor2D;
  const perHead = (W: Tensor) => {
    const projected = matMul(X, W as Tensor2D, false, layout === 'outIn');
    return transpose(reshape(projected, [X.shape[0], heads, headDim]), [1, 0, 2]);
  };
  const maxLogits = (wq: Tensor, wk: Tensor) =>
    tidy(() => max(div(matMul(perHead(wq), perHead(wk), false, true), Math.sqrt(headDim)), [1, 2]));
  const maxLogit = maxLogits(inputs.Wq!, inputs.Wk!);
  const options = { threshold: tau, heads, layout };
  const { query, key, gamma } = qkClip(inputs.Wq!, inputs.Wk!, maxLogit, options);
  const maxLogit_after = maxLogits(query, key);
  return { maxLogit, gamma, Wq_clipped: query, Wk_clipped: key, maxLogit_after };
};

export const adapters: Record<string, Adapter> = {
  'muon/muon/steps': steps,
  'muon/muon/layouts': layouts,
  'muon/muon/least-squares': leastSquares,
  'muon/muon/qk-clip': clip,
  ...auon,
  ...dct,
  ...normuon,
  ...root,
};
