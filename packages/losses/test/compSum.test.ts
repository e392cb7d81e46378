import { expectTensorClose } from '@orth/testing';
import {
  grad,
  losses,
  memory,
  mul,
  oneHot,
  reshape,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  type CompSumOptions,
  compSumLoss,
  crossEntropyLoss,
  generalizedCrossEntropyLoss,
  meanAbsoluteErrorLoss,
  type Reduction,
  sumExponentialLoss,
} from '../src/index.js';
import { compSum64, differences, gaussian, rowsOf, toTensor } from './reference.js';
import { scoped } from './scoped.js';

const TAUS = [0, 0.5, 0.999, 1, 1.0001, 1.5, 1.7, 2, 3];
const B = 5;
const n = 4;
const data = gaussian(1, B * n, 2);
const labels = [2, 0, 3, 3, 1];
const soft = rowsOf(gaussian(2, B * n), n).map((row, i) => {
  const q = row.map((x, k) => (i === 0 && k === 1 ? 0 : Math.exp(x)));
  const total = q.reduce((a, b) => a + b);
  return q.map((x) => x / total);
});
const weights = [1, 0, 2, 0.5, 3];

const own64 = (flat: ArrayLike<number>, tau: number) =>
  rowsOf(flat, n).map((row, i) => compSum64(row, labels[i]!, tau));
const soft64 = (flat: ArrayLike<number>, tau: number) =>
  rowsOf(flat, n).map((row, i) =>
    soft[i]!.reduce((total, q, y) => total + q * compSum64(row, y, tau), 0),
  );
const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((total, x, i) => total + x * b[i]!, 0);

describe.each(TAUS)('compSumLoss at tau = %s', (tau) => {
  it('has the value and the gradient of the definition, for indices and distributions', () => {
    scoped(() => {
      const s = toTensor(data, [B, n]);
      const w = tensor1d(weights);
      for (const [y, reference] of [
        [tensor1d(labels, 'int32'), own64],
        [tensor1d(labels, 'float32'), own64],
        [oneHot(tensor1d(labels, 'int32'), n), own64],
        [tensor2d(soft), soft64],
      ] as const) {
        const f = (x: Tensor) => compSumLoss(x, y, { tau, reduction: 'none' });
        expectTensorClose(f(s), reference(data, tau), { rtol: 2e-5, atol: 1e-6 });
        const want = differences((x) => dot(weights, reference(x, tau)), data);
        const got = grad((x: Tensor) => sum(mul(w, f(x))))(s);
        expectTensorClose(got, want, { rtol: 3e-5, atol: 3e-6 });
        const rows = sum(got, -1);
        expectTensorClose(rows, new Float32Array(B), { rtol: 0, atol: 3e-5 * Math.max(...want) });
      }
    });
  });

  it('does not change when a constant is added to a row', () => {
    scoped(() => {
      const exact = data.map((x) => Math.fround(Math.round(x * 64) / 64));
      const s = toTensor(exact, [B, n]);
      const shifted = sub(s, 4096);
      const y = tensor1d(labels, 'int32');
      const f = (x: Tensor) => compSumLoss(x, y, { tau, reduction: 'none' });
      expectTensorClose(f(shifted), f(s));
    });
  });

  it('is finite with a finite gradient at logits of ±1e4, where it is finite at all', () => {
    scoped(() => {
      const s = tensor2d([
        [1e4, -1e4, 0],
        [-1e4, 1e4, 9e3],
        [1e4, 1e4, -1e4],
      ]);
      const right = tensor1d([0, 1, 1], 'int32');
      const wrong = tensor1d([1, 0, 2], 'int32');
      for (const y of tau >= 1 ? [right, wrong] : [right]) {
        const f = (x: Tensor) => compSumLoss(x, y, { tau });
        expect(Number.isFinite(f(s).dataSync()[0])).toBe(true);
        for (const g of grad(f)(s).dataSync()) expect(Number.isFinite(g)).toBe(true);
      }
      const at = (y: Tensor) => compSumLoss(s, y, { tau, reduction: 'none' }).dataSync();
      // log p_y of the first row is −2e4.
      const want = tau === 1 ? 2e4 : Math.expm1((1 - tau) * 2e4) / (1 - tau);
      expectTensorClose([at(wrong)[0]!], [want], { rtol: 1e-4 });
      expectTensorClose([at(right)[0]!, at(right)[1]!], [0, 0]);
    });
  });

  it('leaves classes of −Infinity out', () => {
    scoped(() => {
      const masked = [1, -Infinity, 0.5, -1, 0.25, -Infinity, 2, 0];
      const s = tensor2d(masked, [2, 4]);
      const rest = tensor2d([1, 0.5, -1, 0.25, 2, 0], [2, 3]);
      const q = tensor2d([0.5, 0, 0.25, 0.25, 0, 0, 1, 0], [2, 4]);
      const qRest = tensor2d([0.5, 0.25, 0.25, 0, 1, 0], [2, 3]);
      for (const [y, yRest] of [
        [tensor1d([2, 3], 'int32'), tensor1d([1, 2], 'int32')],
        [q, qRest],
      ] as const) {
        const f = (x: Tensor) => compSumLoss(x, y, { tau });
        const g = (x: Tensor) => compSumLoss(x, yRest, { tau });
        expectTensorClose(f(s), g(rest));
        const got = rowsOf(grad(f)(s).dataSync(), 4);
        for (const row of got) expect(row[1]! === 0).toBe(true);
        const kept = got.flatMap(([a, , b, c]) => [a!, b!, c!]);
        expectTensorClose(kept, grad(g)(rest).dataSync());
      }
      const own = compSumLoss(s, tensor1d([1, 1], 'int32'), { tau, reduction: 'none' });
      const want = tau > 1 ? 1 / (tau - 1) : Infinity;
      expectTensorClose(own, [want, want]);
    });
  });
});

