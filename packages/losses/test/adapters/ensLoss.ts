import { EnsLoss, exponentialLoss, focalLoss, hingeLoss, logisticLoss } from '@orth/losses';
import type { Adapter } from '@orth/testing';
import { cast, grad, mul, step, sub, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** The pseudo-loss with given z, its gradient and derivatives; and the fixed losses. */
const ensLoss: Adapter = async ({ inputs, params, wanted }) => {
  const { scores, labels, z } = inputs as Record<string, Tensor>;
  const { lambda = 0, tailPower = 1, floor = -1, eps: epsilon = 1e-6 } = params;
  const { reduction = 'mean', focalGamma: gamma = 2 } = params;
  const loss = new EnsLoss({ lambda, tailPower, floor, epsilon, reduction });
  const draws = { z: await z!.data() };
  const outputs: Record<string, () => Tensor> = {
    loss: () => loss.call(scores!, labels!, draws),
    grad_scores: () => grad((f: Tensor) => sum(loss.call(f, labels!, draws)))(scores!),
    derivative: () =>
      tidy(() => {
        const signs = sub(mul(step(cast(labels!, 'float32')), 2), 1);
        return loss.derivatives(mul(scores!, signs), draws);
      }),
    hinge: () => hingeLoss(scores!, labels!, { reduction }),
    exp: () => exponentialLoss(scores!, labels!, { reduction }),
    bce: () => logisticLoss(scores!, labels!, { reduction }),
    focal: () => focalLoss(scores!, labels!, { reduction, gamma }),
  };
  return Object.fromEntries(wanted.map((name) => [name, outputs[name]!()]));
};

export const adapters: Record<string, Adapter> = { 'losses/ensloss': ensLoss };
