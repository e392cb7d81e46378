import {
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  type Random,
  seededRandom,
} from '@orth/backend';
import { add, matMul, type Tensor, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';

/** Options of {@link bernoulliGaussian}. */
export interface BernoulliGaussianOptions {
  /** Probability that an entry of a code is not 0, in (0, 1]. Default 0.3 */
  readonly theta?: number;
  /** Samples of a batch, integer >= 1. Default 10 */
  readonly batch?: number;
  /** Standard deviation of Gaussian noise on the samples, >= 0. Default 0 */
  readonly noise?: number;
  /** Integer. Default 0 */
  readonly seed?: number;
}

function resolve(caller: string, D0: Tensor2D, options: BernoulliGaussianOptions, more: string[]) {
  checkTensor(caller, 'D0', D0, { rank: 2 });
  checkOptions(caller, options, ['theta', 'batch', 'noise', 'seed', ...more]);
  const { theta = 0.3, batch = 10, noise = 0, seed = 0 } = options;
  checkNumber(caller, 'theta', theta, { above: 0, max: 1 });
  checkInteger(caller, 'batch', batch, { min: 1 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  checkInteger(caller, 'seed', seed);
  return { theta, batch, noise, random: seededRandom(seed) };
}

function draw(
  D0: Tensor2D,
  { theta, batch, noise, random }: ReturnType<typeof resolve> & { random: Random },
): Tensor2D {
  const [rows, atoms] = D0.shape;
  const codes = Float32Array.from({ length: atoms * batch }, () =>
    random.uniform() < theta ? random.normal() : 0,
  );
  return tidy(() => {
    const clean: Tensor = matMul(D0, tensor2d(codes, [atoms, batch]));
    if (noise === 0) return clean as Tensor2D;
    return add(clean, random.normalTensor([rows, batch], 0, noise)) as Tensor2D;
  });
}

/**
 * A batch of samples `y = D0 x + noise` with Bernoulli–Gaussian codes: each entry of `x` is N(0, 1) with probability
 * θ, else 0.
 *
 * @param D0 - dictionary, atoms are columns, shape `[N, K]`
 * @returns samples as columns, shape `[N, batch]`; the caller disposes it
 * @throws TypeError or RangeError for a bad shape or option
 */
export function bernoulliGaussian(D0: Tensor2D, options: BernoulliGaussianOptions = {}): Tensor2D {
  return draw(D0, resolve('bernoulliGaussian', D0, options, []));
}

/**
 * A stream of such batches, for `OnlineOrthogonalDictionary.fit`; each batch is disposed when the next is asked for.
 *
 * @param options.batches - how many, integer >= 0. Default: without end
 * @throws TypeError or RangeError for a bad shape or option, when the first batch is asked for
 * @example
 * await learner.fit(bernoulliGaussianStream(D0, { batches: 1000 }));
 */
export function* bernoulliGaussianStream(
  D0: Tensor2D,
  options: BernoulliGaussianOptions & { readonly batches?: number } = {},
): Generator<Tensor2D, void, void> {
  const resolved = resolve('bernoulliGaussianStream', D0, options, ['batches']);
  const { batches = Number.MAX_SAFE_INTEGER } = options;
  checkInteger('bernoulliGaussianStream', 'batches', batches, { min: 0 });
  for (let i = 0; i < batches; i++) {
    const Y = draw(D0, resolved);
    try {
      yield Y;
    } finally {
      Y.dispose();
    }
  }
}
