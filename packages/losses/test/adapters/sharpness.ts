import {
  gaussianNegativeLogLikelihood,
  SurrogateGradientNorm,
  sharpnessGradients,
  softClamp,
} from '@orth/losses';
import type { Adapter } from '@orth/testing';
import {
  add,
  customGrad,
  type GradSaveFunc,
  gather,
  grads,
  leakyRelu,
  matMul,
  mean,
  mul,
  type NamedTensorMap,
  relu,
  reshape,
  type Scalar,
  sigmoid,
  slice,
  softplus,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tanh,
  tidy,
  train,
  type Variable,
  variable,
  variableGrads,
  zerosLike,
} from '@tensorflow/tfjs-core';

type Params = Parameters<Adapter>[0]['params'];

/** tfjs finds no second derivative through what a kernel saved of its output, as those of tanh and sigmoid do. */
function twice(f: (x: Tensor) => Tensor, slope: (y: Tensor) => Tensor): (x: Tensor) => Tensor {
  const again = (x: Tensor): Tensor =>
    customGrad((v, save) => {
      (save as GradSaveFunc)([v as Tensor]);
      return {
        value: f(v as Tensor),
        gradFunc: (dy: Tensor, [saved]: Tensor[]) => mul(dy, slope(again(saved!))),
      };
    })(x);
  return again;
}

const ACTIVATIONS: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  tanh: twice(tanh, (y) => sub(1, square(y))),
  sigmoid: twice(sigmoid, (y) => mul(y, sub(1, y))),
  softplus,
  relu,
};

function activationOf(name: string): (x: Tensor) => Tensor {
  const leaky = /^leakyRelu(.*)$/i.exec(name);
  if (leaky) return (x) => leakyRelu(x, Number(leaky[1] || 0.2));
  const known = ACTIVATIONS[name];
  if (!known) throw new Error(`unknown activation ${name}`);
  return known;
}

/** Layers W1, b1, W2, b2, … as many as there are; the last without activation. */
function forward(weights: Readonly<Record<string, Tensor>>, x: Tensor, params: Params): Tensor2D {
  const activation = activationOf(params.activation ?? 'tanh');
  const depth = Object.keys(weights).filter((name) => /^W\d+$/.test(name)).length;
  let h = x;
  for (let layer = 1; layer <= depth; layer++) {
    const z = add(matMul(h, weights[`W${layer}`]!), weights[`b${layer}`]!);
    h = layer < depth ? activation(z) : z;
  }
  return h as Tensor2D;
}

const column = (out: Tensor2D, at: number) => reshape(slice(out, [0, at], [-1, 1]), [-1]);

function baseLoss(out: Tensor2D, y: Tensor, params: Params): Tensor {
  if ((params.baseLoss ?? 'mse') === 'mse') return mean(square(sub(column(out, 0), y)));
  const { minLogStd = Math.log(0.1), maxLogStd = Math.log(0.2) } = params;
  const logDeviations = softClamp(column(out, 1), minLogStd, maxLogStd);
  return gaussianNegativeLogLikelihood(column(out, 0), logDeviations, y);
}

/** d ‖∇G‖ / dθ by differentiating twice. */
function exactNormGradients(
  names: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
  x: Tensor,
  params: Params,
): NamedTensorMap {
  const G = (...theta: Tensor[]) => {
    const weights = Object.fromEntries(names.map((name, i) => [name, theta[i]!]));
    return mean(column(forward(weights, x, params), 0));
  };
  return tidy(() => {
    const weights = names.map((name) => variable(inputs[name]!));
    // Biases of the last layer do not change the norm, nor does anything in a net of one layer: tfjs finds no path to it.
    const none = () => mul(0, sum(weights[0]!));
    const norm = () =>
      sqrt(grads(G)(weights).reduce((total, g) => add(total, sum(square(g))), none())) as Scalar;
    const found = variableGrads(norm, weights).grads;
    const out = weights.map((w) => found[w.name] ?? zerosLike(w));
    for (const w of weights) w.dispose();
    return Object.fromEntries(names.map((name, i) => [name, out[i]!]));
  });
}

