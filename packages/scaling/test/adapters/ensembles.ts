import type { Adapter } from '@orth/testing';
import { type Tensor, variable } from '@tensorflow/tfjs-core';
import {
  combineLogits,
  distillationPlan,
  ensembleCurve,
  localSearch,
  memberLosses,
  recipeSchedule,
  regularizedAdamW,
} from '../../src/index.js';

/** Parameters `param_<name>`, gradients `grad<step>_<name>`, results `step<step>_<name>`. */
const adamwStep: Adapter = async ({ inputs, params, wanted }) => {
  const { lr, weightDecay, totalSteps, decayed = [] } = params;
  const options = {
    learningRate: lr ?? params.learningRate,
    weightDecay,
    totalSteps,
    ...(params.warmup !== undefined && { warmupFraction: params.warmup }),
    ...(params.betas && { beta1: params.betas[0], beta2: params.betas[1] }),
    ...(params.eps !== undefined && { epsilon: params.eps }),
    ...(params.clipNorm !== undefined && { clipNorm: params.clipNorm ?? Infinity }),
  };
  const names = Object.keys(inputs).flatMap((key) => /^param_(.+)$/.exec(key)?.[1] ?? []);
  const weights = new Map(
    names.map((name) => [name, variable(inputs[`param_${name}`]!, true, `fixture/${name}`)]),
  );
  const optimizer = regularizedAdamW({
    ...options,
    decays: ({ name }) => decayed.includes(name.replace('fixture/', '')),
  });
  const steps = Object.keys(inputs).flatMap((key) => /^grad(\d+)_/.exec(key)?.[1] ?? []);
  const count = Math.max(...steps.map(Number)) + 1;
  const outputs: Record<string, Tensor | number[]> = {};
  for (let step = 0; step < count; step++) {
    const gradients = names.map((name) => ({
      name: `fixture/${name}`,
      tensor: inputs[`grad${step}_${name}`] as Tensor,
    }));
    optimizer.applyGradients(gradients);
    for (const name of names) {
      const key = `step${step}_${name}`;
      if (wanted.includes(key)) outputs[key] = weights.get(name)!.clone();
    }
  }
  await optimizer.settle();
  optimizer.dispose();
  for (const w of weights.values()) w.dispose();
  const { learningRate, warmupFraction } = options as {
    learningRate: number;
    warmupFraction?: number;
  };
  const schedule = recipeSchedule({
    learningRate,
    totalSteps,
    ...(warmupFraction !== undefined && { warmupFraction }),
  });
  outputs.learningRates = Array.from({ length: count }, (_, step) => schedule(step));
  return outputs;
};

const ensembleLoss: Adapter = ({ inputs }) => {
  const logits = inputs.logits as Tensor;
  const targets = inputs.targets as Tensor;
  return {
    member: memberLosses(logits, targets),
    logitMean: ensembleCurve(logits, targets),
    probMean: ensembleCurve(logits, targets, { combine: 'probs' }),
    ensembleLogits: combineLogits(logits),
  };
};

const plan: Adapter = ({ params }) => {
  const plans = (params.cases ?? [params]).map(
    ({ baseSteps, epochs, teacherWeight }: Parameters<typeof distillationPlan>[0]) =>
      distillationPlan({ baseSteps, epochs, teacherWeight }),
  ) as ReturnType<typeof distillationPlan>[];
  return {
    totalSteps: plans.map(({ totalSteps }) => totalSteps),
    teacherSteps: plans.map(({ teacherSteps }) => teacherSteps),
    teacherFraction: plans.map(({ teacherFraction }) => teacherFraction),
  };
};

/** The table and `start` are indexed [lr, wd, epochs]; ties go to epochs, then lr, then weight decay. */
const search: Adapter = async ({ fixture, params }) => {
  const { shape, data } = fixture.inputs.loss!;
  const [, decays, epochs] = shape as [number, number, number];
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  const grids = { epochs: range(epochs), lr: range(shape[0]!), wd: range(decays) };
  const [lr, wd, epoch] = params.start;
  const { best, path, evaluations, certified } = await localSearch(
    (p) => data[(p.lr * decays + p.wd) * epochs + p.epochs]!,
    grids,
    { start: { lr, wd, epochs: epoch } },
  );
  return {
    path: path.flatMap(({ point }) => [point.lr, point.wd, point.epochs]),
    evaluated: evaluations.length,
    best: [best.point.lr, best.point.wd, best.point.epochs],
    bestLoss: best.loss,
    certified: Number(certified),
  };
};

export const adapters: Record<string, Adapter> = {
  'scaling/infinite-compute/adamwStep': adamwStep,
  'scaling/infinite-compute/ensembleLoss': ensembleLoss,
  'scaling/infinite-compute/distillationPlan': plan,
  'scaling/infinite-compute/localSearch': search,
};
