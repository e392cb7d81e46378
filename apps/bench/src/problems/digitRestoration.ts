/** Digits at 14×14 to be denoised and restored: samplers, two denoisers of one size, and measurements of held-out ones. */
import type { Random } from '@orth/backend';
import { gammaSchedule, LPN, trainLpn } from '@orth/unfolding';
import {
  add,
  matMul,
  mean,
  relu,
  type Scalar,
  square,
  sub,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { type LabelledImages, SIDE, smallDigits } from './digitDomains.js';

const PIXELS = SIDE * SIDE;
const TRAIN = 8000;
const HIDDEN = 128;
const BATCH = 100;
const RATE = 1e-3;

/** Noise that both denoisers are trained for. */
export const SIGMA = 0.2;

/** Digits that training draws from, and those held out. */
export class RestorationDigits {
  private readonly images: LabelledImages = smallDigits();

  /** Rows of pixels in [0, 1]. */
  rows(from: number, count: number): Tensor2D {
    const { pixels } = this.images;
    return tensor2d(pixels.slice(from * PIXELS, (from + count) * PIXELS), [count, PIXELS]);
  }

  /** Digits that no training draws; `set` tells one hundred from the next. */
  heldOut(set: number, count: number): Tensor2D {
    return this.rows(TRAIN + 200 * set, count);
  }

  /** A random batch of training digits. */
  batch(random: Random, count: number): Tensor2D {
    const data = new Float32Array(count * PIXELS);
    for (let i = 0; i < count; i++) {
      const at = random.integer(0, TRAIN - 1) * PIXELS;
      data.set(this.images.pixels.subarray(at, at + PIXELS), i * PIXELS);
    }
    return tensor2d(data, [count, PIXELS]);
  }
}

/** A learned proximal network on digits: half of the steps with l1 loss, half with proximal matching. */
export async function trainProximal(
  digits: RestorationDigits,
  random: Random,
  steps: number,
): Promise<LPN> {
  const model = new LPN({
    dim: PIXELS,
    hidden: HIDDEN,
    layers: 2,
    alpha: 0.01,
    init: { mean: -5, standardDeviation: 0.1 },
    seed: random.integer(0, 2 ** 31 - 1),
  });
  const draws = random.fork(1);
  await trainLpn(model, (count) => digits.batch(draws, count), {
    sigma: SIGMA,
    steps,
    batchSize: BATCH,
    seed: random.integer(0, 2 ** 31 - 1),
    schedule: gammaSchedule({
      steps,
      gammaMin: 0.08 * Math.sqrt(PIXELS),
      pretrainLearningRate: RATE,
      learningRate: RATE,
    }),
  });
  return model;
}

/** A denoiser without structure: three dense layers with ReLU, trained for the least squared error. */
export class PlainDenoiser {
  readonly variables: Variable[] = [];

  constructor(random: Random) {
    const widths = [PIXELS, HIDDEN, HIDDEN, PIXELS];
    for (let i = 0; i < 3; i++) {
      const [from, to] = [widths[i]!, widths[i + 1]!];
      const W = random.normalTensor([from, to], 0, Math.sqrt(2 / from));
      const b = random.normalTensor([1, to], 0, 0);
      this.variables.push(variable(W), variable(b));
      W.dispose();
      b.dispose();
    }
  }

  apply(x: Tensor): Tensor {
    return tidy(() => {
      let h = x;
      for (let i = 0; i < 3; i++) {
        h = add(
          matMul(h as Tensor2D, this.variables[2 * i] as unknown as Tensor2D),
          this.variables[2 * i + 1]!,
        );
        if (i < 2) h = relu(h);
      }
      return h;
    });
  }

  dispose(): void {
    for (const v of this.variables) v.dispose();
  }
}

/** As many steps, the same batches and noise as {@link trainProximal}. */
export async function trainPlain(
  digits: RestorationDigits,
  random: Random,
  steps: number,
): Promise<PlainDenoiser> {
  const model = new PlainDenoiser(random.fork(2));
  const optimizer = train.adam(RATE);
  const [draws, noise] = [random.fork(1), random.fork(3)];
  for (let step = 0; step < steps; step++) {
    optimizer.minimize(
      () => {
        const clean = digits.batch(draws, BATCH);
        const noisy = add(clean, noise.normalTensor(clean.shape, 0, SIGMA));
        return mean(square(sub(model.apply(noisy), clean))) as Scalar;
      },
      false,
      model.variables,
    );
    if (step % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  optimizer.dispose();
  return model;
}

/** Measurements of digits, and the operator behind them. */
export interface Restoration {
  readonly A: Tensor2D;
  readonly b: Tensor2D;
}

/** Gaussian random projections to `m` numbers, with noise. */
export function compress(digits: Tensor2D, m: number, noise: number, random: Random): Restoration {
  const A = random.normalTensor([m, PIXELS], 0, 1 / Math.sqrt(m)) as Tensor2D;
  return measure(A, digits, noise, random);
}

/** Blur with a Gaussian of 1 pixel, dark outside, with noise. */
export function blur(digits: Tensor2D, width: number, noise: number, random: Random): Restoration {
  const kernel = (distance: number) => Math.exp(-(distance * distance) / (2 * width * width));
  let total = 0;
  for (let i = -SIDE; i <= SIDE; i++) total += kernel(i);
  const data = new Float32Array(PIXELS * PIXELS);
  for (let p = 0; p < PIXELS; p++) {
    for (let q = 0; q < PIXELS; q++) {
      const [dy, dx] = [Math.floor(p / SIDE) - Math.floor(q / SIDE), (p % SIDE) - (q % SIDE)];
      data[p * PIXELS + q] = (kernel(dy) * kernel(dx)) / (total * total);
    }
  }
  return measure(tensor2d(data, [PIXELS, PIXELS]), digits, noise, random);
}

function measure(A: Tensor2D, digits: Tensor2D, noise: number, random: Random): Restoration {
  const b = tidy(() => {
    const clean = matMul(digits, A, false, true);
    return add(clean, random.normalTensor(clean.shape, 0, noise)) as Tensor2D;
  });
  return { A, b };
}

/** Mean over digits of the peak signal-to-noise ratio in dB; peak 1. */
export async function psnr(x: Tensor, truth: Tensor): Promise<number> {
  const errors = tidy(() => mean(square(sub(x, truth)), 1));
  const values = await errors.data();
  errors.dispose();
  return (
    Array.from(values).reduce((sum, e) => sum - 10 * Math.log10(Math.max(e, 1e-12)), 0) /
    values.length
  );
}
