/** Learned proximal networks: values and parameter gradients, both architectures, inversion, plug-and-play, schedule. */
import type { Adapter } from '@orth/testing';
import {
  abs,
  dispose,
  grad,
  mean,
  mul,
  reshape,
  type Scalar,
  slice,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  tidy,
  transpose,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import {
  gammaSchedule,
  LPN,
  type PnpAdmmOptions,
  pnpAdmm,
  proximalMatchingLoss,
} from '../../src/index.js';

type Tensors = Readonly<Record<string, Tensor>>;

const assign = (model: LPN, name: string, value: Tensor) =>
  (model.weights[name] as Variable).assign(value as never);

/** The author's names: lin0 is W0, lin k is U k, res k is V k+1 with its bias; matrices are [out, in]. */
const ours = (name: string): { weight: string; matrix: boolean } => {
  const index = Number(/\d+/.exec(name)![0]);
  if (/bias/i.test(name)) return { weight: `c${index + 1}`, matrix: false };
  if (name.startsWith('res')) return { weight: `V${index + 1}`, matrix: true };
  return { weight: index === 0 ? 'W0' : `U${index}`, matrix: true };
};

const WEIGHT = /^(lin|res)(Bias)?\d+$/;

function makeMlp(inputs: Tensors, params: Record<string, number>): LPN {
  const first = inputs.lin0!;
  const layers = Object.keys(inputs).filter((name) => /^lin\d+$/.test(name)).length - 2;
  const model = new LPN({
    dim: first.shape[1]!,
    hidden: first.shape[0]!,
    layers,
    beta: params.beta,
    alpha: params.alpha ?? 0,
  });
  tidy(() => {
    for (const [name, value] of Object.entries(inputs)) {
      if (!WEIGHT.test(name)) continue;
      const { weight, matrix } = ours(name);
      assign(model, weight, matrix ? transpose(value) : value);
    }
  });
  return model;
}

const mlp: Adapter = ({ inputs, params, wanted }) => {
  const model = makeMlp(inputs, params);
  const { x, target } = inputs as Record<string, Tensor>;
  const [B, dim] = x!.shape as [number, number];
  const losses: Record<string, () => Scalar> = {
    L2: () => mul(mean(square(sub(model.apply(x!), target!))), dim) as Scalar,
    L1: () => mean(abs(sub(model.apply(x!), target!))) as Scalar,
    PM: () => proximalMatchingLoss(model.apply(x!), target!, params.gamma),
  };
  const outputs = tidy(() => {
    const made: Record<string, Tensor> = {
      psi: reshape(model.scalar(x!), [B, 1]),
      prox: model.apply(x!),
    };
    for (const [kind, loss] of Object.entries(losses)) {
      if (!wanted.includes(`loss${kind}`)) continue;
      const { value, grads } = variableGrads(loss, model.variables);
      made[`loss${kind}`] = value;
      for (const name of wanted.filter((w) => w.startsWith(`grad${kind}_`))) {
        const { weight, matrix } = ours(name.slice(`grad${kind}_`.length));
        const g = grads[model.weights[weight]!.name]!;
        made[name] = matrix ? transpose(g) : g;
      }
    }
    for (const name of wanted.filter((w) => w.startsWith('jacobianAtRow'))) {
      const row = slice(x!, [Number(name.slice('jacobianAtRow'.length)), 0], [1, dim]);
      const rows = Array.from({ length: dim }, (_, i) =>
        grad((v: Tensor) => sum(slice(model.apply(v), [0, i], [1, 1])))(row),
      );
      made[name] = reshape(stack(rows), [dim, dim]);
    }
    return made;
  });
  model.dispose();
  return outputs;
};

/** Dense weights over features in the order channel, row, column to the order row, column, channel. */
const reorder = (w: Tensor, channels: number, h: number, width: number) =>
  reshape(transpose(reshape(w, [w.shape[0]!, channels, h, width]), [2, 3, 1, 0]), [
    channels * h * width,
    w.shape[0]!,
  ]);

const conv: Adapter = ({ inputs, params }) => {
  const { x } = inputs as Record<string, Tensor>;
  const [, channels, H, W] = x!.shape as [number, number, number, number];
  const hidden = inputs.lin0!.shape[0]!;
  const convolutions = Object.keys(inputs).filter(
    (name) => /^lin\d+$/.test(name) && inputs[name]!.rank === 4,
  ).length;
  const strides = Array.from({ length: convolutions }, (_, k) => 1 + (k % 2));
  const factor = strides.reduce((product, s) => product * s, 1);
  const model = new LPN({
    architecture: 'conv',
    size: [H, W],
    channels,
    hidden,
    strides,
    dense: inputs[`lin${convolutions}`]!.shape[0]!,
    beta: params.beta,
    alpha: params.alpha,
  });
  const outputs = tidy(() => {
    for (const [name, value] of Object.entries(inputs)) {
      if (!WEIGHT.test(name)) continue;
      const { weight, matrix } = ours(name);
      if (!matrix) assign(model, weight, value);
      else if (value.rank === 4) assign(model, weight, transpose(value, [2, 3, 1, 0]));
      else if (name === `lin${convolutions + 1}`) assign(model, weight, transpose(value));
      else {
        const c = name.startsWith('lin') ? hidden : channels;
        assign(model, weight, reorder(value, c, H / factor, W / factor));
      }
    }
    const nhwc = transpose(x!, [0, 2, 3, 1]);
    return {
      psi: reshape(model.scalar(nhwc), [x!.shape[0]!, 1]),
      prox: transpose(model.apply(nhwc), [0, 3, 1, 2]),
    };
  });
  model.dispose();
  return outputs;
};

const priorAdmm: Adapter = async ({ inputs, params, wanted }) => {
  const model = makeMlp(inputs, params);
  const { x, A, b } = inputs as Record<string, Tensor>;
  const { y, value } = await model.prior(x!, { tolerance: 1e-5 });
  const outputs: Record<string, Tensor> = {
    inverse: y,
    prior: value,
    psiAtInverse: model.scalar(y),
  };
  for (const name of wanted.filter((w) => w.startsWith('admm'))) {
    const trace: Tensor[] = [];
    const batch = reshape(b!, [-1, A!.shape[0]!]);
    const { x, z, u } = await pnpAdmm(A!, batch, model, {
      rho: params.rho,
      scale: params.dataScale,
      order: name.slice('admm'.length) as PnpAdmmOptions['order'],
      iterations: params.iterations,
      cgTolerance: 1e-6,
      onStep: (_, { x, z, u }) => {
        trace.push(tidy(() => reshape(stack([x, z!, u!]), [3, A!.shape[1]!])));
      },
    });
    outputs[name] = stack(trace);
    dispose([...trace, batch, x, z, u]);
  }
  model.dispose();
  return outputs;
};

const schedule: Adapter = async ({ inputs, params }) => {
  const outputs: Record<string, number[]> = {};
  for (const [i, plan] of params.cases.entries()) {
    const at = gammaSchedule({
      steps: plan.num_steps,
      pretrainSteps: plan.num_steps_pretrain,
      pretrainLearningRate: plan.pretrain_lr,
      learningRate: plan.lr,
      stages: plan.num_stages,
      gammaMin: plan.sigma_min,
    });
    const steps = Array.from(await inputs[`steps${i}`]!.data(), (step) => at(step));
    outputs[`gamma${i}`] = steps.map(({ gamma }) => gamma ?? 0);
    outputs[`lr${i}`] = steps.map(({ learningRate }) => learningRate);
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'unfolding/lpn/mlp': mlp,
  'unfolding/lpn/conv28': conv,
  'unfolding/lpn/prior-admm': priorAdmm,
  'unfolding/lpn/schedule': schedule,
};
