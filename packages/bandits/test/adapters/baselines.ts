/** `bandits/baselines/…` but off-policy evaluation. */
import { type Random, seededRandom } from '@orth/backend';
import type { Adapter } from '@orth/testing';
import {
  epsilonGreedyProbabilities,
  probabilityFloor,
  sampleAction,
  softmaxProbabilities,
} from '../../src/exploration.js';
import { DiagonalConfidence } from '../../src/neural/diagonalConfidence.js';
import { ExploreNetwork, poolGradient } from '../../src/neural/exploreNetwork.js';
import { replay } from '../../src/neural/sgd.js';
import { squareCB } from '../../src/policies/gapWeighting.js';
import { LinTS } from '../../src/policies/linTS.js';
import { LinUCB } from '../../src/policies/linUCB.js';
import type { OraclePolicy, RidgeOracle } from '../../src/policies/oraclePolicy.js';
import type { Policy } from '../../src/policy.js';
import { hostInputs, networkOfMatrices, optional } from './shared.js';

const anything = [-Infinity, Infinity] as const;

/** Rounds of a linear policy: `X` is `[T, K, d]`, or `[T, d]` where arms share a context. */
function linearRounds(shape: readonly number[], K: number) {
  const shared = shape.length === 2;
  const dim = shape.at(-1)!;
  const size = shared ? dim : K * dim;
  return {
    options: { dim, ...(shared && { actionCount: K }) },
    play(
      policy: Policy,
      X: Float64Array,
      outcomes: Float64Array,
      random: Random,
      choose: (p: Float64Array, t: number) => number,
    ) {
      const actions: number[] = [];
      const probabilities: number[] = [];
      for (let t = 0; t < shape[0]!; t++) {
        const features = X.slice(t * size, (t + 1) * size);
        const p = policy.distribution({ features }, random);
        const action = choose(p, t);
        actions.push(action);
        probabilities.push(...p);
        const row = shared ? features : features.slice(action * dim, (action + 1) * dim);
        policy.update({ features: row, action, outcome: outcomes[t * K + action]! });
      }
      return { actions, probabilities };
    },
  };
}

const greatest = (p: Float64Array) => p.indexOf(Math.max(...p));

const stateOf = ({ models }: RidgeOracle) => {
  const theta = models.flatMap((model) => [...model.theta]);
  return {
    theta,
    mean: theta,
    A: models.flatMap((model) => [...model.A]),
    Ainv: models.flatMap((model) => [...model.inverse]),
    b: models.flatMap((model) => [...model.b]),
  };
};

const linUCB: Adapter = async (context) => {
  const { X, rewards } = await hostInputs(context);
  const { alpha = 1, lambda_: lambda = 1 } = context.params;
  const K = context.inputs.rewards!.shape.at(-1)!;
  const { options, play } = linearRounds(context.inputs.X!.shape, K);
  const policy = new LinUCB({ ...options, alpha, lambda, range: anything });
  const { actions } = play(policy, X!, rewards!, seededRandom(0), greatest);
  return { actions, ...stateOf(policy.oracle) };
};

const linTS: Adapter = async (context) => {
  const { X, rewards, z } = await hostInputs(context);
  const { nu = 1, lambda_: lambda = 1 } = context.params;
  const K = context.inputs.rewards!.shape.at(-1)!;
  const { options, play } = linearRounds(context.inputs.X!.shape, K);
  const policy = new LinTS({ ...options, nu, lambda, range: anything });
  // The fixture's normal numbers in place of a generator's.
  let next = 0;
  const random = { ...seededRandom(0), normal: () => z![next++]! };
  const { dim, actionCount: models = 1 } = options;
  const samples: number[] = [];
  const { actions } = play(policy, X!, rewards!, random, (p, t) => {
    for (let m = 0; m < models; m++) {
      const at = (t * models + m) * dim;
      samples.push(...policy.sample(m, z!.slice(at, at + dim)));
    }
    return greatest(p);
  });
  return { actions, samples, ...stateOf(policy.oracle) };
};

const squareCBAdapter: Adapter = async (context) => {
  const { X, losses, u } = await hostInputs(context);
  const { gammaScale = 10, gammaExponent = 0.5, lambda_: lambda = 1, epsilon = 0 } = context.params;
  const { elim = false, c0 = 0.001 } = context.params;
  const K = context.inputs.losses!.shape.at(-1)!;
  const { options, play } = linearRounds(context.inputs.X!.shape, K);
  const policy = squareCB({
    ...options,
    feedback: 'loss',
    intercept: false,
    lambda,
    gamma: { scale: gammaScale, exponent: gammaExponent },
    minProbability: epsilon,
    elimination: elim,
    mellowness: c0,
  });
  const choose = (p: Float64Array, t: number) => sampleAction(p, u![t]!);
  const played = play(policy, X!, losses!, seededRandom(0), choose);
  return { ...played, ...stateOf((policy as OraclePolicy).oracle as RidgeOracle) };
};

