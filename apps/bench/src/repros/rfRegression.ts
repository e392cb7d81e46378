/** Random-feature regression: what the theory says before training, and what training gives. */
import { optimalRidge, powerlawSpectrum, rfRisk, simulateRf } from '@orth/scaling';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';

const [MODES, ALPHA, BETA, NOISE] = [400, 1.5, 1.5, 0.25];
const PROBLEMS = [
  { n: 64, k: 200, ridge: 0.01 },
  { n: 64, k: 64, ridge: 0.01 },
  { n: 100, k: 64, ridge: 0.1 },
  { n: 64, k: 1000, ridge: 1e-3 },
];
const FEATURES = [16, 32, 64, 128, 256];

async function* claims({ quick, seeds, onProgress }: ReproContext): AsyncIterable<Claim> {
  const trials = quick ? 40 : 200;
  const task = powerlawSpectrum({ modes: MODES, alpha: ALPHA, beta: BETA });
  const setting = `Gaussian features, ${MODES} modes, λ = i^-${ALPHA}, v² = i^-${BETA}, noise ${NOISE}, ${trials} trials a seed, float64`;
  for (const problem of PROBLEMS) {
    const all = { ...task, ...problem, noise: NOISE };
    const theory = rfRisk(all).testRisk;
    onProgress(`n = ${problem.n}, k = ${problem.k}`);
    const results = seeds.map((seed) => {
      const ours = simulateRf({ ...all, trials, seed }).testRisk.mean;
      return { seed, baseline: theory, ours };
    });
    yield {
      claim:
        'the measured test risk is within 3 % of the theory, the error the specification states for n, k >= 64',
      setting: `${setting}; n = ${problem.n}, k = ${problem.k}, ridge ${problem.ridge}`,
      baseline: 'theory',
      ours: 'experiment',
      results,
      effect: 'ratio',
      expectation: { of: 'mean', atLeast: 0.97, atMost: 1.03 },
    };
  }
  const at = (k: number, seed: number) => {
    const { ridge } = optimalRidge({ ...task, n: 64, k, noise: NOISE });
    return simulateRf({ ...task, n: 64, k, ridge, noise: NOISE, trials, seed }).testRisk.mean;
  };
  const risks = seeds.map((seed) => FEATURES.map((k) => at(k, seed)));
  for (let i = 1; i < FEATURES.length; i++) {
    yield {
      claim: 'at the optimal ridge twice the features measure a lower test risk',
      setting: `${setting}; n = 64, ridge optimal in theory for each k`,
      baseline: `k = ${FEATURES[i - 1]}: test risk`,
      ours: `k = ${FEATURES[i]}: test risk`,
      results: seeds.map((seed, s) => ({ seed, baseline: risks[s]![i - 1]!, ours: risks[s]![i]! })),
      effect: 'difference',
      expectation: { of: 'everySeed', below: 0 },
    };
  }
}

export const repro: Repro = {
  system: 'rf-regression',
  description:
    'random-feature regression: theory against experiment, and more features at the best ridge',
  claims,
};
