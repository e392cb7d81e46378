import type { Bench } from '../../src/harness/bench.js';
import { inProcess } from '../../src/harness/contestant.js';

const fine = (name: string) =>
  inProcess(
    name,
    () => Math.sqrt(2),
    () => 0,
  );

export const bench: Bench = {
  name: 'broken',
  description: 'a case that cannot be prepared and a peer that throws',
  cases: () => [
    {
      name: 'broken/prepare',
      size: '1',
      errorMeasure: '',
      prepare() {
        throw new Error('no room left');
      },
    },
    {
      name: 'broken/peer',
      size: '2',
      errorMeasure: '',
      prepare: () => ({
        ours: fine('ours'),
        peers: [
          inProcess(
            'explosive',
            () => {
              throw new Error('boom');
            },
            () => 0,
          ),
          fine('sound'),
        ],
      }),
    },
  ],
};
