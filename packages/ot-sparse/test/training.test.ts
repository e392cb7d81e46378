/** Transport as a loss: points are trained to match a cloud. */
import { seededRandom } from '@orth/backend';
import {
  expandDims,
  memory,
  mul,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  quadraticTransport,
  sinkhorn,
  sparseTransport,
  type TransportResult,
} from '../src/index.js';

const LOSSES: [string, (C: Tensor, last?: TransportResult) => TransportResult][] = [
  [
    'sparseTransport',
    (C, last) => sparseTransport(C, { k: 4, gamma: 0.5, ...(last && { init: last.duals }) }),
  ],
  [
    'quadraticTransport',
    (C, last) => quadraticTransport(C, { gamma: 0.5, ...(last && { init: last.duals }) }),
  ],
  ['sinkhorn', (C, last) => sinkhorn(C, { epsilon: 0.1, ...(last && { init: last.duals }) })],
];

describe.each(LOSSES)('%s as a loss', (_, transport) => {
  it('moves points onto a cloud, warm-started from step to step, without a leak', () => {
    const random = seededRandom(5);
    const target = random.normalTensor([12, 2], 3, 0.5);
    const points = variable(tidy(() => random.normalTensor([12, 2])));
    const optimizer = train.sgd(2);
    const cost = (x: Tensor) => sum(square(sub(expandDims(x, 1), expandDims(target, 0))), 2);
    let last: TransportResult | undefined;
    const losses: number[] = [];
    const step = () => {
      const value = optimizer.minimize(() => {
        last = transport(cost(points), last);
        return last.value as Scalar;
      }, true)!;
      losses.push(value.dataSync()[0]!);
      value.dispose();
    };
    step();
    const before = memory().numTensors;
    for (let i = 0; i < 30; i++) step();
    expect(memory().numTensors).toBe(before);
    expect(losses.at(-1)!).toBeLessThan(0.1 * losses[0]!);
    const mean = tidy(() => mul(1 / 12, sum(points, 0)).dataSync());
    expect(Math.abs(mean[0]! - 3)).toBeLessThan(0.5);
    for (const x of [target, points]) x.dispose();
    optimizer.dispose();
  });
});
