import type { Bench } from '../../src/harness/bench.js';
import { inProcess } from '../../src/harness/contestant.js';

const spin = (milliseconds: number) => () => {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
};

export const bench: Bench = {
  name: 'sums',
  description: 'a bench whose peers are slow, absent and broken',
  cases: ({ quick }) => [
    {
      name: 'sums/spin',
      size: quick ? 'small' : 'large',
      errorMeasure: 'none at all',
      prepare: () => ({
        ours: inProcess('ours', spin(0.5), () => 1e-7),
        peers: [
          inProcess('slow', spin(2), () => 2e-7),
          { name: 'lost', absent: 'it is not installed' },
        ],
      }),
    },
  ],
  figures: () => [
    {
      name: 'sums/memory',
      size: 'all',
      measure: () => [
        { what: 'growth', value: 3, unit: 'MB', atMost: 5 },
        { what: 'rate', value: 3, unit: '1/s', atLeast: 5 },
        { what: 'peak', value: 7, unit: 'MB' },
      ],
    },
  ],
};
