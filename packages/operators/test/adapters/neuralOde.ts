/** Adapters of the neural-ODE fixtures: parameters name the problem, inputs the weights, outputs what is wanted. */
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  abs,
  add,
  addN,
  concat,
  customGrad,
  div,
  exp,
  expandDims,
  fill,
  type GradSaveFunc,
  grads,
  matMul,
  mean,
  mul,
  type Scalar,
  slice,
  square,
  sub,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tanh as tfTanh,
  tidy,
  zerosLike,
} from '@tensorflow/tfjs-core';
import {
  initialStep,
  odeRegularization,
  odeSolve,
  type RegularizerAggregate,
  type RegularizerKind,
  regularizationSchedule,
  replayOde,
  sosriStep,
  tsit5Step,
} from '../../src/index.js';

/** tanh whose derivative is not 1 − tanh², which has no digits left where the fixtures' networks saturate. */
const tanh = customGrad((x, save) => {
  (save as GradSaveFunc)([x as Tensor]);
  return {
    value: tfTanh(x as Tensor),
    gradFunc: (dy: Tensor, [saved]: Tensor[]) => {
      const e = exp(mul(abs(saved!), -2));
      return mul(dy, div(mul(e, 4), square(add(e, 1))));
    },
  };
});

/** f(t, u) = tanh([u, t] W1 + b1) W2 + b2, with or without t as the last column. */
const network =
  (W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) =>
  (t: number, u: Tensor): Tensor => {
    const width = u.shape.at(-1)!;
    const input =
      W1.shape[0] === width ? u : concat([u, fill([...u.shape.slice(0, -1), 1], t)], -1);
    return add(matMul(tanh(add(matMul(input, W1), b1)), W2), b2);
  };

function networkOf({ inputs }: AdapterContext, prefix = '') {
  const [W1, b1, W2, b2] = ['W1', 'b1', 'W2', 'b2'].map((name) => inputs[prefix + name]!);
  return network(W1!, b1!, W2!, b2!);
}

/** An adapter without waiting, tidied. */
const tidied =
  (adapter: (context: AdapterContext) => Record<string, Tensor>): Adapter =>
  (context) =>
    tidy(() => adapter(context));

const tsit5 = tidied((context) => {
  const { params, inputs, wanted } = context;
  const { t, dt, rtol, atol, stabilitySize } = params;
  const step = tsit5Step(networkOf(context), t, inputs.u!, dt, { rtol, atol });
  const outputs: Record<string, Tensor> = {
    u1: step.u,
    k: concat(step.stages.map((k) => expandDims(k))),
    g6: step.sixth,
    errOverDt: div(step.error, dt),
    errorEstimate: step.errorEstimate!,
    stiffness: step.stiffness!,
    stiffnessOverStabilitySize: mul(step.stiffness!, 1 / stabilitySize),
  };
  for (const name of wanted) {
    if (name.startsWith('dense_')) outputs[name] = step.at(Number(name.slice(6)));
  }
  return outputs;
});

const firstStep: Adapter = async ({ params, inputs }) => {
  const steps: number[] = [];
  for (const [j, { lambda, rtol, atol }] of params.cases.entries()) {
    const u0 = slice(inputs.u0!, [j, 0], [1, -1]);
    const { span, order } = params;
    const options = { t1: span, order, rtol, atol };
    steps.push(await initialStep((_, u) => mul(u, lambda), u0, options));
    u0.dispose();
  }
  return { dt0: steps };
};

function problem(context: AdapterContext): (t: number, u: Tensor) => Tensor {
  const { params } = context;
  if (params.problem === 'zero') return (_, u) => zerosLike(u);
  if (params.problem === 'mlp' || params.problem === 'network') return networkOf(context);
  const A = () => tensor2d(params.A);
  if (params.problem === 'linear') return (_, u) => matMul(u as Tensor2D, A());
  return (_, u) => matMul(mul(square(u), u) as Tensor2D, A());
}

