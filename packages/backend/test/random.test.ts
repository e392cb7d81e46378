import { CheckpointError, type Random, restoreRandom, seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const draws = (random: Random, n: number) => Array.from({ length: n }, () => random.uniform());

/**
 * Pearson's statistic for equal bins, scaled to a standard normal number (Wilson and Hilferty 1931). With the limit 4.5
 * a sound generator fails a test once in 150,000; as seeds are fixed, a test passes always or never.
 */
function uniformityScore(values: readonly number[], bins: number): number {
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) counts[Math.floor(value * bins)]!++;
  const expected = values.length / bins;
  const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const freedom = bins - 1;
  const spread = 2 / (9 * freedom);
  return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / Math.sqrt(spread);
}
const LIMIT = 4.5;

/** Correlation of two samples of uniform numbers, in standard deviations of its distribution. */
function correlationScore(a: readonly number[], b: readonly number[]): number {
  const sum = a.reduce((total, value, i) => total + (value - 0.5) * (b[i]! - 0.5), 0);
  return (12 * sum) / Math.sqrt(a.length);
}

test('uniform numbers fill [0, 1) evenly, whatever the seed, also large and negative ones', () => {
  for (const seed of [0, 1, -1, 2 ** 31, 2 ** 40 + 3, Number.MAX_SAFE_INTEGER]) {
    expect(uniformityScore(draws(seededRandom(seed), 20_000), 100)).toBeLessThan(LIMIT);
  }
});

test('neighbouring seeds give unrelated streams: their first numbers are uniform, and uncorrelated', () => {
  const first = Array.from({ length: 20_000 }, (_, seed) => seededRandom(seed).uniform());
  expect(uniformityScore(first, 100)).toBeLessThan(LIMIT);
  expect(Math.abs(correlationScore(first.slice(1), first.slice(0, -1)))).toBeLessThan(LIMIT);
});

test('seeds that differ in the high bits only differ', () => {
  expect(seededRandom(1).uniform()).not.toBe(seededRandom(1 + 2 ** 32).uniform());
});

test('normal numbers: the distribution function of what is drawn is uniform', () => {
  const random = seededRandom(11);
  const values = Array.from({ length: 20_000 }, () => random.normal(3, 2));
  // Logistic form of the normal distribution function (Page 1977), off by 1.4e-4 at most: a tenth of a bin's own spread.
  const phi = (z: number) => 1 / (1 + Math.exp(-(0.07056 * z ** 3 + 1.5976 * z)));
  expect(
    uniformityScore(
      values.map((value) => phi((value - 3) / 2)),
      50,
    ),
  ).toBeLessThan(LIMIT);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(Math.abs(mean - 3)).toBeLessThan((LIMIT * 2) / Math.sqrt(values.length));
});

test('integers are uniform, ends included', () => {
  const random = seededRandom(5);
  const values = Array.from({ length: 20_000 }, () => random.integer(-3, 6));
  expect([Math.min(...values), Math.max(...values)]).toEqual([-3, 6]);
  expect(
    uniformityScore(
      values.map((value) => (value + 3.5) / 10),
      10,
    ),
  ).toBeLessThan(LIMIT);
});

test('a shuffle keeps the items, and every place is equally likely', () => {
  const random = seededRandom(3);
  const items = [0, 1, 2, 3, 4];
  const places: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const shuffled = random.shuffle(items);
    places.push((shuffled.indexOf(0) + 0.5) / 5);
    if (i === 0) expect([...shuffled].sort()).toEqual(items);
  }
  expect(uniformityScore(places, 5)).toBeLessThan(LIMIT);
  expect(items).toEqual([0, 1, 2, 3, 4]);
});

test('forks: reproducible, apart from each other and from their parent, which does not advance', () => {
  const parent = seededRandom(9);
  const before = parent.state();
  const firsts = Array.from({ length: 20_000 }, (_, key) => parent.fork(key).uniform());
  expect(parent.state()).toEqual(before);
  expect(uniformityScore(firsts, 100)).toBeLessThan(LIMIT);

  const streams = [parent, parent.fork(0), parent.fork(1), parent.fork(0).fork(0)].map((random) =>
    draws(random, 20_000),
  );
  for (let i = 0; i < streams.length; i++) {
    for (let j = 0; j < i; j++) {
      expect(Math.abs(correlationScore(streams[i]!, streams[j]!))).toBeLessThan(LIMIT);
    }
  }
  expect(seededRandom(9).fork(4).uniform()).toBe(seededRandom(9).fork(4).uniform());
  expect(seededRandom(9).fork(4).uniform()).not.toBe(parent.fork(4).uniform());
});

test('a saved state continues exactly, through JSON, wherever it was taken', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.nat(20), (seed, n) => {
      const random = seededRandom(seed);
      for (let i = 0; i < n; i++) random.normal();
      const restored = restoreRandom(JSON.parse(JSON.stringify(random.state())));
      const next = ({ normal, uniform, integer }: Random) => [normal(), uniform(), integer(0, 99)];
      expect(next(restored)).toEqual(next(random));
    }),
  );
});

test.each([
  [[0, 0, 0, 0]],
  [[1, 2, 3]],
  [[1, 2, 3, 4.5]],
  [[1, 2, 3, 2 ** 32]],
  [['1', 2, 3, 4]],
  ['abcd'],
  [null],
])('a damaged state %o is refused', (state) => {
  expect(() => restoreRandom(state as never)).toThrow(CheckpointError);
});

test('tensors hold the same numbers as single draws', () => {
  const normals = seededRandom(1).normalTensor([2, 3], 1, 0.5);
  const random = seededRandom(1);
  expect(normals.shape).toEqual([2, 3]);
  expect([...normals.dataSync()]).toEqual(
    Array.from({ length: 6 }, () => Math.fround(random.normal(1, 0.5))),
  );
  const uniforms = seededRandom(2).uniformTensor([500], -2, 3).dataSync();
  expect(Math.min(...uniforms)).toBeGreaterThanOrEqual(-2);
  expect(Math.max(...uniforms)).toBeLessThan(3);
  expect(seededRandom(2).uniformTensor([0, 4]).shape).toEqual([0, 4]);
});

test('bad arguments are named', () => {
  const random = seededRandom(0);
  expect(() => seededRandom(1.5)).toThrow('seededRandom: seed must be an integer, got 1.5');
  expect(() => seededRandom('1' as never)).toThrow(TypeError);
  expect(() => random.integer(3, 2)).toThrow('Random.integer: max must be an integer >= 3, got 2');
  expect(() => random.fork(0.5)).toThrow('Random.fork: key must be an integer, got 0.5');
  expect(() => random.normalTensor([2], 0, -1)).toThrow(
    /standardDeviation must be .* >= 0, got -1/,
  );
  expect(() => random.uniformTensor([2], 1, 0)).toThrow(/max must be .* >= 1, got 0/);
  expect(() => random.normalTensor([-1])).toThrow(/shape must be an integer >= 0, got -1/);
});