describe('compSumLoss', () => {
  it('is continuous in tau, and decreases in it', () => {
    scoped(() => {
      const s = toTensor(data, [B, n]);
      const y = tensor1d(labels, 'int32');
      const at = (tau: number) => compSumLoss(s, y, { tau, reduction: 'none' }).dataSync();
      for (const tau of [1 - 1e-4, 1 + 1e-4, 1 + 1e-7]) {
        expectTensorClose(at(tau), at(1), { rtol: 0, atol: 2e-3 });
      }
      for (let i = 1; i < TAUS.length; i++) {
        const [before, after] = [at(TAUS[i - 1]!), at(TAUS[i]!)];
        for (let j = 0; j < B; j++) expect(after[j]!).toBeLessThanOrEqual(before[j]! * 1.00001);
      }
    });
  });

  it('is what its members are called', () => {
    scoped(() => {
      const s = toTensor(data, [B, n]);
      const y = tensor1d(labels, 'int32');
      const hot = oneHot(y, n);
      expectTensorClose(crossEntropyLoss(s, y), losses.softmaxCrossEntropy(hot, s));
      expectTensorClose(meanAbsoluteErrorLoss(s, y), compSumLoss(s, y, { tau: 2 }));
      expectTensorClose(sumExponentialLoss(s, y), compSumLoss(s, y, { tau: 0 }));
      const q = 0.4;
      const p = own64(data, 1).map((loss) => Math.exp(-loss));
      const want = p.map((x) => (1 - x ** q) / q);
      const got = generalizedCrossEntropyLoss(s, y, { q, reduction: 'none' });
      expectTensorClose(got, want);
    });
  });

  it('reduces and weighs as tf.losses does', () => {
    scoped(() => {
      const s = toTensor(data, [B, n]);
      const y = tensor1d(labels, 'int32');
      const w = tensor1d(weights);
      const each = own64(data, 1);
      const total = dot(each, weights);
      const at = (o: CompSumOptions) => compSumLoss(s, y, o);
      expectTensorClose(at({ reduction: 'sum' }), [each.reduce((a, b) => a + b)]);
      expectTensorClose(at({}), [each.reduce((a, b) => a + b) / B]);
      expectTensorClose(at({ weights: w }), [total / 6.5]);
      expectTensorClose(at({ weights: w, reduction: 'sum' }), [total]);
      expectTensorClose(at({ weights: w, reduction: 'sumByNonzeroWeights' }), [total / 4]);
      const weighted = each.map((x, i) => x * weights[i]!);
      expectTensorClose(at({ weights: w, reduction: 'none' }), weighted);
      expectTensorClose(at({ weights: mul(w, 0) }), [0]);
    });
  });

  it('takes any number of batch axes, none too', () => {
    scoped(() => {
      const cube = toTensor(data, [1, B, n]);
      const y = tensor2d([labels], [1, B], 'int32');
      const got = compSumLoss(cube, y, { reduction: 'none' });
      expect(got.shape).toEqual([1, B]);
      expectTensorClose(got.dataSync(), own64(data, 1));
      const one = toTensor(data.slice(0, n), [n]);
      const label = reshape(oneHot(tensor1d([2], 'int32'), n), [n]);
      expectTensorClose(compSumLoss(one, label), [own64(data, 1)[0]!]);
    });
  });

  it('has second derivatives', () => {
    scoped(() => {
      const v = gaussian(5, B * n);
      const direction = toTensor(v, [B, n]);
      for (const y of [tensor1d(labels, 'int32'), tensor2d(soft)]) {
        const reference = y.rank === 1 ? own64 : soft64;
        for (const tau of [1, 1.7]) {
          const slope = grad((x: Tensor) => compSumLoss(x, y, { tau, reduction: 'sum' }));
          const got = grad((x: Tensor) => sum(mul(slope(x), direction)))(toTensor(data, [B, n]));
          const total = (x: number[]) => reference(x, tau).reduce((a, b) => a + b);
          const along = (x: number[]) => dot(differences(total, x, 1e-4), Array.from(v));
          expectTensorClose(got, differences(along, data, 1e-3), { rtol: 1e-3, atol: 1e-4 });
        }
      }
    });
  });

  it('trains by optimizer.minimize without leaving tensors behind', () => {
    const s = variable(toTensor(data, [B, n]));
    const y = tensor1d(labels, 'int32');
    const optimizer = train.sgd(1);
    const step = () => optimizer.minimize(() => compSumLoss(s, y, { tau: 1.5 }) as never);
    step();
    const before = memory().numTensors;
    for (let i = 0; i < 200; i++) step();
    expect(memory().numTensors).toBe(before);
    expect(tidy(() => compSumLoss(s, y).dataSync()[0])).toBeLessThan(0.1);
    for (const x of [s, y, optimizer]) x.dispose();
  });
});