const steps: Adapter = async ({ inputs, params, wanted }) => {
  const { x, y } = inputs as { x: Tensor; y: Tensor };
  const names = Object.keys(inputs).filter((name) => /^[Wb]\d+$/.test(name));
  const total: number = params.steps ?? x.shape[0];
  const weights: Record<string, Variable> = Object.fromEntries(
    names.map((name) => [name, variable(inputs[name]!)]),
  );
  const list = Object.values(weights);
  const nameOf = new Map(names.map((name) => [weights[name]!.name, name]));
  const ignite = new SurrogateGradientNorm({
    rho: params.rho,
    r: params.r,
    epsilon: params.epsilon,
    lambda: params.lambda0,
    etaLambda: params.etaLambda,
    nonNegative: params.clampLambda ?? false,
  });
  const optimizer = train.sgd(params.lr);
  const outputs: Record<string, Tensor | number[]> = {};
  const trace = { loss: [] as number[], gradNorm: [] as number[], lambda: [] as number[] };
  for (let t = 0; t < total; t++) {
    const [bx, by] = tidy(() => [gather(x, t), gather(y, t)]) as [Tensor, Tensor];
    const loss = () => baseLoss(forward(weights, bx, params), by, params);
    const prediction = () => mean(column(forward(weights, bx, params), 0));
    if (t === 0) {
      // The regulariser's gradient is wanted also where its weight is 0.
      const lambda = ignite.lambda === 0 ? Number.MIN_VALUE : ignite.lambda;
      const { rho, r } = ignite;
      const first = sharpnessGradients(list, loss, prediction, lambda, { rho, r });
      const exact = wanted.some((name) => name.startsWith('exactRegGrad_'))
        ? exactNormGradients(names, inputs, bx, params)
        : {};
      const collect = (prefix: string, map: NamedTensorMap) => {
        for (const [key, g] of Object.entries(map)) {
          const output = `${prefix}_${nameOf.get(key) ?? key}`;
          if (wanted.includes(output)) outputs[output] = g;
          else g.dispose();
        }
      };
      collect('v', first.predictionGradients);
      collect('reg', first.normGradients);
      collect('grad', first.gradients);
      collect('exactRegGrad', exact);
      first.loss.dispose();
      first.gradientNorm.dispose();
    }
    const step = await ignite.step(optimizer, list, loss, prediction);
    trace.loss.push(step.loss);
    trace.gradNorm.push(step.gradientNorm);
    trace.lambda.push(step.lambda);
    bx.dispose();
    by.dispose();
  }
  for (const name of names) {
    if (wanted.includes(`${name}_final`))
      outputs[`${name}_final`] = tidy(() => weights[name]!.clone());
    weights[name]!.dispose();
  }
  optimizer.dispose();
  return { ...outputs, ...trace };
};

const linear: Adapter = ({ inputs, params }) => {
  const { x, y } = inputs as { x: Tensor2D; y: Tensor };
  const w = variable(inputs.w!);
  const b = variable(inputs.b!);
  const predict = () => add(reshape(matMul(x, reshape(w, [-1, 1])), [-1]), b);
  const { rho, r, lambda = 1 } = params;
  const result = sharpnessGradients(
    [w, b],
    () => mean(square(sub(predict(), y))),
    () => mean(predict()),
    lambda,
    { rho, r },
  );
  const { gradients, predictionGradients, normGradients, loss, gradientNorm } = result;
  const outputs = {
    grad_w: gradients[w.name]!,
    grad_b: gradients[b.name]!,
    gradNorm: gradientNorm,
  };
  const rest = [...Object.values(predictionGradients), ...Object.values(normGradients), loss, w, b];
  for (const t of rest) t.dispose();
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'losses/sharpness': steps,
  'losses/sharpness/linear': linear,
};
