/** A model for the processes of the tests, the same in each. */
import { seededRandom } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';

export function makeModel(): layers.Sequential {
  const { dense } = layers.layers;
  const model = layers.sequential({
    layers: [
      dense({ units: 8, activation: 'relu', inputShape: [6], name: 'body' }),
      dense({ units: 3, name: 'head' }),
    ],
  });
  const random = seededRandom(1);
  model.setWeights(
    model.weights.map(({ shape }) => {
      const sizes = shape as number[];
      const size = sizes.reduce((product, n) => product * n, 1);
      return tensor(
        Float32Array.from({ length: size }, () => random.normal(0, 0.5)),
        sizes,
      );
    }),
  );
  return model;
}

export const inputs = (): Tensor => seededRandom(2).normalTensor([16, 6]);
export const targets = (): Tensor => seededRandom(3).normalTensor([16, 3]);