/** Scores of the diagonal design at fixed weights; the arms are given, or the greatest mean + σ. */
const neuralScores: Adapter = async (context) => {
  const inputs = await hostInputs(context);
  const { lambda_: lambda = 0.001, nu = 1 } = context.params;
  const net = networkOfMatrices(context, inputs);
  const confidence = new DiagonalConfidence(net, lambda);
  const [T, K, dim] = context.inputs.X!.shape as [number, number, number];
  const mean: number[] = [];
  const sigma: number[] = [];
  const arms: number[] = [];
  for (let t = 0; t < T; t++) {
    let best = -Infinity;
    let arm = 0;
    for (let a = 0; a < K; a++) {
      const at = (t * K + a) * dim;
      const f = net.forward(inputs.X!, at, 0);
      net.backward(1);
      const s = Math.sqrt(lambda * nu * confidence.measure(0));
      mean.push(f);
      sigma.push(s);
      if (f + s <= best) continue;
      best = f + s;
      arm = a;
    }
    arm = inputs.arms?.[t] ?? arm;
    arms.push(arm);
    const at = (t * K + arm) * dim;
    net.forward(inputs.X!, at, 0);
    net.backward(1);
    confidence.capture(0);
    confidence.add();
  }
  return { mean, sigma, arms, U: confidence.U };
};

const neuralReplayTrain: Adapter = async (context) => {
  const inputs = await hostInputs(context);
  const { X, y, order } = inputs;
  const { lambda_: decay = 0, learningRate = 0.01, maxUpdates = 1000 } = context.params;
  const tolerance = optional(context.params.lossTol, 1e-3);
  const net = networkOfMatrices(context, inputs);
  const samples = {
    x: X!,
    y: y!,
    weight: new Float64Array(y!.length).fill(1),
    block: new Int32Array(y!.length),
  };
  const visits = order ?? Float64Array.from(y!, (_, i) => i);
  replay(net, samples, visits, { loss: 'square', learningRate, decay, maxUpdates, tolerance });
  const outputs: Record<string, Float32Array> = {};
  for (const [l, { inputs: n, outputs: m, weights, biases }] of net.layers.entries()) {
    outputs[`W${l + 1}_after`] = net.theta.slice(weights, weights + n * m);
    outputs[`b${l + 1}_after`] = net.theta.slice(biases, biases + m);
  }
  return outputs;
};

const eeNet: Adapter = async (context) => {
  const inputs = await hostInputs(context);
  const { pool = 50 } = context.params;
  const net = networkOfMatrices(context, inputs);
  const [K, dim] = context.inputs.X!.shape as [number, number];
  // The authors' size is total // pool + 1, one more than there are blocks where pool divides total.
  const wanted = context.fixture.outputs.pooledGradient?.shape.at(-1);
  const length = wanted ?? Math.ceil(net.parameterCount / pool);
  const explorer = new ExploreNetwork(length, context.inputs.f1b!.shape[0]!);
  const names = ['convKernel', 'convBias', 'F1', 'f1b', 'F2', 'f2b'];
  explorer.theta.set(names.flatMap((name) => [...inputs[name]!]));
  const pooled = new Float64Array(explorer.length);
  const exploit: number[] = [];
  const explore: number[] = [];
  const pooledGradient: number[] = [];
  for (let a = 0; a < K; a++) {
    exploit.push(net.forward(inputs.X!, a * dim, 0));
    net.backward(1);
    poolGradient(net, 0, pool, pooled);
    pooledGradient.push(...pooled.subarray(0, length));
    explore.push(explorer.forward(pooled, 0));
  }
  const arm = (weight: number) => {
    const scores = exploit.map((f, a) => f + weight * (explore[a]! - 1));
    return scores.indexOf(Math.max(...scores));
  };
  return { exploit, pooledGradient, explore, armEarly: arm(0.1), armLate: arm(0.01) };
};

const explorationPmfs: Adapter = async (context) => {
  const { predictedLoss } = await hostInputs(context);
  const { epsilon = 0, temperature = 1, minProbability = 0 } = context.params;
  const rows = { actionCount: context.inputs.predictedLoss!.shape.at(-1)! };
  const softmax = softmaxProbabilities(predictedLoss!, temperature, rows);
  return {
    epsilonGreedy: epsilonGreedyProbabilities(predictedLoss!, epsilon, rows),
    softmax,
    floored: probabilityFloor(softmax, minProbability, rows),
  };
};

export const adapters: Record<string, Adapter> = {
  'bandits/baselines/linUCB': linUCB,
  'bandits/baselines/linTS': linTS,
  'bandits/baselines/squareCB': squareCBAdapter,
  'bandits/baselines/neuralUCB': neuralScores,
  'bandits/baselines/neuralTS': neuralScores,
  'bandits/baselines/neuralReplayTrain': neuralReplayTrain,
  'bandits/baselines/eeNet': eeNet,
  'bandits/baselines/explorationPmfs': explorationPmfs,
};
