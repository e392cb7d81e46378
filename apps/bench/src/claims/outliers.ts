import type { Random } from '@orth/backend';
import {
  add,
  moments,
  mul,
  type Optimizer,
  sqrt,
  type Tensor,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';

type Gradients = Parameters<Optimizer['applyGradients']>[0];

const PROBABILITY = 0.001;
const SIZE = 100;

/**
 * Disturbs gradients as a few broken samples would: each entry of a matrix' gradient gets, with probability 0.001, a
 * normal number of 100 times the standard deviation of that gradient added. The same entries for every optimizer.
 */
export function withOutliers(random: Random) {
  return (gradients: Gradients, apply: (gradients: Gradients) => void): void =>
    tidy(() => {
      const entries = Object.entries(gradients as unknown as Record<string, Tensor>);
      const disturbed = entries.map(([name, g]) => [name, g.rank < 2 ? g : disturb(g, random)]);
      apply(Object.fromEntries(disturbed) as Gradients);
    });
}

function disturb(g: Tensor, random: Random): Tensor {
  const noise = Float32Array.from({ length: g.size }, () =>
    random.uniform() < PROBABILITY ? random.normal(0, SIZE) : 0,
  );
  return add(g, mul(tensor(noise, g.shape), sqrt(moments(g).variance)));
}
