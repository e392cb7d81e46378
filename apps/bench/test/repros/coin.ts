import type { Repro } from '../../src/harness/repro.js';

export const repro: Repro = {
  system: 'coin',
  description: 'one claim that holds and one that does not',
  async *claims({ seeds, quick, random }) {
    const results = seeds.map((seed) => ({
      seed,
      baseline: 2,
      ours: 1 + 0.01 * random(seed).uniform(),
    }));
    const common = {
      setting: quick ? 'short' : 'long',
      baseline: 'theirs',
      ours: 'ours',
      results,
      effect: 'ratio' as const,
    };
    yield { ...common, claim: 'half', expectation: { of: 'everySeed', atMost: 0.6 } };
    yield { ...common, claim: 'a tenth', expectation: { of: 'mean', atMost: 0.1 } };
  },
};
