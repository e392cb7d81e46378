import {
  hierarchicalLogProbabilities,
  hierarchicalSoftmaxLoss,
  oneHotSquaredLoss,
  type SphericalLossName,
  type SphericalLossOptions,
  SphericalOutputLayer,
  sphericalSoftmaxLoss,
  taylorSoftmaxLoss,
  zLoss,
} from '@orth/losses';
import type { Adapter } from '@orth/testing';
import {
  grad,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tensor,
} from '@tensorflow/tfjs-core';

const FAMILY = ['zLoss', 'taylorSoftmax', 'sphericalSoftmax', 'squaredError'] as const;

/** `zLoss_a0.5_b2` is Z-loss; what the name says holds where the parameters do not say it. */
function parametersOf(key: string, params: Record<string, unknown>) {
  const name = FAMILY.find((known) => key === known || key.startsWith(`${known}_`));
  if (!name) throw new Error(`unknown loss ${key}`);
  const given = (params[key] ?? params[name] ?? {}) as Record<string, number>;
  const inName = (letter: string) => {
    const match = new RegExp(`_${letter}(-?[\\d.]+(?:e[-+]?\\d+)?)`).exec(key);
    return match ? Number(match[1]) : undefined;
  };
  const a = inName('a') ?? given.a;
  const b = inName('b') ?? given.b;
  const epsilon = inName('eps') ?? given.eps ?? given.epsilon;
  const options: SphericalLossOptions = {
    ...(name === 'zLoss' && a !== undefined && { a }),
    ...(name === 'zLoss' && b !== undefined && { b }),
    ...(name === 'sphericalSoftmax' && epsilon !== undefined && { epsilon }),
  };
  return { name, options };
}

const DENSE = {
  zLoss,
  taylorSoftmax: taylorSoftmaxLoss,
  sphericalSoftmax: sphericalSoftmaxLoss,
  squaredError: oneHotSquaredLoss,
};

/** `<loss>` for each example and `<loss>_grad` of their sum. */
const losses: Adapter = ({ inputs, params, wanted }) =>
  Object.fromEntries(
    wanted.map((output) => {
      const { name, options } = parametersOf(output.replace(/_grad$/, ''), params);
      const { logits, labels } = inputs as { logits: Tensor; labels: Tensor };
      const run = (o: Tensor, reduction: 'none' | 'sum') =>
        DENSE[name](o, labels, { ...options, reduction });
      const value = output.endsWith('_grad')
        ? grad((o: Tensor) => run(o, 'sum'))(logits)
        : run(logits, 'none');
      return [output, value];
    }),
  );

/** Steps of the factored layer; outputs of every step, and the factors at the end. */
const factored: Adapter = async ({ inputs, params }) => {
  const { W0, H, labels } = inputs as { W0: Tensor; H: Tensor; labels: Tensor };
  const [classes, inputSize] = W0.shape as [number, number];
  const [steps, m] = H.shape as [number, number];
  const { name, options } = parametersOf(params.loss ?? 'zLoss', {
    [params.loss ?? 'zLoss']: params,
  });
  const layer = new SphericalOutputLayer({
    classes,
    inputSize,
    loss: name as SphericalLossName,
    lossOptions: options,
    initialWeights: (await W0.data()) as Float32Array,
    conditionLimit: params.conditionLimit ?? Infinity,
  });
  const hidden = await H.data();
  const targets = await labels.data();
  const per = labels.size / steps;
  const collected: Record<string, number[]> = { loss: [], oc: [], q: [], s: [], gradH: [] };
  for (let t = 0; t < steps; t++) {
    const h = tensor(hidden.slice(t * m * inputSize, (t + 1) * m * inputSize), [m, inputSize]);
    const y = tensor(targets.slice(t * per, (t + 1) * per), labels.shape.slice(1), 'int32');
    const step = await layer.trainStepAsync(h, y, {
      learningRate: params.eta,
      reduction: params.reduction ?? 'mean',
    });
    collected.loss!.push(...step.losses);
    collected.oc!.push(...step.targetLogits);
    collected.q!.push(...step.squares);
    collected.s!.push(...step.sums);
    collected.gradH!.push(...(await step.hiddenGradient.data()));
    for (const x of [h, y, step.hiddenGradient]) x.dispose();
  }
  const { V, U, inverse, omega, Q, columnSums } = layer.factors();
  const W = layer.weights();
  layer.dispose();
  return {
    ...collected,
    W_final: W,
    V_final: V,
    U_final: U,
    UinvT_final: inverse,
    Q_final: Q,
    wbar_final: columnSums,
    omega_final: omega,
  };
};

const hsoftmax: Adapter = ({ inputs }) => {
  const hidden = inputs.H as Tensor2D;
  const weights = {
    groupWeights: inputs.W1 as Tensor2D,
    groupBiases: inputs.b1 as Tensor1D,
    slotWeights: inputs.W2 as Tensor3D,
    slotBiases: inputs.b2 as Tensor2D,
  };
  return {
    loss: hierarchicalSoftmaxLoss(hidden, inputs.labels!, weights, { reduction: 'none' }),
    logProbs: hierarchicalLogProbabilities(hidden, weights),
  };
};

export const adapters: Record<string, Adapter> = {
  'losses/z-loss/losses': losses,
  'losses/z-loss/factored': factored,
  'losses/z-loss/hsoftmax': hsoftmax,
};
