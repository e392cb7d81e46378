/** IGNITE on and off: a search through a surrogate, on synthetic tasks in the manner of Design-Bench. */
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import {
  ORACLES,
  type Oracle,
  type SearchResult,
  searchOffline,
} from '../problems/offlineDesign.js';

const IGNITE = { etaLambda: 0.1 };

function* claimsOf(
  { backend }: ReproContext,
  oracle: Oracle,
  runs: readonly { seed: number; off: SearchResult; on: SearchResult }[],
  epochs: number,
): Generator<Claim> {
  const setting =
    `${oracle.name} in [${-oracle.half}, ${oracle.half}]^8, the worse half of 4,000; MLP 8-256-256-1, leaky ReLU 0.3, Adam 3e-4, ` +
    `batch 128, ${epochs} epochs; 200 steps of ascent from the best 128; IGNITE ε 0.1, ρ = r = 0.05, η_λ 0.1; float32, ${backend}`;
  const of = (measure: keyof SearchResult): SeedResult[] =>
    runs.map(({ seed, off, on }) => ({ seed, baseline: off[measure], ours: on[measure] }));
  const names = (what: string) => ({ baseline: `plain: ${what}`, ours: `IGNITE: ${what}` });
  yield {
    claim: `${oracle.name}: IGNITE leaves less than 0.6 of the sharpness`,
    setting,
    ...names('ρ ‖∇G‖'),
    results: of('sharpness'),
    effect: 'ratio',
    expectation: { of: 'mean', below: 0.6 },
  };
  yield {
    claim: `${oracle.name}: the best design found with IGNITE is better`,
    setting,
    ...names('score, 1 the best of the sample'),
    results: of('score'),
    effect: 'difference',
    expectation: { of: 'mean', atLeast: 1e-9 },
  };
  yield {
    claim: `${oracle.name}: the surrogate errs less at the designs found with IGNITE`,
    setting,
    ...names('mean |error| in standard deviations'),
    results: of('error'),
    effect: 'ratio',
    expectation: { of: 'mean', below: 1 },
  };
}

export const repro: Repro = {
  system: 'sharpness',
  description:
    'IGNITE on and off: sharpness, and designs found through surrogates of three synthetic oracles',
  async *claims(context) {
    const { seeds, random, quick, onProgress } = context;
    const epochs = quick ? 8 : 50;
    for (const oracle of quick ? ORACLES.slice(0, 1) : ORACLES) {
      const runs: { seed: number; off: SearchResult; on: SearchResult }[] = [];
      for (const seed of seeds) {
        onProgress(`${oracle.name}, plain, seed ${seed}`);
        const off = await searchOffline(oracle, random(seed), seed, epochs, false);
        onProgress(`${oracle.name}, IGNITE, seed ${seed}`);
        const on = await searchOffline(oracle, random(seed), seed, epochs, IGNITE);
        runs.push({ seed, off, on });
      }
      yield* claimsOf(context, oracle, runs, epochs);
    }
  },
};
