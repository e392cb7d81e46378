/** Adapter of the off-policy estimators: every estimator by name, `<name>PerRound` where a round has a term of its own. */
import type { Adapter } from '@orth/testing';
import { ESTIMATORS, type OffPolicyEstimator } from '../../src/offPolicy/estimators.js';
import { OffPolicyEvaluator } from '../../src/offPolicy/evaluator.js';
import { checkWeightOptions, fillTerms, TERM, TERM_COUNT } from '../../src/offPolicy/terms.js';

const ope: Adapter = async ({ inputs, params, wanted }) => {
  const read = async (name: string) => inputs[name] && Float64Array.from(await inputs[name].data());
  const reward = (await read('reward'))!;
  const action = (await read('action'))!;
  const probability = (await read('pscore'))!;
  const policy = (await read('policy'))!;
  const qHat = await read('qHat');
  const n = reward.length;
  const K = policy.length / n;
  const weightOptions = {
    ...(params.clip !== undefined && { clip: params.clip }),
    ...((params.shrinkage ?? params.lambda ?? params.clip) !== undefined && {
      shrinkage: params.shrinkage ?? params.lambda ?? params.clip,
    }),
    ...((params.switch ?? params.tau) !== undefined && {
      switchThreshold: params.switch ?? params.tau,
    }),
  };
  // What a fixture holds is not bounded by the default range of rewards.
  const rewardRange: [number, number] = [Math.min(0, ...reward) - 1, Math.max(1, ...reward) + 1];
  const evaluator = new OffPolicyEvaluator({ ...weightOptions, rewardRange, resamples: 0 });
  const rounds = Array.from(reward, (r, i) => ({
    action: action[i]!,
    probability: probability[i]!,
    reward: r,
    target: policy.subarray(i * K, (i + 1) * K),
    ...(qHat && { estimates: qHat.subarray(i * K, (i + 1) * K) }),
  }));
  for (const round of rounds) evaluator.add(round);
  const result = evaluator.result();
  const weights = checkWeightOptions('ope', weightOptions);
  // A ratio's terms are divided by the mean over all rounds, so that they average to the estimate.
  const agreement = rounds.reduce((sum, round) => sum + round.target[round.action]!, 0) / n;
  const perRound = (estimator: OffPolicyEstimator) => {
    const rule = ESTIMATORS[estimator];
    return Float64Array.from(rounds, (round) => {
      const terms = new Float64Array(TERM_COUNT);
      fillTerms(terms, round, weights);
      terms[TERM.weight] = result.meanWeight;
      terms[TERM.agreement] = agreement;
      return rule.value(terms);
    });
  };
  const output = (name: string) => {
    if (name === 'effectiveSampleSize') return result.effectiveSampleSize;
    if (name in ESTIMATORS) return result[name as OffPolicyEstimator]!.value;
    const [, estimator = ''] = /^(.+)PerRound$/.exec(name) ?? [];
    if (estimator in ESTIMATORS) return perRound(estimator as OffPolicyEstimator);
    throw new Error(`unknown output ${name}`);
  };
  return Object.fromEntries(wanted.map((name) => [name, output(name)]));
};

export const adapters: Record<string, Adapter> = { 'bandits/baselines/ope': ope };
