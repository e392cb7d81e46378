import { seededRandom } from '@orth/backend';
import {
  backfillCurve,
  backfillOrder,
  CompatibleAdapter,
  type CompatibleAdapterOptions,
  compatibilityLoss,
  contrastiveLoss,
  haar,
  lambdaOrth,
  procrustes,
  retrieval,
  softOrth,
} from '@orth/lora-group';
import { Muon } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  concat,
  div,
  grad,
  matMul,
  memory,
  mul,
  norm,
  reshape,
  type Scalar,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import {
  combine,
  differences,
  flip,
  identity,
  matrix,
  multiply,
  norm as size,
} from './finiteDifferences.js';

const normals = (rows: number, columns: number, seed = 1, scale = 1) =>
  seededRandom(seed).normalTensor([rows, columns], 0, scale) as Tensor2D;
const number = (x: Tensor) => x.dataSync()[0]!;

function deviation(x: ArrayLike<number>, rows: number, columns: number): number {
  const W = matrix(rows, columns, x);
  return size(combine(multiply(W, flip(W)), identity(rows), 1, -1));
}

test.each([
  [4, 4, 1.5, 5],
  [3, 6, 0.5, 2],
  [6, 3, 3, 10],
] as const)(
  '%s × %s at λ %s, α %s: value and gradient against float64',
  (rows, columns, lambda, alpha) => {
    tidy(() => {
      for (const scale of [0.1, 0.5, 1]) {
        const W = normals(rows, columns, 1, scale);
        const f = (x: ArrayLike<number>) => deviation(x, rows, columns);
        const smooth = (x: Float64Array) => f(x) / (1 + Math.exp(-alpha * (f(x) - lambda)));
        const hard = (x: Float64Array) => (f(x) >= lambda ? f(x) : 0);
        const values = Float64Array.from(W.dataSync());
        for (const [ours, want] of [
          [(x: Tensor) => softOrth(x), f],
          [(x: Tensor) => lambdaOrth(x, { lambda, alpha }), smooth],
          [(x: Tensor) => lambdaOrth(x, { lambda, form: 'hard' }), hard],
        ] as const) {
          expect(number(ours(W))).toBeCloseTo(want(values), 4);
          expectTensorClose(grad(ours)(W).dataSync(), differences(want, values), {
            rtol: 1e-3,
            atol: 1e-4,
          });
        }
        const columnsOf = number(softOrth(W, 'columns'));
        expect(columnsOf).toBeCloseTo(
          deviation(flip(matrix(rows, columns, values)).data, columns, rows),
          4,
        );
      }
    });
  },
);

test('what must hold of the threshold', () => {
  tidy(() => {
    const swap = tensor2d([
      [0, 1],
      [-1, 0],
    ]);
    for (const lambda of [0, 1, 12]) {
      for (const form of ['smooth', 'hard'] as const) {
        expect(number(lambdaOrth(swap, { lambda, form }))).toBe(0);
        const gradient = grad((W: Tensor) => lambdaOrth(W, { lambda, form }))(swap);
        expect([...gradient.dataSync()].every((x) => x === 0)).toBe(true);
      }
    }
    const stretched = (s: number) => mul(swap, s);
    const f = (s: number) => Math.SQRT2 * (s * s - 1);
    const at = (s: number, lambda: number) => number(lambdaOrth(stretched(s), { lambda }));
    expect(at(2, f(2))).toBeCloseTo(f(2) / 2, 4);
    expect(at(2, 0.5)).toBeCloseTo(f(2), 4);
    expect(at(2, 20)).toBeLessThan(1e-6);
    const values = [1.1, 1.3, 1.5, 1.7, 2].map((s) => at(s, 2));
    expect(values).toEqual([...values].sort((a, b) => a - b));
    const relative = number(lambdaOrth(stretched(2), { lambdaRel: f(2) / Math.SQRT2 }));
    expect(relative).toBeCloseTo(f(2) / 2, 4);
    const reasons: string[] = [];
    const tall = normals(5, 2);
    lambdaOrth(tall, { lambda: 1, onUnreachable: (reason) => reasons.push(reason) });
    expect(reasons).toEqual([expect.stringMatching(/√\(5 − 2\)/)]);
    expect(() => lambdaOrth(tall, { lambda: 1, onUnreachable: 'throw' })).toThrow(/to be met/);
    expect(() => lambdaOrth(swap, { lambda: -1 })).toThrow(/lambda must be/);
    expect(() => lambdaOrth(swap, { alpha: 0 })).toThrow(/alpha must be/);
    expect(() => lambdaOrth(swap, { lambda: 1, lambdaRel: 1 })).toThrow(/got both/);
    expect(() => lambdaOrth(swap, { lamda: 1 } as object)).toThrow(/unknown option/);
    expect(() => lambdaOrth(reshape(normals(4, 1), [4]))).toThrow(/rank 2/);
  });
});

