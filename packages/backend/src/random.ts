/**
 * Seeded random numbers whose whole state can be saved, so that a resumed run draws what the unbroken one would have.
 * Bits come from xoroshiro128+ (Blackman and Vigna 2018) through the `pure-rand` package.
 */
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus, xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import { checkInteger, checkNumber } from './checks.js';
import { CheckpointError } from './errors.js';

/** The whole state of a {@link Random}: plain numbers, fit for JSON. */
export type RandomState = readonly number[];

/** A seeded source of random numbers, made by {@link seededRandom} or {@link restoreRandom}. */
export interface Random {
  /** Uniform in [0, 1), 53 random bits. */
  uniform(): number;
  /** Uniform integer in [min, max], both inclusive. */
  integer(min: number, max: number): number;
  /** Normal with the given mean (default 0) and standard deviation (default 1). */
  normal(mean?: number, standardDeviation?: number): number;
  /** A shuffled copy of `items` (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** float32 tensor of independent normal numbers; the caller disposes it. */
  normalTensor(shape: number[], mean?: number, standardDeviation?: number): Tensor;
  /** float32 tensor of independent uniform numbers in [min, max); the caller disposes it. */
  uniformTensor(shape: number[], min?: number, max?: number): Tensor;
  /** An independent stream that depends on this one's state and on `key` only; this one does not advance. */
  fork(key: number): Random;
  /** The state: {@link restoreRandom} continues from it exactly. */
  state(): RandomState;
}

type Generator = ReturnType<typeof xoroshiro128plus>;

function wrap(generator: Generator): Random {
  const uniform = () => uniformFloat64(generator);
  // Box–Muller without keeping the second value: a hidden spare would not be part of the saved state.
  const normal = (mean = 0, standardDeviation = 1) => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return mean + standardDeviation * radius * Math.cos(2 * Math.PI * uniform());
  };
  const fill = (shape: number[], draw: () => number) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return tensor(Float32Array.from({ length: size }, draw), shape, 'float32');
  };
  return {
    uniform,
    normal,
    integer(min, max) {
      checkInteger('Random.integer', 'min', min);
      checkInteger('Random.integer', 'max', max, { min });
      return uniformInt(generator, min, max);
    },
    shuffle(items) {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = uniformInt(generator, 0, i);
        [copy[i], copy[j]] = [copy[j]!, copy[i]!];
      }
      return copy;
    },
    normalTensor(shape, mean = 0, standardDeviation = 1) {
      checkNumber('Random.normalTensor', 'standardDeviation', standardDeviation, { min: 0 });
      return fill(shape, () => normal(mean, standardDeviation));
    },
    uniformTensor(shape, min = 0, max = 1) {
      return fill(shape, () => min + (max - min) * uniform());
    },
    fork(key) {
      checkInteger('Random.fork', 'key', key);
      const [a = 0, b = 0, c = 0, d = 0] = generator.getState();
      return seededRandom(mix(a, mix(b, mix(c, mix(d, key | 0)))));
    },
    state: () => [...generator.getState()],
  };
}

/** One round of MurmurHash3's 32-bit mixing: neighbouring seeds and keys give unrelated streams. */
function mix(hash: number, key: number): number {
  let k = Math.imul(key ^ (key >>> 16), 0x85ebca6b);
  k = Math.imul(k ^ (k >>> 13), 0xc2b2ae35);
  return (Math.imul(hash ^ k ^ (k >>> 16), 5) + 0xe6546b64) | 0;
}

/**
 * A random source that depends on `seed` alone: same seed, same numbers, on every backend and machine.
 *
 * @param seed - integer
 * @throws TypeError or RangeError if `seed` is not an integer
 * @example
 * const random = seededRandom(42);
 * const weights = random.normalTensor([64, 32], 0, 0.02);
 */
export function seededRandom(seed: number): Random {
  checkInteger('seededRandom', 'seed', seed);
  return wrap(xoroshiro128plus(mix(0x9e3779b9, seed | 0)));
}

/**
 * Continues a random source from a saved {@link Random.state}.
 * @throws CheckpointError if `state` is not such a state
 */
export function restoreRandom(state: RandomState): Random {
  const valid = Array.isArray(state) && state.length === 4 && state.every(Number.isInteger);
  if (!valid || state.every((word) => word === 0)) {
    throw new CheckpointError('restoreRandom: state must be four integers that are not all 0');
  }
  return wrap(xoroshiro128plusFromState([...state]));
}
