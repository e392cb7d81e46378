/** The perturbed loss in ops on every backend, against the form on the host that policies use. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { grad, memory, type Tensor1D, tensor1d, tensor2d } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  expectedPerturbedLoss,
  networkOutputs,
  type PerturbedLossOptions,
  perturbedLoss,
} from '../src/index.js';
import { Mlp } from '../src/neural/mlp.js';
import {
  drawSigns,
  expectedPull,
  perturbationFactor,
  perturbedGradient,
} from '../src/neural/perturbation.js';

/** Agreement demanded of every backend: float32 rounding. */
const TOLERANCE = { rtol: 1e-4, atol: 1e-5 };

const CASES: PerturbedLossOptions[] = [
  { loss: 'square', hidden: [5], activation: 'tanh', perturbationScale: 0.8 },
  { loss: 'kl', hidden: [4, 3], activation: 'relu', perturbationScale: 0.5 },
];

describe('conformance', () => {
  it.each(CASES)('$loss loss, hidden $hidden', async (options) => {
    const { hidden, activation = 'relu', loss, perturbationScale = 0 } = options;
    const random = seededRandom(1);
    const net = new Mlp({ dim: 3, blocks: 1, hidden, activation, scale: 1 });
    const p = net.parameterCount;
    for (let i = 0; i < p; i++) {
      net.theta[i] = random.normal(0, 0.6);
      net.start[i] = net.theta[i]! + random.normal(0, 0.2);
    }
    const x = Float64Array.from({ length: 3 }, () => random.normal());
    const signs = drawSigns(random, 2 * p);
    const kind = loss === 'kl' ? ('kl' as const) : ('halfSquare' as const);
    const sample = { x, at: 0, block: 0, y: 0.3, loss: kind };
    const gradient = new Float64Array(p);
    const factor = perturbationFactor(perturbationScale, hidden.at(-1)!);
    const value = perturbedGradient(net, net.start, signs, factor, sample, gradient);

    const count = memory().numTensors;
    const theta = tensor1d(net.theta);
    const inputs = {
      theta0: tensor1d(net.start),
      x: tensor2d(Float32Array.from(x), [1, 3]),
      y: tensor1d([0.3]),
      signs: tensor2d(Float32Array.from(signs), [2, p]),
    };
    const got = perturbedLoss(theta, inputs, options);
    expectTensorClose(await got.data(), [value], TOLERANCE);
    const slope = grad((w) => perturbedLoss(w as Tensor1D, inputs, options))(theta);
    expectTensorClose(await slope.data(), gradient, TOLERANCE);
    const output = networkOutputs(theta, inputs.x, { hidden, activation });
    const f = net.forward(x, 0, 0);
    expectTensorClose(await output.data(), [f], TOLERANCE);
    const { theta0, y } = inputs;
    const own = { hidden, activation, perturbationScale };
    const expected = expectedPerturbedLoss(theta, { theta0, x: inputs.x, y }, own);
    const moved = net.theta.reduce((sum, w, i) => sum + (w - net.start[i]!) ** 2, 0);
    const pull = 0.5 * expectedPull(perturbationScale, hidden.at(-1)!) * moved;
    expectTensorClose(await expected.data(), [0.5 * (f - 0.3) ** 2 + pull], TOLERANCE);
    for (const tensor of [theta, ...Object.values(inputs), got, slope, output, expected]) {
      tensor.dispose();
    }
    expect(memory().numTensors).toBe(count);
  });
});