test('procrustes finds a rotation, and the best one through noise', () => {
  tidy(() => {
    const [x, R] = [normals(40, 5), haar(5, null, 3)];
    expectTensorClose(procrustes(x, matMul(x, R)), R, { atol: 1e-4 });
    const noisy = add(matMul(x, R), normals(40, 5, 9, 0.3));
    const B = procrustes(x, noisy);
    const error = (Q: Tensor) => number(sum(square(sub(matMul(x, Q), noisy))));
    for (const seed of [1, 2, 3]) {
      const turned = matMul(B, haarNear(5, seed));
      expect(error(B)).toBeLessThan(error(turned));
    }
    expect(procrustes(normals(20, 6), normals(20, 4, 2)).shape).toEqual([6, 4]);
    expect(() => procrustes(normals(20, 6), normals(19, 4))).toThrow(/hOld must have shape/);
  });
});

/** A rotation by a few degrees. */
function haarNear(n: number, seed: number): Tensor {
  const x = normals(n, n, seed, 0.05);
  return procrustes(
    tensor2d([...identity(n).data], [n, n]),
    add(tensor2d([...identity(n).data], [n, n]), x),
  );
}

test('contrastive loss: classes, single items, against sums', () => {
  tidy(() => {
    const [q, c] = [normals(5, 3), normals(5, 3, 2)];
    const labels = [0, 1, 0, 2, 1];
    const cosine = matMul(
      div(q, norm(q, 2, 1, true)),
      div(c, norm(c, 2, 1, true)),
      false,
      true,
    ).arraySync() as number[][];
    const want = (same: (i: number, j: number) => boolean) =>
      cosine.reduce((total, row, i) => {
        const sumExp = row.reduce((t, x) => t + Math.exp(x / 0.2), 0);
        const mates = row.filter((_, j) => same(i, j));
        const logs = mates.map((x) => Math.log(Math.exp(x / 0.2) / sumExp));
        return total - logs.reduce((a, b) => a + b, 0) / mates.length / 5;
      }, 0);
    expect(number(contrastiveLoss(q, c, labels, 0.2))).toBeCloseTo(
      want((i, j) => labels[i] === labels[j]),
      4,
    );
    expect(number(contrastiveLoss(q, c, null, 0.2))).toBeCloseTo(
      want((i, j) => i === j),
      4,
    );
    const embeddings = { backward: q, forward: c, old: q };
    expect(() => compatibilityLoss(embeddings, [1], {})).toThrow(/labels must be 5 numbers/);
    expect(() => compatibilityLoss({ ...embeddings, forward: normals(4, 3) }, null)).toThrow(
      /forward must/,
    );
    expect(() => compatibilityLoss(embeddings, null, { weights: [1, 1] as never })).toThrow(
      /weights/,
    );
    expect(number(compatibilityLoss({ ...embeddings, forward: null }, null).forward)).toBe(0);
  });
});

