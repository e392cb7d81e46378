/**
 * Seeded random numbers whose whole state can be saved, so that a resumed run draws what the unbroken one would have.
 * Bits come from xoroshiro128+ (Blackman and Vigna 2018) through the `pure-rand` package.
 */
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
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
  /** The state, four 32-bit integers: {@link restoreRandom} continues from it exactly. */
  state(): RandomState;
}

type Generator = ReturnType<typeof xoroshiro128plusFromState>;

function wrap(generator: Generator): Random {
  const uniform = () => uniformFloat64(generator);
  // Box–Muller without keeping the second value: a hidden spare would not be part of the saved state.
  const normal = (mean = 0, standardDeviation = 1) => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return mean + standardDeviation * radius * Math.cos(2 * Math.PI * uniform());
  };
  const fill = (caller: string, shape: number[], draw: () => number) => {
    for (const length of shape) checkInteger(caller, 'shape', length, { min: 0 });
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
      const caller = 'Random.normalTensor';
      checkNumber(caller, 'mean', mean);
      checkNumber(caller, 'standardDeviation', standardDeviation, { min: 0 });
      return fill(caller, shape, () => normal(mean, standardDeviation));
    },
    uniformTensor(shape, min = 0, max = 1) {
      const caller = 'Random.uniformTensor';
      checkNumber(caller, 'min', min);
      checkNumber(caller, 'max', max, { min });
      return fill(caller, shape, () => min + (max - min) * uniform());
    },
    fork(key) {
      checkInteger('Random.fork', 'key', key);
      return wrap(xoroshiro128plusFromState(hash([...generator.getState(), ...wordsOf(key)])));
    },
    state: () => [...generator.getState()],
  };
}

/** The low and the high 32 bits of an integer. */
const wordsOf = (n: number): number[] => [n | 0, Math.floor(n / 2 ** 32) | 0];

/** MurmurHash3's last step (Appleby): every bit of the result depends on every bit of `h`. */
function avalanche(h: number): number {
  let k = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  k = Math.imul(k ^ (k >>> 13), 0xc2b2ae35);
  return k ^ (k >>> 16);
}

/** 128 bits out of 32-bit words: neighbouring seeds and keys give unrelated states. */
function hash(words: readonly number[]): number[] {
  return [1, 2, 3, 4].map((lane) =>
    words.reduce((h, word, i) => avalanche(Math.imul(h ^ word, 0x9e3779b1) + i), avalanche(lane)),
  );
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
  return wrap(xoroshiro128plusFromState(hash(wordsOf(seed))));
}

/**
 * Continues a random source from a saved {@link Random.state}.
 * @throws CheckpointError if `state` is not such a state
 */
export function restoreRandom(state: RandomState): Random {
  const valid =
    Array.isArray(state) && state.length === 4 && state.every((word) => word === (word | 0));
  if (!valid || state.every((word) => word === 0)) {
    throw new CheckpointError(
      'restoreRandom: state must be four 32-bit integers that are not all 0',
    );
  }
  return wrap(xoroshiro128plusFromState([...state]));
}
