import { expectTensorClose } from '@orth/testing';
import {
  add,
  grads,
  matMul,
  memory,
  neg,
  profile,
  relu,
  type Scalar,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  infoNceLoss,
  type MwOptions,
  mwLoss,
  mwLossFromScores,
  type PairMethod,
} from '../src/index.js';
import { differences, gaussian, rowsOf, toTensor } from './reference.js';

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const [B, H, d] = [4, 2, 5];
const Q = gaussian(1, B * d);
const P = gaussian(2, B * d);
const N = gaussian(3, B * H * d);
const METHODS: PairMethod[] = ['blocks', 'cells'];

/** Scores of all documents for each query, from the definition. */
function scores64(all: readonly number[], hard: number, similarity: 'cosine' | 'dot') {
  const rows = rowsOf(all, d);
  const unit = (v: number[]) => {
    const length = similarity === 'cosine' ? Math.hypot(...v) : 1;
    return v.map((x) => x / length);
  };
  const [q, p, n] = [rows.slice(0, B), rows.slice(B, 2 * B), rows.slice(2 * B, 2 * B + B * hard)];
  return q.map((a) => [...p, ...n].map((b) => unit(a).reduce((t, x, j) => t + x * unit(b)[j]!, 0)));
}

type Skip = (i: number, j: number) => boolean;
const ownDocument: Skip = (i, j) => i === j;

function mw64(S: readonly number[][], tau: number, mean: boolean, skip = ownDocument): number {
  const negatives = S.flatMap((row, i) => row.filter((_, j) => !skip(i, j)));
  const sum = S.reduce(
    (t, row, i) => t + negatives.reduce((u, x) => u + softplus((x - row[i]!) / tau), 0),
    0,
  );
  return sum / S.length / (mean ? negatives.length : 1);
}

function infoNce64(S: readonly number[][], tau: number, skip = ownDocument): number {
  return (
    S.reduce((t, row, i) => {
      const x = row.filter((_, j) => j === i || !skip(i, j)).map((v) => (v - row[i]!) / tau);
      const top = Math.max(...x);
      return t + top + Math.log(x.reduce((u, v) => u + Math.exp(v - top), 0));
    }, 0) / S.length
  );
}

const tensors = (hard: boolean) =>
  [toTensor(Q, [B, d]), toTensor(P, [B, d]), ...(hard ? [toTensor(N, [B, H, d])] : [])] as Tensor[];
const flat = (hard: boolean) => [...Q, ...P, ...(hard ? N : [])];
const withHard = (n: Tensor | undefined) => (n ? { hardNegatives: n as Tensor3D } : {});

describe.each([
  [0.05, 'cosine', true],
  [0.5, 'dot', true],
  [0.1, 'cosine', false],
] as const)('at temperature %s, %s, hard negatives %s', (temperature, similarity, hard) => {
  const options = { temperature, similarity };
  const S = scores64(flat(hard), hard ? H : 0, similarity);
  const split = (g: readonly number[]) => [
    g.slice(0, B * d),
    g.slice(B * d, 2 * B * d),
    g.slice(2 * B * d),
  ];

  it.each(METHODS)('mwLoss by %s has the value and gradient of the definition', (method) => {
    const before = memory().numTensors;
    tidy(() => {
      for (const reduction of ['mean', 'sumOverNegatives'] as const) {
        const own: MwOptions = { ...options, method, reduction };
        const xs = tensors(hard);
        const f = (q: Tensor, p: Tensor, n?: Tensor) =>
          mwLoss(q as Tensor2D, p as Tensor2D, { ...own, ...withHard(n) });
        const mean = reduction === 'mean';
        expectTensorClose(f(xs[0]!, xs[1]!, xs[2]), [mw64(S, temperature, mean)], { rtol: 1e-5 });
        const of = (x: number[]) => mw64(scores64(x, hard ? H : 0, similarity), temperature, mean);
        const want = split(differences(of, flat(hard)));
        const got = grads((...args: Tensor[]) => f(args[0]!, args[1]!, args[2]))(xs);
        for (const [i, g] of got.entries()) {
          expectTensorClose(g, want[i]!, { rtol: 1e-4, atol: 1e-4 * (mean ? 1 : 10) });
        }
      }
    });
    expect(memory().numTensors).toBe(before);
  });

  it('infoNceLoss has the value and gradient of the definition', () => {
    tidy(() => {
      const xs = tensors(hard);
      const f = (q: Tensor, p: Tensor, n?: Tensor) =>
        infoNceLoss(q as Tensor2D, p as Tensor2D, { ...options, ...withHard(n) });
      expectTensorClose(f(xs[0]!, xs[1]!, xs[2]), [infoNce64(S, temperature)], { rtol: 1e-4 });
      const of = (x: number[]) => infoNce64(scores64(x, hard ? H : 0, similarity), temperature);
      const want = split(differences(of, flat(hard)));
      const got = grads((...args: Tensor[]) => f(args[0]!, args[1]!, args[2]))(xs);
      for (const [i, g] of got.entries())
        expectTensorClose(g, want[i]!, { rtol: 1e-3, atol: 1e-3 });
    });
  });
});

