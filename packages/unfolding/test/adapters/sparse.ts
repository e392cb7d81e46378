/** Sparse recovery: unrolled steps and their gradients, incremental training, FISTA and the Lasso, LISTA and ALISTA. */
import type { Adapter } from '@orth/testing';
import {
  abs,
  dispose,
  matMul,
  max,
  mean,
  reshape,
  type Scalar,
  slice,
  square,
  stack,
  sub,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import {
  Alista,
  alistaWeight,
  fista,
  Lista,
  lasso,
  lipschitz,
  trainUnfolded,
  UnfoldedSparseRecovery,
} from '../../src/index.js';

const steps: Adapter = async ({ inputs, params }) => {
  const { A, y, xTrue, alphas } = inputs as Record<string, Tensor2D>;
  const { kind, lambda } = params;
  const init = Array.from(await alphas!.data());
  const net = new UnfoldedSparseRecovery(A!, { kind, lambda, layers: init.length, init });
  const supervised = () => mean(square(sub(net.apply(y!), xTrue!))) as Scalar;
  const unsupervised = () => mean(net.objective(net.apply(y!), y!)) as Scalar;
  const outputs = tidy(() => {
    const layers = net.intermediate(y!);
    const gradientOf = (loss: () => Scalar) =>
      Object.values(variableGrads(loss, [net.stepSizes]).grads)[0]!;
    return {
      x: stack(layers),
      objective: stack(layers.map((x) => net.objective(x, y!))),
      unsupLoss: unsupervised(),
      gradUnsup: gradientOf(unsupervised),
      ...(xTrue && { supLoss: supervised(), gradSup: gradientOf(supervised) }),
    };
  });
  net.dispose();
  return outputs;
};

const incremental: Adapter = async ({ inputs, params }) => {
  const { A, y, xTrue } = inputs as Record<string, Tensor2D>;
  const { kind, lambda, loss, T, stepsPerGeneration, learningRate, alphaInit, lossIsBeforeStep } =
    params;
  const net = new UnfoldedSparseRecovery(A!, { kind, lambda, layers: T, init: alphaInit });
  const history: Tensor[] = [];
  const after: Promise<ArrayLike<number>>[] = [];
  const { losses } = await trainUnfolded(net, () => ({ x: xTrue, y: y! }), {
    loss,
    stepsPerGeneration,
    learningRate,
    optimizer: 'sgd',
    onStep: ({ generation }) => {
      history.push(net.stepSizes.clone());
      if (lossIsBeforeStep ?? true) return;
      const value = tidy(() => {
        const x = net.apply(y!, { layers: generation });
        return mean(loss === 'supervised' ? square(sub(x, xTrue!)) : net.objective(x, y!));
      });
      after.push(value.data());
      value.dispose();
    },
  });
  const alphaHistory = stack(history);
  dispose(history);
  net.dispose();
  const lossHistory =
    after.length > 0 ? (await Promise.all(after)).map((values) => values[0]!) : losses;
  return { alphaHistory, lossHistory };
};

const fistaLasso: Adapter = async ({ inputs, params }) => {
  const { A, y } = inputs as Record<string, Tensor2D>;
  const { lambda, iterations } = params;
  const x: Tensor[] = [];
  const result = await fista(A!, y!, {
    lambda,
    steps: iterations,
    checkEvery: 1,
    history: true,
    onStep: (progress) => x.push(progress.x.clone()),
  });
  const objective = tensor2d(result.history!.map((row) => Array.from(row)));
  result.x.dispose();
  const exact = await lasso(A!, y!, { lambda, tolerance: 1e-13 });
  const outputs = {
    x: stack(x),
    objective,
    L: await lipschitz(A!),
    lassoSolution: exact.x,
    lassoObjective: exact.objective,
    lambdaMax: tidy(() => max(abs(matMul(y!, A!)), 1)),
  };
  dispose(x);
  return outputs;
};

const listaAlista: Adapter = async ({ inputs, params, wanted }) => {
  const { A, y, We, S, theta, gamma } = inputs as Record<string, Tensor>;
  const { p, pMax } = params;
  const layers: number = params.K ?? theta!.shape[0];
  const matrix = A as Tensor2D;
  const outputs: Record<string, Tensor> = {};
  const assign = (net: Lista | Alista, values: Readonly<Record<string, Tensor>>) =>
    tidy(() => {
      for (const [k, layer] of net.weights.entries()) {
        for (const [name, value] of Object.entries(values)) {
          const part = slice(value, [k], [1]);
          (layer as Record<string, { assign(x: Tensor): void }>)[name]!.assign(
            reshape(part, value.shape.slice(1)),
          );
        }
      }
    });
  if (wanted.includes('lista')) {
    const net = new Lista(matrix, { layers });
    assign(net, { input: We!, state: S!, threshold: theta! });
    outputs.lista = tidy(() => stack(net.intermediate(y!)));
    net.dispose();
  }
  outputs.W = await alistaWeight(matrix);
  for (const [name, selection] of [
    ['alista', {}],
    ['alistaSS', { p, pMax }],
  ] as const) {
    if (!wanted.includes(name)) continue;
    const net = new Alista(matrix, { layers, weight: outputs.W as Tensor2D, ...selection });
    assign(net, { step: gamma!, threshold: theta! });
    outputs[name] = tidy(() => stack(net.intermediate(y!)));
    net.dispose();
  }
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'unfolding/ista-iht/ista': steps,
  'unfolding/ista-iht/iht': steps,
  'unfolding/ista-iht/incremental': incremental,
  'unfolding/ista-iht/fista-lasso': fistaLasso,
  'unfolding/ista-iht/lista-alista': listaAlista,
};