const solve: Adapter = async (context) => {
  const { params, inputs } = context;
  const { t0, t1, rtol, atol, saveAt, dt0 } = params;
  const options = { t0, t1, rtol, atol, saveAt: saveAt ?? [], ...(dt0 && { initialStep: dt0 }) };
  const { u, saved, stats } = await odeSolve(problem(context), inputs.u0!, options);
  return {
    dtTried: stats.tried.slice(0, -1).map(({ step }) => step),
    accepted: stats.tried.map(({ accepted }) => Number(accepted)),
    errorEstimates: stats.errorEstimates.slice(0, -1),
    stiffness: stats.stiffness.slice(0, -1),
    uFinal: u,
    nfe: stats.nfe,
    ...(saved && { saved }),
  };
};

/** reg_errMean, grad_W1_stiffMax, …: the regulariser behind such a name. */
function named(name: string): { kind: RegularizerKind; aggregate: RegularizerAggregate } {
  const kind = name.startsWith('err') ? 'error' : name.startsWith('stiff') ? 'stiffness' : 'both';
  const rest = name.replace(/^(err|stiff|both)/, '');
  return { kind, aggregate: (rest[0]!.toLowerCase() + rest.slice(1)) as RegularizerAggregate };
}

const regularizedLoss = tidied(({ params, inputs, wanted }) => {
  const { rtol, atol, dt, stabilitySize, lambda } = params;
  const names = ['W1', 'b1', 'W2', 'b2', 'u0'];
  const values = names.map((name) => inputs[name]!);
  const run = ([W1, b1, W2, b2, u0]: Tensor[]) =>
    replayOde(network(W1!, b1!, W2!, b2!), u0!, dt, { rtol, atol });
  const regularizer = (replay: ReturnType<typeof run>, name: string) =>
    odeRegularization(replay, dt, { ...named(name), stabilitySize });
  const task = (u: Tensor) => mean(square(sub(u, inputs.target!))) as Scalar;
  const replay = run(values);
  const outputs: Record<string, Tensor> = {
    uFinal: replay.u,
    task: task(replay.u),
    E: replay.errorEstimates!,
    stiffness: replay.stiffness!,
  };
  const losses = new Set<string>();
  for (const name of wanted) {
    if (name.startsWith('reg_')) outputs[name] = regularizer(replay, name.slice(4));
    if (name.startsWith('grad_')) losses.add(name.split('_')[2]!);
  }
  for (const loss of losses) {
    const gradients = grads((...x: Tensor[]) => {
      const again = run(x);
      const first = task(again.u);
      return loss === 'task'
        ? first
        : addN([first, mul(lambda[loss], regularizer(again, loss)) as Scalar]);
    })(values);
    for (const [i, name] of names.entries()) outputs[`grad_${name}_${loss}`] = gradients[i]!;
  }
  return outputs;
});

const lambdaSchedule: Adapter = ({ params, fixture }) =>
  Object.fromEntries(
    (params.cases as { l0: number; l1: number; epochs: number }[]).map(({ l0, l1, epochs }, i) => [
      `lambda${i}`,
      fixture.inputs.epoch!.data.map((e) =>
        regularizationSchedule(e, { initial: l0, final: l1, epochs }),
      ),
    ]),
  );

const sosri = tidied((context) => {
  const { params, inputs, wanted } = context;
  const { dt, rtol, atol, delta } = params;
  const [drift, diffusion] = [networkOf(context, 'f_'), networkOf(context, 'g_')];
  const noise = { dW: inputs.dW!, dZ: inputs.dZ! };
  const outputs: Record<string, Tensor> = {};
  for (const name of new Set(wanted.map((w) => w.split('_')[0]!))) {
    const method = name.toLowerCase() as 'sosri' | 'sosri2';
    const options = { method, rtol, atol, delta: delta ?? 1 };
    const step = sosriStep(drift, diffusion, params.t ?? 0, inputs.u!, dt, noise, options);
    outputs[`${name}_u1`] = step.u;
    outputs[`${name}_errorEstimate`] = step.errorEstimate;
    outputs[`${name}_stiffness`] = step.stiffness;
  }
  return outputs;
});

export const adapters: Record<string, Adapter> = {
  'operators/neural-ode/tsit5Step': tsit5,
  'operators/neural-ode/initialStep': firstStep,
  'operators/neural-ode/solve': solve,
  'operators/neural-ode/regularizedLoss': regularizedLoss,
  'operators/neural-ode/lambdaSchedule': lambdaSchedule,
  'operators/neural-ode/sosriStep': sosri,
};
