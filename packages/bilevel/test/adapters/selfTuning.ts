/** Fixtures of self-tuning networks: layers, transforms, the linearised pass, whole alternations. */
import { seededRandom } from '@orth/backend';
import {
  freeValue,
  type HyperContext,
  type HyperModel,
  type HyperWeights,
  hyperActivation,
  hyperConv2dOp,
  hyperDense,
  hyperDenseOp,
  hyperSequential,
  hyperSpace,
  hyperValueTensor,
  inverseSoftplus,
  l2Penalty,
  perturb,
  perturbationEntropy,
  SelfTuning,
} from '@orth/bilevel';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  add,
  gather,
  mul,
  type Scalar,
  sum,
  type Tensor,
  type Tensor1D,
  tensor1d,
  tidy,
  type Variable,
  valueAndGrads,
} from '@tensorflow/tfjs-core';

/** Names of the fixtures' weights. */
const WEIGHTS = {
  kernel: 'elemWeight',
  bias: 'elemBias',
  responseKernel: 'respWeight',
  responseBias: 'respBias',
  toScalars: 'toScalars',
  scale: 'elemScalar',
} as const;

const capital = (name: string) => name[0]!.toUpperCase() + name.slice(1);

/** Value of a layer, and gradients of sum(C y) in whatever the fixture has. */
const layer =
  (
    op: (
      x: Tensor,
      h: Tensor | null,
      weights: HyperWeights,
      params: AdapterContext['params'],
    ) => Tensor,
  ): Adapter =>
  ({ inputs, params, wanted }) =>
    tidy(() => {
      const names = Object.keys(inputs).filter((name) => name !== 'C');
      const values = names.map((name) => inputs[name]!);
      const at = (tensors: Tensor[], name: string) => tensors[names.indexOf(name)]!;
      const run = (tensors: Tensor[], plain: boolean) => {
        const weights = Object.fromEntries(
          Object.entries(WEIGHTS)
            .filter(([, name]) => names.includes(name))
            .map(([key, name]) => [key, at(tensors, name)]),
        ) as unknown as HyperWeights;
        return op(at(tensors, 'x'), plain ? null : (at(tensors, 'h') ?? null), weights, params);
      };
      const outputs: Record<string, Tensor> = { y: run(values, false) };
      if (wanted.includes('yNoHyper')) outputs.yNoHyper = run(values, true);
      if (wanted.some((name) => name.startsWith('grad'))) {
        const { grads } = valueAndGrads(
          (...tensors: Tensor[]) => sum(mul(run(tensors, false), inputs.C!)) as Scalar,
        )(values);
        for (const [i, name] of names.entries()) {
          if (wanted.includes(`grad${capital(name)}`)) outputs[`grad${capital(name)}`] = grads[i]!;
        }
      }
      return outputs;
    });

const transforms: Adapter = ({ inputs, params, fixture }) => {
  const { lo, hi } = params;
  const { raw, scale, value, h, noise } = inputs;
  const data = (name: string) => fixture.inputs[name]!.data;
  const scaleRaw = scale && data('scale').map(inverseSoftplus);
  const rawTensor = scaleRaw && tensor1d(scaleRaw);
  const outputs: Record<string, Tensor | number[]> = {};
  if (value) outputs.sLogit = data('value').map((v) => freeValue(v, [lo, hi]));
  if (raw) {
    outputs.sSigmoid = tidy(() => hyperValueTensor(raw, [lo, hi]));
    outputs.lower = tidy(() => hyperValueTensor(raw, [lo, Infinity]));
    outputs.upper = tidy(() => hyperValueTensor(raw, [-Infinity, hi]));
  }
  if (scaleRaw && rawTensor) {
    outputs.scaleRaw = scaleRaw;
    outputs.entropy = perturbationEntropy(rawTensor);
    if (h && noise) outputs.perturbed = perturb(h, rawTensor, noise);
    rawTensor.dispose();
  }
  return outputs;
};

/** Puts a fixture's weights in place of a layer's own. */
function assignWeights(
  weights: HyperWeights<Variable>,
  inputs: AdapterContext['inputs'],
  prefix = '',
) {
  for (const [key, name] of Object.entries(WEIGHTS)) {
    const own = weights[key as keyof HyperWeights];
    const given =
      inputs[prefix ? prefix + capital(name).replace(/^Elem(Weight|Bias)/, '$1') : name];
    if (own && given) own.assign(given);
  }
}

