/** `bandits/neucb/…`: allocations, the perturbed loss, whole trajectories. */
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  inverseGapWeighting,
  reweightedInverseGapWeighting,
  sampleAction,
} from '../../src/exploration.js';
import { sigmoid } from '../../src/linear/logisticModel.js';
import {
  meanOf,
  perturbationFactor,
  perturbationShifts,
  perturbedGradient,
  projectToBall,
} from '../../src/neural/perturbation.js';
import { lossAt } from '../../src/neural/regressionLoss.js';
import { hostInputs, networkOf, optional } from './shared.js';

const RULES = { inverseGapWeighting, reweightedInverseGapWeighting };

const allocation =
  (rule: keyof typeof RULES): Adapter =>
  async (context) => {
    const { predictedLoss } = await hostInputs(context);
    const actionCount = context.inputs.predictedLoss!.shape.at(-1)!;
    return { probabilities: RULES[rule](predictedLoss!, context.params.gamma, { actionCount }) };
  };

const settingsOf = ({ params }: AdapterContext, dim: number, theta: Float64Array) => {
  const hidden = [params.m ?? params.hidden].flat() as number[];
  return {
    net: networkOf(dim, hidden, params.activation ?? 'relu', theta),
    loss: params.loss === 'kl' ? ('kl' as const) : ('halfSquare' as const),
    factor: perturbationFactor(optional(params.cp, 0), hidden.at(-1)!),
    width: hidden.at(-1)!,
  };
};

const perturbedLoss: Adapter = async (context) => {
  const { theta0, theta, X, eps } = await hostInputs(context);
  const [K, dim] = context.inputs.X!.shape as [number, number];
  const { net, loss, factor, width } = settingsOf(context, dim, theta!);
  const { y, cp } = context.params;
  const arm = optional(context.params.arm, 0);
  const p = net.parameterCount;
  const prediction = Float64Array.from({ length: K }, (_, a) => net.forward(X!, a * dim, 0));
  const shifts = perturbationShifts(net.theta, theta0!, eps!, factor);
  const shift = meanOf(shifts);
  const gradient = new Float64Array(p);
  const sample = { x: X!, at: arm * dim, block: 0, y, loss };
  const total = perturbedGradient(net, theta0!, eps!, factor, sample, gradient);
  const moved = theta!.reduce((sum, w, i) => sum + (w - theta0![i]!) ** 2, 0);
  return {
    prediction,
    perturbed: Array.from(shifts).flatMap((s) => Array.from(prediction, (f) => f + s)),
    meanPerturbed: prediction.map((f) => f + shift),
    loss: total,
    gradient,
    expectedLoss:
      lossAt(loss, y, prediction[arm]!) + (optional(cp, 0) ** 2 / (2 * Math.sqrt(width))) * moved,
  };
};

const trajectory: Adapter = async (context) => {
  const { theta0, X, losses, u, eps } = await hostInputs(context);
  const { params } = context;
  const [T, K, dim] = context.inputs.X!.shape as [number, number, number];
  const { net, loss, factor } = settingsOf(context, dim, theta0!);
  const p = net.parameterCount;
  const S = context.inputs.eps?.shape.at(-2) ?? 1;
  const rho = params.rho ?? Infinity;
  const rule = loss === 'kl' ? reweightedInverseGapWeighting : inverseGapWeighting;
  const gradient = new Float64Array(p);
  const out = { probabilities: [], predictions: [], actions: [], theta: [] } as Record<
    'probabilities' | 'predictions' | 'actions' | 'theta',
    number[]
  >;
  for (let t = 0; t < T; t++) {
    const signs = eps ? eps.subarray(t * S * p, (t + 1) * S * p) : new Float64Array(p);
    const shift = meanOf(perturbationShifts(net.theta, theta0!, signs, factor));
    const x = X!.subarray(t * K * dim, (t + 1) * K * dim);
    const predicted = Float64Array.from({ length: K }, (_, a) => {
      const f = net.forward(x, a * dim, 0) + shift;
      return loss === 'kl' ? sigmoid(f) : f;
    });
    const probabilities = rule(predicted, params.gamma);
    const action = sampleAction(probabilities, u![t]!);
    const sample = { x, at: action * dim, block: 0, y: losses![t * K + action]!, loss };
    perturbedGradient(net, theta0!, signs, factor, sample, gradient);
    for (let i = 0; i < p; i++) net.theta[i]! -= params.learningRate * gradient[i]!;
    projectToBall(net, theta0!, rho, params.rho1 ?? rho);
    out.predictions.push(...predicted);
    out.probabilities.push(...probabilities);
    out.actions.push(action);
    out.theta.push(...net.theta);
  }
  return out;
};

export const adapters: Record<string, Adapter> = {
  'bandits/neucb/inverseGapWeighting': allocation('inverseGapWeighting'),
  'bandits/neucb/reweightedInverseGapWeighting': allocation('reweightedInverseGapWeighting'),
  'bandits/neucb/perturbedLoss': perturbedLoss,
  'bandits/neucb/trajectory': trajectory,
};
