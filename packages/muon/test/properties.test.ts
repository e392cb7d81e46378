import { seededRandom } from '@orth/backend';
import { Muon, type MuonOptions, muonUpdate } from '@orth/muon';
import { exactPolar } from '@orth/newton-schulz';
import { expectTensorClose } from '@orth/testing';
import {
  gather,
  matMul,
  mul,
  norm,
  sub,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tidy,
  variable,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

const sides = fc.integer({ min: 4, max: 12 });
const seeds = fc.integer({ min: 0, max: 1e6 });
const check = <T>(property: fc.IProperty<T>) => fc.assert(property, { numRuns: 25 });
const matrix = (seed: number, m: number, n: number) => seededRandom(seed).normalTensor([m, n]);

/** Weights after steps with the given gradients, from `w`. */
function train(w: Tensor, gradients: readonly Tensor[], options: MuonOptions): Tensor {
  const v = variable(w);
  const optimizer = new Muon(options);
  for (const tensor of gradients) optimizer.applyGradients([{ name: v.name, tensor }]);
  optimizer.dispose();
  const result = v.clone();
  v.dispose();
  return result;
}

test('positive scaling of all gradients changes nothing', () => {
  const exponents = fc.integer({ min: -8, max: 8 });
  check(
    fc.property(seeds, sides, sides, exponents, (seed, m, n, exponent) =>
      tidy(() => {
        const [w, g, h] = [1, 2, 3].map((k) => matrix(seed + k, m, n)) as [Tensor, Tensor, Tensor];
        const plain = train(w, [g, h], {});
        const scaled = train(w, [mul(g, 2 ** exponent), mul(h, 2 ** exponent)], {});
        expectTensorClose(scaled, plain, { rtol: 1e-3, atol: 1e-4 });
      }),
    ),
  );
});

test('permuted rows and columns give permuted updates', () => {
  check(
    fc.property(seeds, sides, sides, (seed, m, n) =>
      tidy(() => {
        const [w, g] = [matrix(seed, m, n), matrix(seed + 1, m, n)];
        const random = seededRandom(seed + 2);
        const rows = tensor1d(random.shuffle([...Array(m).keys()]), 'int32');
        const columns = tensor1d(random.shuffle([...Array(n).keys()]), 'int32');
        const permute = (x: Tensor) => gather(gather(x, rows), columns, 1);
        const plain = train(w, [g], { weightDecay: 0.1 });
        const permuted = train(permute(w), [permute(g)], { weightDecay: 0.1 });
        expectTensorClose(permuted, permute(plain), { rtol: 1e-3, atol: 1e-4 });
      }),
    ),
  );
});

test('with an exact polar factor the update has spectral norm lr·s', () => {
  const rules = fc.constantFrom('original', 'matchRmsAdamW', 'spectral', 'none') as fc.Arbitrary<
    'original' | 'matchRmsAdamW' | 'spectral' | 'none'
  >;
  check(
    fc.property(seeds, sides, sides, rules, (seed, m, n, adjustLearningRate) =>
      tidy(() => {
        const [w, g] = [matrix(seed, m, n), matrix(seed + 1, m, n)];
        const options: MuonOptions = {
          learningRate: 0.5,
          momentum: 0,
          adjustLearningRate,
          orthogonalization: { method: 'polarExpress', steps: 12 },
        };
        const delta = sub(w, train(w, [g], options));
        const spectralNorm = largestSingularValue(delta as Tensor2D);
        const s = {
          original: Math.sqrt(Math.max(1, n / m)),
          matchRmsAdamW: 0.2 * Math.sqrt(Math.max(m, n)),
          spectral: Math.sqrt(n / m),
          none: 1,
        }[adjustLearningRate];
        expect(spectralNorm).toBeCloseTo(0.5 * s, 1);
        const exact = mul(exactPolar(g), 0.5 * s);
        expect((norm(sub(delta, exact)).dataSync()[0] ?? 0) / (0.5 * s)).toBeLessThan(0.05);
      }),
    ),
  );
});

/** Spectral norm by power iteration. */
function largestSingularValue(x: Tensor2D): number {
  return tidy(() => {
    const gram = matMul(x, x, true);
    let v: Tensor2D = seededRandom(1).normalTensor([x.shape[1], 1]) as Tensor2D;
    for (let i = 0; i < 60; i++) {
      const next = matMul(gram, v);
      v = mul(next, 1 / norm(next).dataSync()[0]!) as Tensor2D;
    }
    return norm(matMul(x, v)).dataSync()[0]!;
  });
}

test('the RMS-matched update of Gaussian gradients has a root mean square in [0.13, 0.24]', () => {
  const big = fc.constantFrom(64, 96, 128);
  fc.assert(
    fc.property(seeds, big, big, (seed, m, n) =>
      tidy(() => {
        const g = matrix(seed, m, n);
        const { direction } = muonUpdate(zerosLike(g), g, zerosLike(g), {
          adjustLearningRate: 'matchRmsAdamW',
        });
        const rms = norm(direction).dataSync()[0]! / Math.sqrt(m * n);
        expect(rms).toBeGreaterThan(0.13);
        expect(rms).toBeLessThan(0.24);
      }),
    ),
    { numRuns: 6 },
  );
});

test('only decay is left of zero gradients: W (1 − lr·wd)ᵗ', () => {
  check(
    fc.property(seeds, sides, sides, (seed, m, n) =>
      tidy(() => {
        const w = matrix(seed, m, n);
        const none = zeros([m, n]);
        const got = train(w, [none, none, none], { learningRate: 0.2, weightDecay: 0.5 });
        expectTensorClose(got, mul(w, 0.9 ** 3), { rtol: 1e-5, atol: 1e-7 });
      }),
    ),
  );
});
