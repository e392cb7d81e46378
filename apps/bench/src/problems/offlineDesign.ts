/** Offline design: the worse half of a sample, a surrogate fitted to it, and a search for better designs through it. */
import type { Random } from '@orth/backend';
import {
  fitSurrogate,
  gradientAscent,
  type SurrogateGradientNormOptions,
  surrogateSharpness,
} from '@orth/losses';
import { mean, type Tensor2D, tensor1d, tensor2d } from '@tensorflow/tfjs-core';

const d = 8;
const SAMPLE = 4000;
const STARTS = 128;
/** Radius of the ball that sharpness is measured over, as IGNITE's default. */
const RHO = 0.05;

/** A function to maximise over a box. */
export interface Oracle {
  readonly name: string;
  /** The box is `[−half, half]` in every coordinate. */
  readonly half: number;
  value(x: ArrayLike<number>): number;
}

const total = (x: ArrayLike<number>, f: (v: number, i: number) => number) =>
  Array.from(x).reduce((t, v, i) => t + f(v, i), 0);

/** The synthetic oracles of the specification, maximised. */
export const ORACLES: readonly Oracle[] = [
  {
    name: 'Ackley',
    half: 2,
    value: (x) =>
      20 * Math.exp(-0.2 * Math.sqrt(total(x, (v) => v * v) / x.length)) +
      Math.exp(total(x, (v) => Math.cos(2 * Math.PI * v)) / x.length) -
      20 -
      Math.E,
  },
  {
    name: 'Rosenbrock',
    half: 2,
    value: (x) =>
      -total(x, (v, i) => (i + 1 < x.length ? 100 * (x[i + 1]! - v * v) ** 2 + (1 - v) ** 2 : 0)),
  },
  {
    name: 'Styblinski–Tang',
    half: 5,
    value: (x) => -0.5 * total(x, (v) => v ** 4 - 16 * v * v + 5 * v),
  },
];

/** What one search gave. */
export interface SearchResult {
  /** Best oracle value found, 0 and 1 being the worst and the best of the whole sample. */
  readonly score: number;
  /** ρ times the norm of the mean prediction's gradient, on the offline data. */
  readonly sharpness: number;
  /** Mean |prediction − oracle| at the designs found, in standard deviations of the offline values. */
  readonly error: number;
}

/** One run: sample, fit, search. The sample depends on `data` alone, the network on `seed`. */
export async function searchOffline(
  oracle: Oracle,
  data: Random,
  seed: number,
  epochs: number,
  ignite: SurrogateGradientNormOptions | false,
): Promise<SearchResult> {
  const sample = Array.from({ length: SAMPLE }, () => {
    const x = Array.from({ length: d }, () => oracle.half * (2 * data.uniform() - 1));
    return { x, y: oracle.value(x) };
  }).sort((a, b) => a.y - b.y);
  const [low, high] = [sample[0]!.y, sample.at(-1)!.y];
  const offline = sample.slice(0, SAMPLE / 2);
  const n = offline.length;
  const moments = (values: readonly number[]) => {
    const m = values.reduce((a, b) => a + b, 0) / values.length;
    return { m, s: Math.sqrt(values.reduce((a, b) => a + (b - m) ** 2, 0) / values.length) };
  };
  const ofY = moments(offline.map(({ y }) => y));
  const ofX = Array.from({ length: d }, (_, j) => moments(offline.map(({ x }) => x[j]!)));
  const standard = (x: readonly number[]) => x.map((v, j) => (v - ofX[j]!.m) / ofX[j]!.s);
  const x = tensor2d(offline.map((row) => standard(row.x)));
  const y = tensor1d(offline.map((row) => (row.y - ofY.m) / ofY.s));
  const start = tensor2d(offline.slice(n - STARTS).map((row) => standard(row.x)));
  const surrogate = await fitSurrogate(x, y, { epochs, seed, ignite });
  const sharpness = await surrogateSharpness(
    surrogate.variables,
    () => mean(surrogate.predict(x)),
    {
      rho: RHO,
    },
  );
  const designs: Tensor2D = gradientAscent(surrogate.predict, start);
  const predictions = surrogate.predict(designs);
  const [found, predicted] = [await designs.array(), await predictions.data()];
  const values = found.map((row) => oracle.value(row.map((v, j) => v * ofX[j]!.s + ofX[j]!.m)));
  const errors = values.map((v, i) => Math.abs((v - ofY.m) / ofY.s - predicted[i]!));
  for (const t of [x, y, start, designs, predictions]) t.dispose();
  surrogate.dispose();
  return {
    score: (Math.max(...values) - low) / (high - low),
    sharpness,
    error: errors.reduce((a, b) => a + b, 0) / errors.length,
  };
}
