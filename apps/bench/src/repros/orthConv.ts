/** Convolutions with and without L_orth: singular values of the layers' matrices, accuracy under perturbation. */
import { convResiduals } from '@orth/lora-group';
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import { CircularNetwork } from '../problems/circularNetwork.js';
import { slice, smallDigits } from '../problems/digitDomains.js';

const LAMBDAS = [0, 1e-2, 0.1, 1];

interface Measured {
  /** Accuracy on digits as they are. */
  readonly clean: number;
  /** Under projected gradient ascent within 0.5, and 1. */
  readonly half: number;
  readonly one: number;
  /** Least and greatest singular value over layers. */
  readonly least: number;
  readonly greatest: number;
}

async function measure({
  quick,
  seeds,
  random,
  onProgress,
}: ReproContext): Promise<Map<number, Measured[]>> {
  const digits = smallDigits();
  const [train, test] = [
    slice(digits, 0, quick ? 1000 : 4000),
    slice(digits, 9000, quick ? 9200 : 10000),
  ];
  const table = new Map(LAMBDAS.map((lambda) => [lambda, [] as Measured[]]));
  for (const seed of seeds) {
    for (const lambda of LAMBDAS) {
      onProgress(`seed ${seed}: λ = ${lambda}`);
      const network = new CircularNetwork(random(seed));
      await network.fit(train, quick ? 2 : 3, lambda, random(seed).fork(1));
      table.get(lambda)!.push({
        clean: await network.accuracy(test, 0),
        half: await network.accuracy(test, 0.5),
        one: await network.accuracy(test, 1),
        ...(await network.singularValues()),
      });
      network.dispose();
    }
  }
  return table;
}

/** One kernel on growing images. */
async function* growth({ seeds, random, quick }: ReproContext): AsyncIterable<Claim> {
  const [small, large] = quick ? [6, 12] : [8, 32];
  const frobenius: SeedResult[] = [];
  const spectral: SeedResult[] = [];
  for (const seed of seeds) {
    const kernel = random(seed).normalTensor([3, 3, 4, 4], 0, 1 / 6);
    const [a, b] = [
      await convResiduals(kernel, { size: small }),
      await convResiduals(kernel, { size: large }),
    ];
    kernel.dispose();
    frobenius.push({ seed, baseline: a.fro * (large / small), ours: b.fro });
    spectral.push({ seed, baseline: b.bound, ours: b.spectral });
  }
  const setting = `a random kernel 3x3, 4 to 4 channels, circular, on images of ${small} and ${large}`;
  yield {
    claim: '‖𝒦𝒦ᵀ − I‖_F grows exactly as the image: ratio within 1e-4 of 1, for every seed',
    setting,
    baseline: 'that of the smaller image, times the ratio of sides',
    ours: 'that of the larger image',
    results: frobenius,
    effect: 'ratio',
    expectation: { of: 'everySeed', atLeast: 1 - 1e-4, atMost: 1 + 1e-4 },
  };
  yield {
    claim:
      'the spectral norm stays below the bound √(a · lorth), which knows no image size, for every seed',
    setting,
    baseline: 'bound',
    ours: 'spectral norm on the larger image',
    results: spectral,
    effect: 'ratio',
    expectation: { of: 'everySeed', atMost: 1 },
  };
}

export const repro: Repro = {
  system: 'orth-conv',
  description:
    'L_orth on and off: singular values of convolution layers, accuracy under perturbation',
  async *claims(context) {
    yield* growth(context);
    const table = await measure(context);
    const { quick, seeds } = context;
    const setting =
      `MNIST 14x14, ${quick ? 1000 : 4000} digits; circular 3x3 convolutions 1-8, 8-16 (stride 2), 16-16, ReLU, dense 10; Adam 2e-3, ` +
      `${quick ? 2 : 3} epochs of 64; ${quick ? 200 : 1000} other digits; attack: 10 steps of projected gradient ascent in l2`;
    const claim = (
      text: string,
      what: string,
      [baseline, ours]: readonly [number, number],
      pick: (found: Measured) => number,
      expectation: Claim['expectation'],
      effect: Claim['effect'] = 'difference',
    ): Claim => ({
      claim: text,
      setting,
      baseline: `λ = ${baseline}: ${what}`,
      ours: `λ = ${ours}: ${what}`,
      results: seeds.map((seed, i) => ({
        seed,
        baseline: pick(table.get(baseline)![i]!),
        ours: pick(table.get(ours)![i]!),
      })),
      effect,
      expectation,
    });
    const spread = ({ least, greatest }: Measured) => greatest - least;
    for (const pair of [
      [0, 1e-2],
      [1e-2, 0.1],
      [0.1, 1],
    ] as const) {
      yield claim(
        `singular values of all layers lie closer together at λ = ${pair[1]} than at ${pair[0]}, for every seed`,
        'greatest less least singular value',
        pair,
        spread,
        { of: 'everySeed', below: 0 },
      );
    }
    yield claim(
      'at λ = 1 they spread over no more than a third of what they do without, in the mean',
      'greatest less least singular value',
      [0, 1],
      spread,
      { of: 'mean', atMost: 1 / 3 },
      'ratio',
    );
    for (const pair of [
      [0, 0.1],
      [0, 1],
    ] as const) {
      yield claim(
        `λ = ${pair[1]} is more accurate under perturbations of length 0.5, in the mean`,
        'accuracy within 0.5',
        pair,
        ({ half }) => half,
        { of: 'mean', atLeast: 0.02 },
      );
      yield claim(
        `λ = ${pair[1]} is more accurate under perturbations of length 1, in the mean`,
        'accuracy within 1',
        pair,
        ({ one }) => one,
        { of: 'mean', atLeast: 0.02 },
      );
    }
    yield claim(
      'it costs no clean accuracy at λ = 0.01, a point allowed, in the mean',
      'clean accuracy',
      [0, 1e-2],
      ({ clean }) => clean,
      { of: 'mean', atLeast: -0.01 },
    );
    yield claim(
      'nor at λ = 1, a point allowed, in the mean',
      'clean accuracy',
      [0, 1],
      ({ clean }) => clean,
      { of: 'mean', atLeast: -0.01 },
    );
  },
};
