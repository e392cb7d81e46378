/** Losses beside what one has without them. */
import type { Bench } from '../harness/bench.js';
import { compSumCases } from '../problems/lossesCompSum.js';
import { mwCases, mwFigures } from '../problems/lossesMw.js';
import { sphericalCases, sphericalFigures } from '../problems/lossesSpherical.js';

export const bench: Bench = {
  name: 'losses',
  description:
    'the cross-entropy family against tf.losses; an output layer of up to a million classes against softmax; pairs of scores',
  cases: (context) => [...compSumCases(context), ...sphericalCases(context), ...mwCases(context)],
  figures: (context) => [...sphericalFigures(context), ...mwFigures(context)],
};
