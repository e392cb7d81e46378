import type { Random } from '@orth/backend';
import type { HostTensor } from '../harness/pythonPeers.js';

/** Decisions to be made: features of the actions and what each would bring. */
export interface BanditRounds {
  readonly dim: number;
  readonly K: number;
  /** `[round][action]`: `dim` numbers. */
  readonly features: readonly (readonly Float32Array[])[];
  /** `[round][action]`: 0 or 1. */
  readonly rewards: readonly (readonly number[])[];
}

/** Rows of about unit length, and rewards that depend on them through a line and a coin. */
export function banditRounds(random: Random, count: number, dim: number, K: number): BanditRounds {
  const row = () => Float32Array.from({ length: dim }, () => random.normal() / Math.sqrt(dim));
  const line = row();
  const features = Array.from({ length: count }, () => Array.from({ length: K }, row));
  const rewards = features.map((rows) =>
    rows.map((x) => {
      const score = x.reduce((sum, value, i) => sum + value * line[i]!, 0);
      return random.uniform() < 1 / (1 + Math.exp(-8 * score)) ? 1 : 0;
    }),
  );
  return { dim, K, features, rewards };
}

/** The rounds as a Python peer takes them. */
export function roundTensors({ dim, K, features, rewards }: BanditRounds) {
  const flat = features.flat();
  const data = new Float32Array(flat.length * dim);
  for (const [i, row] of flat.entries()) data.set(row, i * dim);
  return {
    features: { shape: [features.length, K, dim], data } satisfies HostTensor,
    rewards: { shape: [features.length, K], data: Float32Array.from(rewards.flat()) },
  };
}
