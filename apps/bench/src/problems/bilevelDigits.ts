/** Small digits to classify, and signals and images to denoise. */
import type { Random } from '@orth/backend';
import type { Digits } from './mlp.js';

const SIDE = 28;
/** Side of digits as means over 2 × 2 pixels, and of those of their inner 24 × 24. */
export const [SIDE_14, SIDE_12] = [14, 12] as const;

/** Some digits as means over 2 × 2 pixels, without `margin` rows and columns on each side; flat. */
export function meanDigits({ pixels, labels }: Digits, rows: readonly number[], margin: number) {
  const side = (SIDE - 2 * margin) / 2;
  const x = new Float32Array(rows.length * side * side);
  for (const [i, row] of rows.entries()) {
    for (let r = 0; r < side; r++) {
      for (let c = 0; c < side; c++) {
        const at = row * SIDE * SIDE + (2 * r + margin) * SIDE + 2 * c + margin;
        const sum = pixels[at]! + pixels[at + 1]! + pixels[at + SIDE]! + pixels[at + SIDE + 1]!;
        x[(i * side + r) * side + c] = sum / 4;
      }
    }
  }
  return { x, y: Int32Array.from(rows, (row) => labels[row]!) };
}

/** Clean and noisy data of `tvDenoising`. */
export interface NoisyData {
  readonly shape: readonly number[];
  readonly clean: Float64Array;
  readonly noisy: Float64Array;
}

const withNoise = (random: Random, shape: number[], clean: Float64Array, noise: number) => ({
  shape,
  clean,
  noisy: clean.map((value) => value + noise * random.normal()),
});

/** Piecewise constant signals with about six levels in [0, 1]. */
export function noisySignals(
  random: Random,
  count: number,
  length: number,
  noise: number,
): NoisyData {
  const clean = new Float64Array(count * length);
  let level = random.uniform();
  for (let i = 0; i < clean.length; i++) {
    if (i % length === 0 || random.uniform() < 6 / length) level = random.uniform();
    clean[i] = level;
  }
  return withNoise(random, [count, length], clean, noise);
}

/** Digits with noise, `[count, 28, 28]`. */
export function noisyDigits(
  random: Random,
  { pixels }: Digits,
  rows: readonly number[],
  noise: number,
): NoisyData {
  const size = SIDE * SIDE;
  const clean = Float64Array.from(
    rows.flatMap((row) => [...pixels.subarray(row * size, (row + 1) * size)]),
  );
  return withNoise(random, [rows.length, SIDE, SIDE], clean, noise);
}
