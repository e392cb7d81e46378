/** Losses beside what one has without them. */
import type { Bench } from '../harness/bench.js';
import { compSumCases } from '../problems/lossesCompSum.js';

export const bench: Bench = {
  name: 'losses',
  description: 'the cross-entropy family with its gradient, against tf.losses.softmaxCrossEntropy',
  cases: (context) => [...compSumCases(context)],
};