describe('mwLossFromScores', () => {
  it('is the same in blocks of every size, and by cells', () => {
    tidy(() => {
      const [p, n] = [toTensor(gaussian(5, 37), [37]), toTensor(gaussian(6, 101), [101])];
      const run = (method: PairMethod, maxPairs = 2 ** 22) => {
        const options = { method, maxPairs, temperature: 0.2 };
        const loss = (a: Tensor, b: Tensor) => mwLossFromScores(a, b, options);
        return [loss(p, n), ...grads(loss as (...xs: Tensor[]) => Tensor)([p, n])];
      };
      const want = run('blocks');
      for (const got of [run('cells'), run('blocks', 1000), run('blocks', 40), run('blocks', 7)]) {
        for (const [i, x] of got.entries())
          expectTensorClose(x, want[i]!, { rtol: 1e-5, atol: 1e-7 });
      }
    });
  });

  it('depends on differences alone, and tends to the hinge as temperature falls', () => {
    tidy(() => {
      const [p, n] = [toTensor(gaussian(5, 20), [20]), toTensor(gaussian(6, 30), [30])];
      for (const method of METHODS) {
        const one = mwLossFromScores(p, n, { method });
        expectTensorClose(mwLossFromScores(add(p, 3), add(n, 3), { method }), one, { rtol: 1e-5 });
        const [gp, gn] = grads((a, b) => mwLossFromScores(a!, b!, { method }))([p, n]);
        const total = (x: Tensor) => Array.from(x.dataSync()).reduce((a, b) => a + b, 0);
        expect(Math.abs(total(gp!) + total(gn!))).toBeLessThan(1e-6);
        const tau = 1e-4;
        let hinge = 0;
        for (const s of p.dataSync())
          for (const t of n.dataSync()) hinge += Math.max(0, t - s) / 600;
        const cold = mwLossFromScores(p, n, { method, temperature: tau }).dataSync()[0]!;
        expect(Math.abs(tau * cold - hinge)).toBeLessThan(1e-4);
        const apart = mwLossFromScores(add(p, 100), n, { method });
        expect(apart.dataSync()[0]).toBeLessThan(1e-30);
      }
    });
  });

  it('never holds more pairs than it may', async () => {
    const [p, n] = [toTensor(gaussian(7, 300), [300]), toTensor(gaussian(8, 4000), [4000])];
    const before = memory().numBytes;
    const { peakBytes } = await profile(() =>
      grads((a, b) => mwLossFromScores(a!, b!, { method: 'blocks', maxPairs: 3000 }))([p, n]),
    );
    // Five blocks of 3,000 at a time, and what is as long as the scores, twice over; all pairs would be 4.8 MB.
    expect(peakBytes - before).toBeLessThan(4 * (5 * 3000 + 4 * 4300));
    p.dispose();
    n.dispose();
  });

  it('refuses bad input', () => {
    tidy(() => {
      const p = tensor1d([1]);
      expect(() => mwLossFromScores(p, tensor1d([]))).toThrow(/negatives must not be empty/);
      expect(() => mwLossFromScores(p, p, { temperature: 0 })).toThrow(/temperature must be/);
      expect(() => mwLossFromScores(p, p, { maxPairs: 0 })).toThrow(/maxPairs must be/);
      expect(() => mwLossFromScores(p, p, { method: 'pairs' as never })).toThrow(/method must be/);
      expect(() => mwLossFromScores(p, p, { tau: 1 } as never)).toThrow(/unknown option/);
      expect(() => mwLossFromScores(p, tensor1d([Number.NaN]))).toThrow(
        /negatives must not be NaN/,
      );
      expect(() => mwLossFromScores(p, tensor1d([1], 'int32'))).toThrow(/dtype/);
    });
  });
});