describe('compSumLoss refuses', () => {
  const bad = (what: string, message: RegExp, run: () => Tensor) =>
    it(what, () => {
      scoped(() => expect(run).toThrow(message));
    });
  const s = () => toTensor(data, [B, n]);
  const y = () => tensor1d(labels, 'int32');
  bad('labels out of range', /labels must be integers in \[0, 4\), got 4 at index 1/, () =>
    compSumLoss(s(), tensor1d([0, 4, 0, 0, 0], 'int32')),
  );
  bad('labels that are no integers', /labels must be integers/, () =>
    compSumLoss(s(), tensor1d([0, 0.5, 0, 0, 0])),
  );
  bad('labels of another length', /labels must have shape \[5\]/, () =>
    compSumLoss(s(), tensor1d([0, 1], 'int32')),
  );
  bad('distributions that do not sum to 1', /labels must sum to 1/, () =>
    compSumLoss(s(), mul(tensor2d(soft), 0.9)),
  );
  bad('negative distributions', /labels must be >= 0/, () =>
    compSumLoss(s(), mul(tensor2d(soft), -1)),
  );
  for (const tau of [-0.1, Number.NaN, Infinity]) {
    bad(`tau ${tau}`, /tau must be a finite number >= 0/, () => compSumLoss(s(), y(), { tau }));
  }
  bad('one class', /logits must have 2 classes or more/, () =>
    compSumLoss(toTensor([1, 2], [2, 1]), tensor1d([0, 0], 'int32')),
  );
  bad('an empty batch', /logits must not be empty/, () =>
    compSumLoss(toTensor([], [0, 3]), tensor1d([], 'int32')),
  );
  bad('NaN', /crossEntropyLoss: logits must hold no NaN/, () => {
    const logits = data.slice();
    logits[7] = Number.NaN;
    return crossEntropyLoss(toTensor(logits, [B, n]), y());
  });
  for (const tau of [0.5, 1, 2]) {
    bad(`NaN, with distributions at tau ${tau}`, /logits must hold no NaN/, () => {
      const logits = data.slice();
      logits[5] = Number.NaN;
      return compSumLoss(toTensor(logits, [B, n]), tensor2d(soft), { tau });
    });
  }
  bad('+Infinity', /logits must hold no NaN, no \+Infinity/, () => {
    const logits = data.slice();
    logits[7] = Infinity;
    return compSumLoss(toTensor(logits, [B, n]), y());
  });
  bad('a row without a finite logit', /a finite number in each row/, () =>
    compSumLoss(toTensor([-Infinity, -Infinity, 0, 1], [2, 2]), tensor1d([0, 0], 'int32')),
  );
  bad('negative weights', /weights must be finite and >= 0/, () =>
    compSumLoss(s(), y(), { weights: tensor1d([1, 1, -1, 1, 1]) }),
  );
  bad('weights of another shape', /weights must have shape \[5\]/, () =>
    compSumLoss(s(), y(), { weights: tensor1d([1, 1]) }),
  );
  bad('an unknown option', /unknown option "tua"/, () =>
    compSumLoss(s(), y(), { tua: 1 } as CompSumOptions),
  );
  bad('an option that is not its own', /unknown option "tau"/, () =>
    crossEntropyLoss(s(), y(), { tau: 2 } as CompSumOptions),
  );
  bad('an unknown reduction', /reduction must be one of/, () =>
    compSumLoss(s(), y(), { reduction: 'avg' as Reduction }),
  );
  bad('integers as logits', /logits must have dtype float32/, () =>
    compSumLoss(tensor2d([[1, 2]], [1, 2], 'int32'), tensor1d([0], 'int32')),
  );
  bad('q of 0', /q must be a finite number/, () => generalizedCrossEntropyLoss(s(), y(), { q: 0 }));

  it('nothing of that, but shapes, where values are not to be checked', () => {
    scoped(() => {
      const loss = compSumLoss(s(), y(), { checkValues: false, weights: tensor1d(weights) });
      expect(loss.shape).toEqual([]);
      expect(() => compSumLoss(s(), tensor1d([0]), { checkValues: false })).toThrow(/shape/);
    });
  });
});