test('retrieval: hand-made ranks, metrics, queries without a mate', async () => {
  const query = tensor2d([
    [1, 0],
    [0, 1],
    [1, 1],
  ]);
  const gallery = tensor2d([
    [2, 0],
    [0.9, 0.1],
    [0, 3],
    [0.5, 0.5],
  ]);
  const found = await retrieval(query, gallery, [0, 1, 7], [1, 0, 1, 0], { k: [1, 2] });
  // Query 0: gallery 0 (wrong), 1, 3 → ranks 2, 3; query 1: gallery 2, then 3, 1, 0 → ranks 1, 4; query 2 has no mate.
  expect(found.queries).toBe(2);
  expect(found.cmc).toEqual([0.5, 1]);
  expect(found.mAP).toBeCloseTo(((1 / 2 + 2 / 3) / 2 + (1 + 2 / 4) / 2) / 2, 6);
  const near = await retrieval(query, gallery, [0, 1, 7], [1, 0, 1, 0], {
    metric: 'euclidean',
    k: [1],
  });
  // By distance query 0 finds 1 first, then 3 and then 0; query 1 finds 3, 1, then 2 (2 away) and 0.
  expect(near.cmc).toEqual([0.5]);
  expect(near.mAP).toBeCloseTo((1 + (1 / 3 + 2 / 4) / 2) / 2, 6);
  const self = await retrieval(gallery, gallery, [1, 0, 1, 0], [1, 0, 1, 0], {
    excludeSelf: true,
    k: [1],
  });
  expect(self.cmc[0]).toBeLessThan(1);
  await expect(retrieval(query, gallery, [7, 7, 7], [1, 0, 1, 0])).rejects.toThrow(
    /class of a query/,
  );
  await expect(retrieval(query, gallery, [1], [1, 0, 1, 0])).rejects.toThrow(
    /queryLabels must be 3/,
  );
  for (const x of [query, gallery]) x.dispose();
});

