/**
 * Online orthogonal dictionary learning (Xue and Lau 2021): recovery error over the stream, beside the batch method that
 * has all samples at once; memory; codes of real images beside fixed and principal bases.
 */
import type { Random } from '@orth/backend';
import { dctMatrix } from '@orth/newton-schulz';
import {
  bernoulliGaussian,
  bernoulliGaussianStream,
  dictionaryError,
  mspDictionary,
  OnlineOrthogonalDictionary,
  randomOrthogonal,
} from '@orth/recovery';
import { matMul, memory, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { digits } from '../problems/mlp.js';

const N = 20;
const THETA = 0.3;
const BATCH = 10;
/** Batches after which the error is taken. */
const MARKS = [100, 300, 1000];
const SETTING = `N = ${N}, θ = ${THETA}, batches of ${BATCH}, p = 3, random orthogonal start`;

/** Errors (p = 4) of the projected dictionary at the marks, and tensor bytes held after the first and the last batch. */
async function overStream(seed: number, noise: number) {
  const D0 = randomOrthogonal(N, { seed: 1000 + seed });
  const learner = new OnlineOrthogonalDictionary(N, { seed });
  const errors: number[] = [];
  const bytes: number[] = [];
  const batches = MARKS.at(-1)!;
  const stream = bernoulliGaussianStream(D0, { theta: THETA, batch: BATCH, noise, seed, batches });
  for (const Y of stream) {
    learner.update(Y);
    bytes.push(memory().numBytes);
    if (!MARKS.includes(learner.step)) continue;
    const D = learner.dictionary();
    errors.push(await dictionaryError(D, D0));
    D.dispose();
  }
  learner.dispose();
  D0.dispose();
  return { errors, grown: bytes.at(-1)! - bytes[0]! };
}

/** Error of the batch method on as many samples, all stored. */
async function batchError(seed: number, noise: number): Promise<number> {
  const D0 = randomOrthogonal(N, { seed: 1000 + seed });
  const batch = MARKS.at(-1)! * BATCH;
  const Y = bernoulliGaussian(D0, { theta: THETA, batch, noise, seed });
  const { D } = await mspDictionary(Y, { p: 4, seed });
  const error = await dictionaryError(D, D0);
  for (const x of [D0, Y, D]) x.dispose();
  return error;
}

const SIDE = 8;
const PIXELS = SIDE * SIDE;

/** 8×8 patches of digits as columns, at places that are not empty. */
function patches(images: { pixels: Float32Array; count: number }, count: number, random: Random) {
  const data = new Float32Array(PIXELS * count);
  for (let c = 0; c < count; ) {
    const image = random.integer(0, images.count - 1);
    const [top, left] = [random.integer(0, 20), random.integer(0, 20)];
    let sum = 0;
    for (let e = 0; e < PIXELS; e++) {
      const at = image * 784 + (top + Math.floor(e / SIDE)) * 28 + left + (e % SIDE);
      data[e * count + c] = images.pixels[at]!;
      sum += images.pixels[at]!;
    }
    if (sum > 4) c++;
  }
  return tensor2d(data, [PIXELS, count]);
}

/** ‖Y − Ŷ‖ / ‖Y‖ of the best k codes in an orthogonal basis. */
function relativeError(basis: Tensor2D, Y: Tensor2D, k: number): number {
  const learner = new OnlineOrthogonalDictionary(basis.shape[0], { init: basis });
  const codes = learner.encode(Y, { k });
  const [all, kept] = [Y.dataSync(), codes.dataSync()];
  codes.dispose();
  learner.dispose();
  const energy = (values: ArrayLike<number>) =>
    Array.from(values).reduce((total, v) => total + v * v, 0);
  return Math.sqrt(Math.max(0, 1 - energy(kept) / energy(all)));
}

function cosineBasis(): Tensor2D {
  return tidy(() => {
    const C = dctMatrix(SIDE).arraySync() as number[][];
    const rows = Array.from({ length: PIXELS }, (_, e) =>
      Array.from(
        { length: PIXELS },
        (__, f) => C[Math.floor(f / SIDE)]![Math.floor(e / SIDE)]! * C[f % SIDE]![e % SIDE]!,
      ),
    );
    return tensor2d(rows);
  });
}

function principalBasis(Y: Tensor2D): Tensor2D {
  const covariance = matMul(Y, Y, false, true).arraySync() as number[][];
  const { eigenvectorMatrix } = new EigenvalueDecomposition(new Matrix(covariance), {
    assumeSymmetric: true,
  });
  return tensor2d(eigenvectorMatrix.to2DArray());
}

/** Relative errors on held-out patches of the learnt, the cosine and the principal basis, at N/8 and N/4 codes. */
async function onPatches(seed: number, random: Random, batches: number) {
  const { train, test } = digits();
  const stored = patches(train, 100 * batches, random);
  const held = patches(test, 2000, random);
  const learner = new OnlineOrthogonalDictionary(PIXELS, { seed });
  const columns = stored.arraySync() as number[][];
  for (let t = 0; t < batches; t++) {
    learner.update(columns.map((row) => row.slice(100 * t, 100 * (t + 1))));
  }
  const bases = [learner.dictionary(), cosineBasis(), principalBasis(stored)] as const;
  const errors = [PIXELS / 8, PIXELS / 4].map((k) => bases.map((D) => relativeError(D, held, k)));
  for (const x of [stored, held, ...bases]) x.dispose();
  learner.dispose();
  return errors;
}

export const repro: Repro = {
  system: 'online-odl',
  description:
    'an orthogonal dictionary learnt from a stream, beside the batch method; memory; image patches',
  async *claims({ quick, seeds, random, onProgress }: ReproContext) {
    for (const noise of [0, 0.1]) {
      const results: { seed: number; errors: number[]; grown: number; batch: number }[] = [];
      for (const seed of seeds) {
        onProgress(`stream with noise ${noise}, seed ${seed}`);
        const { errors, grown } = await overStream(seed, noise);
        results.push({ seed, errors, grown, batch: await batchError(seed, noise) });
      }
      const setting = `${SETTING}, noise ${noise}; error 1 − ‖D0ᵀD‖₄⁴/N`;
      const at = (what: string, mark: number, bound: number): Claim => ({
        claim: `${what}: error below ${bound} after ${MARKS[mark]} batches`,
        setting,
        baseline: 'bound',
        ours: `error after ${MARKS[mark]}`,
        results: results.map(({ seed, errors }) => ({
          seed,
          baseline: bound,
          ours: errors[mark]!,
        })),
        effect: 'difference',
        expectation: { of: 'everySeed', below: 0 },
      });
      const what = noise ? 'with noise' : 'without noise';
      yield at(what, 1, 0.02);
      yield at(what, 2, 0.006);
      yield {
        claim: `${what}: the error falls over the stream, from batch 100 to batch 1000 to a tenth or less`,
        setting,
        baseline: 'error after 100',
        ours: 'error after 1000',
        results: results.map(({ seed, errors }) => ({
          seed,
          baseline: errors[0]!,
          ours: errors[2]!,
        })),
        effect: 'ratio',
        expectation: { of: 'everySeed', atMost: 0.1 },
      };
      yield {
        claim: `${what}: one pass over the stream ends within a factor of 5 of the batch method`,
        setting: `${setting}; batch: matching, stretching, projection with p = 4 on all 10,000 samples`,
        baseline: 'error, batch',
        ours: 'error, online',
        results: results.map(({ seed, batch, errors }) => ({
          seed,
          baseline: batch,
          ours: errors[2]!,
        })),
        effect: 'ratio',
        expectation: { of: 'everySeed', atMost: 5 },
      };
      if (noise > 0) continue;
      yield {
        claim: 'memory does not grow with the stream',
        setting: `${SETTING}; bytes of tensors`,
        baseline: 'growth allowed',
        ours: 'growth over 1000 batches',
        results: results.map(({ seed, grown }) => ({ seed, baseline: 0, ours: grown })),
        effect: 'difference',
        expectation: { of: 'everySeed', atMost: 0 },
      };
    }
    const batches = quick ? 60 : 300;
    const setting = `8×8 patches of digits, ${batches} batches of 100, 2000 held-out patches; ‖Y − Ŷ‖/‖Y‖`;
    const found: { seed: number; errors: number[][] }[] = [];
    for (const seed of seeds) {
      onProgress(`patches, seed ${seed}`);
      found.push({ seed, errors: await onPatches(seed, random(seed), batches) });
    }
    for (const [at, k] of [
      [0, PIXELS / 8],
      [1, PIXELS / 4],
    ] as const) {
      for (const [other, name] of [
        [1, 'cosine basis'],
        [2, 'principal components'],
      ] as const) {
        yield {
          claim: `${k} codes in the learnt dictionary lose less than ${k} in the ${name}`,
          setting,
          baseline: `error, ${name}`,
          ours: 'error, learnt',
          results: found.map(({ seed, errors }) => ({
            seed,
            baseline: errors[at]![other]!,
            ours: errors[at]![0]!,
          })),
          effect: 'ratio',
          expectation: { of: 'everySeed', below: 1 },
        };
      }
    }
  },
};
