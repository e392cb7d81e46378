import {
  adversarialStep,
  compSumLoss,
  marginDeltaNorm,
  pgd,
  rhoMarginLoss,
  smoothAdversarialLoss,
} from '@orth/losses';
import type { Adapter } from '@orth/testing';
import {
  add,
  type DataType,
  grad,
  grads,
  matMul,
  relu,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';

/** `loss_tau<τ>` and `grad_tau<τ>` for each τ wanted. */
const values: Adapter = ({ inputs, wanted }) => {
  const { logits, labels, weights } = inputs as Record<string, Tensor>;
  const outputs: Record<string, Tensor> = {};
  for (const output of wanted) {
    const match = /^(loss|grad)_tau(.+)$/.exec(output);
    if (!match) throw new Error(`unknown output ${output}`);
    const options = { tau: Number(match[2]), weights, reduction: 'none' } as const;
    const loss = (s: Tensor) => compSumLoss(s, labels!, options);
    outputs[output] = match[1] === 'loss' ? loss(logits!) : grad((s) => sum(loss(s)))(logits!);
  }
  return outputs;
};

/** The loss at given clean and adversarial logits, its parts and its gradients. */
const smooth: Adapter = ({ inputs, params, wanted }) => {
  const { logits, logitsAdv, labels } = inputs as Record<string, Tensor>;
  const { tau = 1, rho = 1, nu = 1, eps: epsilon } = params;
  const options = { tau, rho, nu, epsilon, reduction: 'none' } as const;
  const loss = (s: Tensor, t: Tensor) => smoothAdversarialLoss(s, t, labels!, options);
  const [grad_logits, grad_logitsAdv] = grads((s, t) => sum(loss(s!, t!)))([logits!, logitsAdv!]);
  const all: Record<string, Tensor> = {
    base: smoothAdversarialLoss(logits!, logitsAdv!, labels!, { ...options, nu: 0 }),
    deltaNorm: marginDeltaNorm(logitsAdv!, logits!, labels!, { epsilon }),
    loss: loss(logits!, logitsAdv!),
    grad_logits: grad_logits!,
    grad_logitsAdv: grad_logitsAdv!,
    rhoMargin_logits: rhoMarginLoss(logits!, labels!, { tau, rho, reduction: 'none' }),
    rhoMargin_logitsAdv: rhoMarginLoss(logitsAdv!, labels!, { tau, rho, reduction: 'none' }),
  };
  return pick(all, wanted);
};

function pick(all: Record<string, Tensor>, wanted: readonly string[]): Record<string, Tensor> {
  for (const [name, x] of Object.entries(all)) if (!wanted.includes(name)) x.dispose();
  return Object.fromEntries(wanted.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
}

/** A network `relu(… relu(x W1 + b1) …) Wk + bk` on any number of layers. */
function network(weights: Readonly<Record<string, Tensor>>): (x: Tensor) => Tensor {
  const depth = Object.keys(weights).filter((name) => /^W\d+$/.test(name)).length;
  const apply = (x: Tensor) => {
    let h = x;
    for (let layer = 1; layer <= depth; layer++) {
      h = matMul(h as Tensor2D, weights[`W${layer}`] as Tensor2D);
      if (weights[`b${layer}`]) h = add(h, weights[`b${layer}`]!);
      if (layer < depth) h = relu(h);
    }
    return h;
  };
  return (x) => tidy(() => apply(x));
}

/** The inner search from a given start, and the training step's loss and gradients. */
const adversarial: Adapter = ({ inputs, params, wanted }) => {
  const { x, labels, x0 } = inputs as Record<string, Tensor>;
  const names = Object.keys(inputs).filter((name) => /^[Wb]\d+$/.test(name));
  const variables = Object.fromEntries(
    names.map((name) => [
      name,
      variable(inputs[name]!, true, `fixture/${name}`, inputs[name]!.dtype as DataType),
    ]),
  ) as Record<string, Variable>;
  const model = network(variables);
  const { gamma, stepSize, steps = 10, norm = 'linf', clip = [0, 1], eps: epsilon } = params;
  const { tau = 1, rho = 1, nu = 1, weightDecay = 0 } = params;
  const search = { radius: gamma, stepSize, steps, norm, clip, start: x0 };
  const clean = model(x!);
  const objective = (z: Tensor) => marginDeltaNorm(model(z), clean, labels!, { epsilon });
  const outputs: Record<string, Tensor> = {};
  for (const output of wanted) {
    const step = /^xAdv(?:_step(\d+))?$/.exec(output);
    if (step) outputs[output] = pgd(objective, x!, { ...search, steps: Number(step[1] ?? steps) });
  }
  if (wanted.includes('logits')) outputs.logits = model(x!);
  if (wanted.includes('logitsAdv')) {
    const found = pgd(objective, x!, search);
    outputs.logitsAdv = model(found);
    found.dispose();
  }
  const optimizer = train.sgd(1);
  optimizer.applyGradients = (gradients) => {
    for (const [name, g] of Object.entries(gradients)) {
      const output = `grad_${name.replace('fixture/', '')}`;
      if (wanted.includes(output)) outputs[output] = (g as Tensor).clone();
    }
  };
  const result = adversarialStep(model, x!, labels!, {
    ...search,
    optimizer,
    variables: Object.values(variables),
    tau,
    rho,
    nu,
    weightDecay,
  });
  outputs.loss = result.loss;
  for (const unused of [result.clean, result.change, clean, ...Object.values(variables)]) {
    unused.dispose();
  }
  optimizer.dispose();
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'losses/comp-sum/values': values,
  'losses/comp-sum/smooth-adv': smooth,
  'losses/comp-sum/adv-pgd': adversarial,
};
