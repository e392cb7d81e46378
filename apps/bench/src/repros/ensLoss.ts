/** EnsLoss beside the fixed losses, where a network of many parameters overfits. */
import type { Random } from '@orth/backend';
import { EnsLoss, exponentialLoss, hingeLoss, logisticLoss } from '@orth/losses';
import {
  add,
  mul,
  type NamedTensorMap,
  reshape,
  type Scalar,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { batchesOf, DenseNetwork, type Rows, takeRows } from '../problems/denseNetwork.js';

const [DIMENSIONS, RELEVANT, TRAIN, TEST] = [500, 10, 1000, 4000];
const [WIDTH, BATCH, RATE, DECAY] = [256, 128, 1e-3, 5e-6];
/** Largest norm of all gradients together, for the exponential loss. */
const CLIP = 10;

const METHODS = ['logistic', 'hinge', 'exponential', 'EnsLoss'] as const;
type Method = (typeof METHODS)[number];

interface Labelled extends Rows {
  readonly labels: Float32Array;
}

/** Normal points of many dimensions; the sign of a random direction in the first ten is the label. */
function pointsOf(random: Random, direction: readonly number[], count: number): Labelled {
  const values = Float32Array.from({ length: count * DIMENSIONS }, () => random.normal());
  const labels = Float32Array.from({ length: count }, (_, i) => {
    const score = direction.reduce((sum, w, k) => sum + w * values[i * DIMENSIONS + k]!, 0);
    return score > 0 ? 1 : 0;
  });
  return { count, width: DIMENSIONS, values, labels };
}

/** A new loss for a run: EnsLoss has a state. */
function lossOf(method: Method, seed: number): (scores: Tensor, labels: Tensor) => Tensor {
  if (method === 'logistic') return logisticLoss;
  if (method === 'hinge') return hingeLoss;
  if (method === 'exponential') return exponentialLoss;
  const loss = new EnsLoss({ seed });
  return (scores, labels) => loss.call(scores, labels);
}

/** Gradients with weight decay, shortened to a norm. */
function prepared(gradients: NamedTensorMap, network: DenseNetwork, clip: boolean) {
  const weights = new Map(network.variables.map((w) => [w.name, w]));
  const all = Object.entries(gradients);
  let scale = 1;
  if (clip) {
    const squares = all.map(([, g]) => [...g.dataSync()].reduce((sum, x) => sum + x * x, 0));
    const norm = Math.sqrt(squares.reduce((a, b) => a + b));
    scale = Math.min(1, CLIP / norm);
  }
  return Object.fromEntries(
    all.map(([name, g]) => [name, add(mul(g, scale), mul(weights.get(name)!, DECAY))]),
  );
}

function testAccuracy(
  { seen, unseen }: { seen: Labelled; unseen: Labelled },
  random: Random,
  { method, depth, epochs, seed }: { method: Method; depth: number; epochs: number; seed: number },
): number {
  const widths = [DIMENSIONS, ...Array<number>(depth).fill(WIDTH), 1];
  const network = new DenseNetwork(random.fork(1), { widths, normalized: true });
  const optimizer = train.momentum(RATE, 0.9);
  const order = random.fork(2);
  const loss = lossOf(method, seed);
  const steps = epochs * Math.ceil(seen.count / BATCH);
  let at = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const batch of batchesOf(order, seen.count, BATCH)) {
      optimizer.setLearningRate((RATE / 2) * (1 + Math.cos((Math.PI * at++) / steps)));
      tidy(() => {
        const x = tensor2d(takeRows(seen, batch), [batch.length, DIMENSIONS]);
        const y = tensor1d(batch.map((row) => seen.labels[row]!));
        const { grads } = variableGrads(
          () => loss(reshape(network.apply(x, true), [batch.length]), y) as Scalar,
          network.variables,
        );
        optimizer.applyGradients(prepared(grads, network, method === 'exponential'));
      });
    }
  }
  const accuracy = tidy(() => {
    const scores = network.apply(tensor2d(unseen.values, [unseen.count, DIMENSIONS])).dataSync();
    return scores.filter((score, i) => score > 0 === unseen.labels[i]! > 0).length / unseen.count;
  });
  network.dispose();
  optimizer.dispose();
  return accuracy;
}

async function* claims({ seeds, quick, random, onProgress }: ReproContext): AsyncIterable<Claim> {
  const epochs = quick ? 40 : 100;
  for (const depth of quick ? [3] : [3, 5]) {
    const accuracies = seeds.map((seed) => {
      const source = random(seed);
      const direction = Array.from({ length: RELEVANT }, () => source.normal());
      const data = {
        seen: pointsOf(source.fork(1), direction, TRAIN),
        unseen: pointsOf(source.fork(2), direction, TEST),
      };
      const of = (method: Method) => {
        onProgress(`${depth} blocks, ${method}, seed ${seed}`);
        return testAccuracy(data, source.fork(3), { method, depth, epochs, seed });
      };
      return Object.fromEntries(METHODS.map((m) => [m, of(m)])) as Record<Method, number>;
    });
    const mean = (method: Method) =>
      accuracies.reduce((sum, a) => sum + a[method], 0) / accuracies.length;
    const fixed = METHODS.slice(0, 3).sort((a, b) => mean(b) - mean(a));
    const best = fixed[0]!;
    yield {
      claim: 'EnsLoss is at least 0.03 ahead of the best fixed loss in test accuracy',
      setting:
        `x ~ N(0, I) in ${DIMENSIONS} dimensions, label by ${RELEVANT} of them, ${TRAIN} train, ${TEST} test; ` +
        `${depth} blocks of ${WIDTH} with batch normalisation, SGD ${RATE}, momentum 0.9, cosine, ${epochs} epochs, ` +
        `batch ${BATCH}; mean of ${fixed.map((m) => `${m} ${mean(m).toFixed(3)}`).join(', ')}`,
      baseline: `${best}, the best fixed loss: test accuracy`,
      ours: 'EnsLoss: test accuracy',
      results: seeds.map((seed, i) => ({
        seed,
        baseline: accuracies[i]![best],
        ours: accuracies[i]!.EnsLoss,
      })),
      effect: 'difference',
      expectation: { of: 'mean', atLeast: 0.03 },
    };
  }
}

export const repro: Repro = {
  system: 'ensloss',
  description: 'EnsLoss beside logistic, hinge and exponential loss where networks overfit',
  claims,
};