describe('mwLoss', () => {
  it('of two pairs is the closed form', () => {
    tidy(() => {
      const q = tensor2d([
        [1, 0],
        [0, 1],
      ]);
      const p = tensor2d([
        [0.6, 0.8],
        [-0.8, 0.6],
      ]);
      // Scores: 0.6 and 0.6 for the pairs, −0.8 and 0.8 across.
      const want = (softplus(-1.4) + softplus(0.2)) / 2;
      expectTensorClose(mwLoss(q, p, { temperature: 1 }), [want], { rtol: 1e-5 });
      expectTensorClose(
        mwLoss(q, p, { temperature: 1, reduction: 'sumOverNegatives' }),
        [2 * want],
        { rtol: 1e-5 },
      );
    });
  });

  it('leaves out false negatives, by document and by mask', () => {
    tidy(() => {
      const [q, p, n] = tensors(true) as [Tensor2D, Tensor2D, Tensor3D];
      const S = scores64(flat(true), H, 'cosine');
      const ids = [5, 6, 5, 7];
      const documentIds = tensor1d(ids, 'int32');
      const byId: Skip = (i, j) => j < B && ids[i] === ids[j];
      const mask = S.map((row, i) => row.map((_, j) => Number((i + 2 * j) % 5 === 0)));
      const falseNegatives = tensor2d(mask, [B, B + B * H], 'bool');
      const both: Skip = (i, j) => i === j || byId(i, j) || mask[i]![j] === 1;
      const narrow = tensor2d(
        mask.map((row) => row.slice(0, B)),
        [B, B],
        'int32',
      );
      const inBatch: Skip = (i, j) => i === j || (j < B && mask[i]![j] === 1);
      for (const method of METHODS) {
        const own = { temperature: 0.1, hardNegatives: n, method };
        const close = (options: MwOptions, skip: Skip) =>
          expectTensorClose(mwLoss(q, p, { ...own, ...options }), [mw64(S, 0.1, true, skip)], {
            rtol: 1e-5,
          });
        close({ documentIds }, byId);
        close({ documentIds, falseNegatives }, both);
        close({ falseNegatives: narrow }, inBatch);
      }
      expectTensorClose(
        infoNceLoss(q, p, { temperature: 0.1, hardNegatives: n, documentIds, falseNegatives }),
        [infoNce64(S, 0.1, both)],
        { rtol: 1e-4 },
      );
    });
  });

  it('tells queries apart that InfoNCE cannot: a constant on a query’s scores', () => {
    tidy(() => {
      // Products with a last coordinate of 1 in documents: that of a query is added to all its scores.
      const lift = (rows: number[][], last: number[]) =>
        tensor2d(rows.map((row, i) => [...row, last[i]!]));
      const p = lift(rowsOf(P, d), [1, 1, 1, 1]);
      const plain = lift(rowsOf(Q, d), [0, 0, 0, 0]);
      const moved = lift(rowsOf(Q, d), [0, 2, -1, 3]);
      const options = { temperature: 1, similarity: 'dot' } as const;
      expectTensorClose(infoNceLoss(moved, p, options), infoNceLoss(plain, p, options), {
        rtol: 1e-5,
      });
      const [a, b] = [mwLoss(moved, p, options), mwLoss(plain, p, options)];
      expect(Math.abs(a.dataSync()[0]! - b.dataSync()[0]!)).toBeGreaterThan(0.1);
    });
  });

  it('takes zero vectors, and vectors of any size', () => {
    tidy(() => {
      const q = tensor2d([
        [0, 0],
        [1e30, -1e30],
        [1e-30, 1e-30],
      ]);
      const p = tensor2d([
        [1, 2],
        [3, 1],
        [0, 0],
      ]);
      for (const loss of [mwLoss, infoNceLoss] as ((a: Tensor2D, b: Tensor2D) => Scalar)[]) {
        const all = [loss(q, p), ...grads((a, b) => loss(a as Tensor2D, b as Tensor2D))([q, p])];
        for (const x of all) expect([...x.dataSync()].every(Number.isFinite)).toBe(true);
      }
    });
  });

  it('averages both directions of InfoNCE where asked', () => {
    tidy(() => {
      const [q, p] = tensors(false) as [Tensor2D, Tensor2D];
      const both = infoNceLoss(q, p, { temperature: 0.3, symmetric: true }).dataSync()[0]!;
      const [one, other] = [
        infoNceLoss(q, p, { temperature: 0.3 }),
        infoNceLoss(p, q, { temperature: 0.3 }),
      ];
      expect(both).toBeCloseTo((one.dataSync()[0]! + other.dataSync()[0]!) / 2, 5);
    });
  });

  it('trains encoders', () => {
    const start = toTensor(gaussian(9, d * 3), [d, 3]) as Tensor2D;
    const kernel = variable(start);
    const [q, p] = tensors(false) as [Tensor2D, Tensor2D];
    const encode = (x: Tensor2D) => relu(matMul(x, kernel)) as Tensor2D;
    const optimizer = train.adam(0.03);
    const losses = Array.from({ length: 30 }, () => {
      const loss = optimizer.minimize(
        () => mwLoss(encode(q), encode(p), { temperature: 0.1 }),
        true,
      )!;
      const number = loss.dataSync()[0]!;
      loss.dispose();
      return number;
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    optimizer.dispose();
    for (const x of [start, kernel, q, p]) x.dispose();
  });

  it('refuses bad input', () => {
    tidy(() => {
      const [q, p, n] = tensors(true) as [Tensor2D, Tensor2D, Tensor3D];
      const one = tensor2d([[1, 2]]);
      for (const loss of [mwLoss, infoNceLoss] as ((
        a: Tensor2D,
        b: Tensor2D,
        o?: object,
      ) => Scalar)[]) {
        expect(() => loss(one, one)).toThrow(/queries must be 2 or more/);
        expect(() => loss(q, one)).toThrow(/positives must have shape/);
        expect(() => loss(q, p, { temperature: -1 })).toThrow(/temperature must be/);
        expect(() => loss(q, p, { similarity: 'l2' })).toThrow(/similarity must be/);
        expect(() => loss(q, p, { hardNegatives: q })).toThrow(/hardNegatives must have shape/);
        expect(() => loss(q, p, { documentIds: tensor1d([1], 'int32') })).toThrow(
          /documentIds must/,
        );
        expect(() => loss(q, p, { falseNegatives: one })).toThrow(/falseNegatives must/);
        expect(() => loss(neg(q), p, { tau: 1 })).toThrow(/unknown option/);
        expect(() =>
          loss(
            tensor2d([
              [Number.NaN, 1],
              [0, 1],
            ]),
            tensor2d([
              [1, 1],
              [0, 1],
            ]),
          ),
        ).toThrow(/NaN/);
      }
      // One query will do where there are hard negatives.
      const own = toTensor(gaussian(4, 4), [1, 2, 2]) as Tensor3D;
      expect(mwLoss(one, one, { hardNegatives: own }).dataSync()[0]).toBeGreaterThanOrEqual(0);
      expect(n.shape).toEqual([B, H, d]);
    });
  });
});