/** A tanh network of as many Δ-STN layers as the fixture has. */
const delta: Adapter = ({ inputs, params }) => {
  const random = seededRandom(0);
  const hyperparameters = inputs.delta!.shape[1]!;
  const prefixes = Object.keys(inputs)
    .flatMap((name) => /^(l\d+)Weight$/.exec(name)?.[1] ?? [])
    .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  const dense = prefixes.map((prefix) => {
    const [width, units] = inputs[`${prefix}Weight`]!.shape as [number, number];
    const initialization = inputs[`${prefix}ElemScalar`] ? 'stn' : 'delta';
    const made = hyperDense({ inputs: width, units, hyperparameters, random, initialization });
    assignWeights(made.weights, inputs, prefix);
    return made;
  });
  const activation = params.activation ?? 'tanh';
  const model = hyperSequential(
    dense.flatMap((made, i) => (i ? [hyperActivation(activation), made] : [made])),
  );
  const pass = (h: Tensor | null, linearized: boolean) =>
    model.apply({ value: inputs.x! }, contextOf(h, linearized));
  const outputs = tidy(() => {
    const linear = pass(inputs.delta!, true);
    return {
      y0: pass(null, false).value,
      jvp: linear.tangent!,
      linearised: add(linear.value, linear.tangent!),
      exact: pass(inputs.delta!, false).value,
    };
  });
  model.dispose();
  return outputs;
};

const contextOf = (h: Tensor | null, linearized: boolean): HyperContext => ({
  h,
  linearized,
  training: false,
  random: seededRandom(0),
  value: () => {
    throw new Error('no hyperparameter is used');
  },
});

/** The alternation of training and validation steps on one layer with given noise. */
const training: Adapter = async ({ inputs, params }) => {
  const { cycles, trainSteps, validSteps, trainLr, momentum, validLr, scaleLr, entropyWeight } =
    params;
  const { X, y, Xv, yv, h, scaleRaw, noise } = inputs;
  const hyperparameters = h!.shape[0]!;
  const dense = hyperDense({
    inputs: X!.shape[1]!,
    units: y!.shape[1]!,
    hyperparameters,
    random: seededRandom(0),
    initialization: inputs.elemScalar ? 'stn' : 'delta',
  });
  assignWeights(dense.weights, inputs);
  // The penalty's strength is softplus of the first free number; the others act through the branch alone.
  const space = hyperSpace(
    Object.fromEntries(
      Array.from({ length: hyperparameters }, (_, i) => [
        i ? `other${i}` : 'l2',
        { range: [0, Infinity] as const, init: 1 },
      ]),
    ),
  );
  const run = new SelfTuning(dense as HyperModel, space, {
    loss: 'meanSquaredError',
    penalty: l2Penalty('l2'),
    learningRate: trainLr,
    momentum,
    hyperLearningRate: validLr,
    scaleLearningRate: scaleLr,
    entropyWeight,
    hyperClipNorm: Infinity,
  });
  run.free.assign(h as Tensor1D);
  run.rawScales.assign(scaleRaw as Tensor1D);
  const losses: number[] = [];
  const traces: { hTrace: number[]; scaleRawTrace: number[] } = { hTrace: [], scaleRawTrace: [] };
  let at = 0;
  const step = async (train: boolean) => {
    const drawn = tidy(() => gather(noise!, at++));
    const loss = train ? run.trainStep(X!, y!, drawn) : run.validationStep(Xv!, yv!, drawn);
    drawn.dispose();
    losses.push((await loss.data())[0]!);
    loss.dispose();
    traces.hTrace.push(...(await run.free.data()));
    traces.scaleRawTrace.push(...(await run.rawScales.data()));
  };
  for (let cycle = 0; cycle < cycles; cycle++) {
    for (let i = 0; i < trainSteps; i++) await step(true);
    for (let i = 0; i < validSteps; i++) await step(false);
  }
  const outputs: Record<string, Tensor | number[]> = { loss: losses, ...traces };
  for (const [key, name] of Object.entries(WEIGHTS)) {
    const weight = dense.weights[key as keyof HyperWeights];
    if (weight) outputs[name] = weight.clone();
  }
  run.dispose();
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'bilevel/stn/hyperlinear': layer((x, h, weights) => hyperDenseOp(x, h, weights)),
  'bilevel/stn/hyperconv2d': layer((x, h, weights, { padding, stride }) =>
    hyperConv2dOp(x, h, weights, { padding: padding ?? 0, stride: stride ?? 1 }),
  ),
  'bilevel/stn/transforms': transforms,
  'bilevel/stn/delta': delta,
  'bilevel/stn/train': training,
};
