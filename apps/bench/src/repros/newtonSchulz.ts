/** How close to 1 each schedule brings singular values: the numbers of specification, measured in float64 there. */
import { orthogonalize, type ScheduleName } from '@orth/newton-schulz';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { takeToHost } from '../harness/deviceTensor.js';
import type { Claim, Repro, SeedResult } from '../harness/repro.js';

const [M, N] = [256, 1024];

/**
 * rms of s − 1 over the singular values s of the result, for Gaussian 256×1024 input and the schedule's own length,
 * and half a unit of its last digit.
 */
const PUBLISHED: [ScheduleName, rms: number, rounding: number][] = [
  ['muon', 0.154, 5e-4],
  ['quintic', 0.017, 5e-4],
  ['polarExpress', 0.093, 5e-4],
  ['cans', 0.08, 5e-4],
  ['deepseekV4', 0.0003, 5e-5],
];

/** Allowed beyond rounding: what another Gaussian matrix of this size changes. */
const SAMPLING = 0.02;

/** Singular values from the eigenvalues of the small Gram matrix: enough for values near 1. */
function singularValues(data: Float32Array): number[] {
  const x = Matrix.from1DArray(M, N, Array.from(data));
  const gram = x.mmul(x.transpose());
  return new SingularValueDecomposition(gram).diagonal.map(Math.sqrt);
}

const rmsFromOne = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, s) => sum + (s - 1) ** 2, 0) / values.length);

export const repro: Repro = {
  system: 'newton-schulz',
  description: 'how close to 1 each schedule brings the singular values of a Gaussian matrix',
  async *claims({ seeds, random, onProgress, backend }) {
    for (const [method, published, rounding] of PUBLISHED) {
      const results: SeedResult[] = [];
      for (const seed of seeds) {
        onProgress(`${method}, seed ${seed}`);
        const x = random(seed).normalTensor([M, N]);
        const { data } = await takeToHost(orthogonalize(x, { method }));
        x.dispose();
        results.push({ seed, baseline: published, ours: rmsFromOne(singularValues(data)) });
      }
      const tolerance = rounding + SAMPLING * published;
      const claim: Claim = {
        claim: `${method} leaves an rms of s − 1 of ${published}`,
        setting: `Gaussian ${M}x${N}, the schedule's own length, float32, ${backend}; singular values in float64`,
        baseline: 'rms of s − 1 as specified',
        ours: 'rms of s − 1',
        results,
        effect: 'difference',
        expectation: { of: 'everySeed', atLeast: -tolerance, atMost: tolerance },
      };
      yield claim;
    }
  },
};