test('backfill: order by distance, and the curve between both galleries', async () => {
  const before = memory().numTensors;
  const [old, fresh] = [normals(12, 3, 1), normals(12, 3, 2)];
  const labels = Array.from({ length: 12 }, (_, i) => i % 3);
  const order = await backfillOrder(old, labels);
  expect([...order].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
  const cosine = await backfillOrder(old, labels, 'cosine');
  expect([...cosine]).not.toEqual([...order]);
  const gallery = {
    query: fresh,
    queryLabels: labels,
    before: old,
    after: fresh,
    galleryLabels: labels,
  };
  const curve = await backfillCurve(gallery, order, { points: 5, excludeSelf: true, k: [1] });
  const ends = [old, fresh].map((x) =>
    retrieval(fresh, x, labels, labels, { excludeSelf: true, k: [1] }),
  );
  const [first, last] = await Promise.all(ends);
  expect(curve.fraction).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect([curve.mAP[0], curve.mAP[4]]).toEqual([first!.mAP, last!.mAP]);
  const mAP = curve.mAP;
  expect(curve.area.mAP).toBeCloseTo(
    (mAP[0]! / 2 + mAP[1]! + mAP[2]! + mAP[3]! + mAP[4]! / 2) / 4,
    6,
  );
  expect(curve.area.cmc).toHaveLength(1);
  await expect(backfillCurve(gallery, [0, 0, 1])).rejects.toThrow(/each of 0 … 11 once/);
  await expect(backfillOrder(old, [1])).rejects.toThrow(/labels must be 12/);
  old.dispose();
  fresh.dispose();
  expect(memory().numTensors).toBe(before);
});

/** Old embeddings of classes, and new ones: rotated, stretched, with noise of their own. */
function pairs(dNew: number, dOld: number, seed = 1, scale = 1) {
  const random = seededRandom(seed);
  const labels = Array.from({ length: 60 }, (_, i) => i % 6);
  const wide = Math.max(dNew, dOld);
  const centres = random.normalTensor([6, wide], 0, 1);
  const items = tidy(() => {
    const rows = labels.map((label) => slice(centres, [label, 0], [1, wide]));
    return add(concat(rows), random.normalTensor([60, wide], 0, 0.3));
  });
  const stretch = random.normalTensor([wide, wide], 0, 1 / Math.sqrt(wide));
  const hOld = tidy(() => slice(items, [0, 0], [-1, dOld]).clone());
  const hNew = tidy(() => mul(slice(matMul(items, stretch), [0, 0], [-1, dNew]), scale));
  for (const x of [centres, items, stretch]) x.dispose();
  return { hNew, hOld, labels };
}

test.each([
  [{ backward: 'orthogonal' }, 5, 5],
  [{ backward: 'orthogonal', init: 'procrustes', forward: null }, 5, 5],
  [{ backward: 'lambda', lambda: 1 }, 5, 5],
  [{ backward: 'lambda', lambdaRel: 0.5, init: 'procrustes' }, 7, 4],
  [{ backward: 'affine', forward: 'lowRank', rank: 2 }, 4, 7],
  [{ backward: 'lowRank', forward: 'mlp', rank: 3, hidden: 8 }, 5, 5],
  [{ backward: 'mlp', hidden: 8, standardize: true }, 5, 4],
] as const)(
  '%o, %s to %s: learns, goes on bit for bit after saving, frees all',
  async (options, dNew, dOld) => {
    const before = memory().numTensors;
    const { hNew, hOld, labels } = pairs(dNew, dOld);
    const m = Math.min(dNew, dOld);
    const adapter = new CompatibleAdapter({
      dNew,
      dOld,
      seed: 3,
      ...options,
    } as CompatibleAdapterOptions);
    const lossOf = (each: CompatibleAdapter) => tidy(() => number(each.loss(hNew, hOld, labels)));
    expect(await adapter.fit(hNew, hOld, labels, { steps: 0 })).toBeNaN();
    const first = lossOf(adapter);
    const progress: number[] = [];
    const fit = { steps: 15, batchSize: 32, learningRate: 0.02 };
    await adapter.fit(hNew, hOld, labels, { ...fit, onStep: ({ step }) => progress.push(step) });
    expect(progress).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    expect(lossOf(adapter)).toBeLessThan(first);
    const saved = JSON.parse(JSON.stringify(await adapter.toJSON()));
    const again = CompatibleAdapter.fromJSON(saved);
    for (const each of [adapter, again]) await each.fit(hNew, hOld, labels, fit);
    tidy(() => {
      expect([...again.backward(hNew).dataSync()]).toEqual([...adapter.backward(hNew).dataSync()]);
      expect(adapter.backward(hNew).shape).toEqual([60, m]);
      if ((options as { forward?: unknown }).forward !== null) {
        expect([...again.forward(hOld).dataSync()]).toEqual([...adapter.forward(hOld).dataSync()]);
        expect(adapter.forward(hOld).shape).toEqual([60, m]);
      } else expect(() => adapter.forward(hOld)).toThrow(/forward map/);
    });
    for (const bad of [
      { ...saved, version: 2 },
      { ...saved, options: { dNew, dOld: 0 } },
      { ...saved, backward: {} },
      { ...saved, adam: { steps: 1 } },
      { ...saved, scales: [1, -1] },
    ]) {
      expect(() => CompatibleAdapter.fromJSON(bad)).toThrow(/CompatibleAdapter/);
    }
    for (const each of [adapter, again]) {
      each.dispose();
      each.dispose();
    }
    expect(() => adapter.backward(hNew)).toThrow(/disposed/);
    for (const x of [hNew, hOld]) x.dispose();
    expect(memory().numTensors).toBe(before);
  },
);

test('strict maps keep distances, λ holds the deviation, free ones fit best', async () => {
  const { hNew, hOld, labels } = pairs(5, 5);
  const train = async (options: Partial<CompatibleAdapterOptions>) => {
    const adapter = new CompatibleAdapter({ dNew: 5, dOld: 5, ...options });
    await adapter.fit(hNew, hOld, labels, { steps: 70, learningRate: 0.03, batchSize: 60 });
    return adapter;
  };
  const [strict, held, free] = await Promise.all([
    train({ backward: 'orthogonal' }),
    train({ backward: 'lambda', lambda: 1 }),
    train({ backward: 'affine' }),
  ]);
  tidy(() => {
    const lengths = (x: Tensor) => norm(x, 2, 1).dataSync();
    expectTensorClose(lengths(strict!.backward(hNew)), lengths(hNew), { rtol: 1e-4 });
    const gram = (x: Tensor) => matMul(x, x, false, true);
    expectTensorClose(gram(strict!.backward(hNew)), gram(hNew), { rtol: 1e-4, atol: 1e-4 });
  });
  const f = await Promise.all([strict!, held!, free!].map((each) => each.deviation()));
  expect(f[0]).toBeLessThan(1e-5);
  expect(f[1]).toBeGreaterThan(0.4);
  expect(f[1]).toBeLessThan(1.2);
  expect(f[2]).toBeGreaterThan(f[1]! * 1.3);
  const closed = new CompatibleAdapter({
    dNew: 5,
    dOld: 5,
    backward: 'orthogonal',
    init: 'procrustes',
  });
  await closed.fit(hNew, hOld, null, { steps: 0 });
  tidy(() => {
    expectTensorClose(closed.backward(hNew), matMul(hNew, procrustes(hNew, hOld)), { atol: 1e-4 });
  });
  const mlp = new CompatibleAdapter({ dNew: 5, dOld: 5, backward: 'mlp' });
  await expect(mlp.deviation()).rejects.toThrow(/linear/);
  for (const x of [strict!, held!, free!, closed, mlp, hNew, hOld]) x.dispose();
});

test('sides of unlike scale meet in the unit of the old one', async () => {
  const { hNew, hOld, labels } = pairs(5, 5, 1, 50);
  const adapter = new CompatibleAdapter({ dNew: 5, dOld: 5, backward: 'affine' });
  await adapter.fit(hNew, hOld, labels, { steps: 100, learningRate: 0.05 });
  const error = (x: Tensor) => number(sum(square(sub(x, hOld)))) / number(sum(square(hOld)));
  expect(tidy(() => error(adapter.backward(hNew)))).toBeLessThan(0.5);
  const one = tidy(() => adapter.backward(reshape(slice(hNew, [0, 0], [1, 5]), [5])));
  expect(one.shape).toEqual([5]);
  for (const x of [adapter, hNew, hOld, one]) x.dispose();
});

test('an optimizer of one’s own, no labels, an end on request, bad input', async () => {
  const before = memory().numTensors;
  const { hNew, hOld, labels } = pairs(4, 4);
  const adapter = new CompatibleAdapter({ dNew: 4, dOld: 4, backward: 'affine' });
  const optimizer = new Muon({ learningRate: 0.02 });
  await adapter.fit(hNew, hOld, null, { steps: 5, optimizer });
  const controller = new AbortController();
  const stop = adapter.fit(hNew, hOld, labels, {
    steps: 50,
    signal: controller.signal,
    onStep: ({ step }) => {
      if (step === 3) controller.abort(new Error('enough'));
    },
  });
  await expect(adapter.fit(hNew, hOld, labels)).rejects.toThrow(/in training/);
  await expect(stop).rejects.toThrow('enough');
  const kept = tidy(() => adapter.backward(hNew).dataSync().slice());
  const broken = tidy(() => mul(hNew, Number.NaN));
  await expect(adapter.fit(broken, hOld, labels)).rejects.toThrow(/hNew must be finite/);
  await expect(adapter.fit(hNew, hOld, [1])).rejects.toThrow(/labels must be 60/);
  const few = tidy(() => slice(hOld, [0, 0], [9, 4]).clone());
  await expect(adapter.fit(hNew, few, labels)).rejects.toThrow(/hOld must have shape/);
  await expect(adapter.fit(hNew, hOld, labels, { learningRate: 0 })).rejects.toThrow(
    /learningRate/,
  );
  const huge = tidy(() => mul(hNew, 1e25));
  await expect(adapter.fit(huge, hOld, labels, { steps: 1 })).rejects.toThrow(
    /loss must be finite/,
  );
  tidy(() => {
    expect([...adapter.backward(hNew).dataSync()]).toEqual([...kept]);
  });
  for (const wrong of [
    { dNew: 0 },
    { backward: 'free' },
    { forward: 'orthogonal' },
    { lambda: -1 },
    { alpha: 0 },
    { tau: 0 },
    { weights: [1] },
    { rank: 5 },
    { init: 'procrustes', backward: 'mlp' },
    { lamda: 1 },
  ]) {
    expect(() => new CompatibleAdapter({ dNew: 4, dOld: 4, ...wrong } as never)).toThrow(
      /CompatibleAdapter/,
    );
  }
  for (const x of [adapter, optimizer, hNew, hOld, broken, few, huge]) x.dispose();
  expect(memory().numTensors).toBe(before);
});

test('λ holds f a little below it against a loss that pulls away', () => {
  for (const lambda of [1, 2]) {
    const W = tidy(() => variable(haar(8, null, 1)));
    const target = tidy(() => mul(normals(8, 8, 2), 1));
    const optimizer = train.adam(0.02);
    const loss = () =>
      tidy(() => add(mul(sum(square(sub(W, target))), 0.1), lambdaOrth(W, { lambda })) as Scalar);
    for (let i = 0; i < 200; i++) optimizer.minimize(loss, false, [W]);
    const f = tidy(() => number(softOrth(W)));
    expect(f).toBeGreaterThan(0.6 * lambda);
    expect(f).toBeLessThan(1.1 * lambda);
    for (const x of [W, target, optimizer]) x.dispose();
  }
});
