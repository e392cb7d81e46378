import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  grad,
  grads,
  matMul,
  memory,
  mul,
  oneHot,
  square,
  sum,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  type AdversarialStepOptions,
  adversarialStep,
  compSumLoss,
  crossEntropyLoss,
  klDivergence,
  marginDeltaNorm,
  type PgdOptions,
  pgd,
  rhoMarginLoss,
  smoothAdversarialLoss,
  tradesLoss,
} from '../src/index.js';
import {
  compSum64,
  differences,
  gaussian,
  logSoftmax64,
  marginDelta64,
  rowsOf,
  toTensor,
} from './reference.js';
import { scoped } from './scoped.js';

const [B, n] = [6, 4];
const labels = [0, 3, 1, 1, 2, 0];
const before = gaussian(1, B * n);
const after = gaussian(2, B * n);
const y = () => tensor1d(labels, 'int32');

describe('marginDeltaNorm', () => {
  const each = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    rowsOf(a, n).map((row, i) => marginDelta64(row, rowsOf(b, n)[i]!, labels[i]!));
  const total = (x: number[]) => x.reduce((a, b) => a + b);

  it('has the value and both gradients of the definition', () => {
    scoped(() => {
      const [s, t] = [toTensor(before, [B, n]), toTensor(after, [B, n])];
      for (const own of [y(), oneHot(y(), n)]) {
        const f = (x: Tensor, z: Tensor) => marginDeltaNorm(x, z, own);
        expectTensorClose(f(t, s), each(after, before));
        const [ofAfter, ofBefore] = grads((x, z) => sum(f(x!, z!)))([t, s]);
        expectTensorClose(
          ofAfter!,
          differences((x) => total(each(x, before)), after),
        );
        expectTensorClose(
          ofBefore!,
          differences((x) => total(each(after, x)), before),
        );
      }
    });
  });

  it('has gradient 0 and no NaN where nothing has moved', () => {
    scoped(() => {
      const s = toTensor(before, [B, n]);
      const g = grad((x: Tensor) => sum(marginDeltaNorm(x, s, y())))(s);
      expectTensorClose(g, new Float32Array(B * n), { rtol: 0, atol: 0 });
    });
  });

  it('counts classes that are masked in both as still, and large logits exactly', () => {
    scoped(() => {
      const s = tensor2d([[1, -Infinity, 1e4]]);
      const t = tensor2d([[2, -Infinity, -1e4]]);
      const own = tensor1d([0], 'int32');
      // d = 1, 0, −2e4: margins to the label differ by 1 and 20001.
      expectTensorClose(marginDeltaNorm(t, s, own), [Math.hypot(1, 20001)]);
      for (const g of grad((x: Tensor) => sum(marginDeltaNorm(x, s, own)))(t).dataSync()) {
        expect(Number.isFinite(g)).toBe(true);
      }
    });
  });
});

describe('smoothAdversarialLoss', () => {
  it('is the comp-sum loss of logits / rho plus nu times the change', () => {
    scoped(() => {
      const [s, t] = [toTensor(before, [B, n]), toTensor(after, [B, n])];
      const o = { tau: 1.5, rho: 0.4, nu: 0.7, reduction: 'none' } as const;
      const want = rowsOf(before, n).map(
        (row, i) =>
          compSum64(
            row.map((x) => x / 0.4),
            labels[i]!,
            1.5,
          ) +
          0.7 * marginDelta64(rowsOf(after, n)[i]!, row, labels[i]!),
      );
      expectTensorClose(smoothAdversarialLoss(s, t, y(), o), want, { rtol: 2e-5 });
      const weights = tensor1d([1, 0, 0, 2, 0, 1]);
      const weighted = smoothAdversarialLoss(s, t, y(), { ...o, reduction: 'mean', weights });
      expectTensorClose(weighted, [(want[0]! + 2 * want[3]! + want[5]!) / 4], { rtol: 2e-5 });
    });
  });

  it('bounds the rho-margin loss at the perturbed logits', () => {
    scoped(() => {
      for (let seed = 0; seed < 30; seed++) {
        const rho = 0.2 + 0.1 * seed;
        const tau = [0, 0.5, 1, 1.7, 2][seed % 5]!;
        const [s, t] = [10, 100].map((k) => toTensor(gaussian(k + seed, B * n, 2), [B, n])) as [
          Tensor,
          Tensor,
        ];
        const low = rhoMarginLoss(t, y(), { tau, rho, reduction: 'none' }).dataSync();
        const nu = Math.sqrt(n - 1) / rho;
        const high = smoothAdversarialLoss(s, t, y(), { tau, rho, nu, reduction: 'none' });
        high.dataSync().forEach((bound, i) => {
          expect(low[i]!).toBeLessThanOrEqual(bound * (1 + 1e-5));
        });
      }
    });
  });

  it('rho-margin loss: margins count from 0 to rho', () => {
    scoped(() => {
      const s = tensor2d([
        [0, 0.5, -3],
        [1, 1, -Infinity],
      ]);
      const got = rhoMarginLoss(s, tensor1d([1, 0], 'int32'), { rho: 1, reduction: 'none' });
      expectTensorClose(got, [Math.log(1.5), Math.log(2)]);
      const mae = rhoMarginLoss(s, tensor1d([1, 0], 'int32'), {
        tau: 2,
        rho: 1,
        reduction: 'none',
      });
      expectTensorClose(mae, [1 - 1 / 1.5, 0.5]);
    });
  });
});

describe('tradesLoss', () => {
  it('is cross-entropy plus beta times the divergence, with both gradients', () => {
    scoped(() => {
      const [s, t] = [toTensor(before, [B, n]), toTensor(after, [B, n])];
      const loss = (a: ArrayLike<number>, b: ArrayLike<number>) =>
        rowsOf(a, n).reduce((total, row, i) => {
          const [p, q] = [logSoftmax64(row), logSoftmax64(rowsOf(b, n)[i]!)];
          const kl = p.reduce((sum, x, k) => sum + Math.exp(x) * (x - q[k]!), 0);
          return total - p[labels[i]!]! + 3 * kl;
        }, 0);
      const f = (x: Tensor, z: Tensor) => tradesLoss(x, z, y(), { beta: 3, reduction: 'sum' });
      expectTensorClose(f(s, t), [loss(before, after)]);
      const [g, h] = grads((x, z) => f(x!, z!))([s, t]);
      const close = { rtol: 1e-4, atol: 1e-5 };
      expectTensorClose(
        g!,
        differences((x) => loss(x, after), before),
        close,
      );
      expectTensorClose(
        h!,
        differences((x) => loss(before, x), after),
        close,
      );
      const masked = tensor2d([[1, 0, -Infinity]]);
      expectTensorClose(klDivergence(masked, masked), [0]);
    });
  });
});

it('the losses refuse NaN in either logits, and soft labels', () => {
  scoped(() => {
    const s = toTensor(before, [B, n]);
    const broken = mul(s, Number.NaN);
    expect(() => marginDeltaNorm(s, broken, y())).toThrow(/: logits must not be NaN/);
    expect(() => marginDeltaNorm(broken, s, y())).toThrow(/: adversarialLogits must not be NaN/);
    expect(() => smoothAdversarialLoss(broken, s, y())).toThrow(/logits must hold no NaN/);
    expect(() => smoothAdversarialLoss(s, broken, y())).toThrow(/NaN/);
    expect(() => tradesLoss(s, broken, y())).toThrow(/: adversarialLogits must not be NaN/);
    const half = tensor2d(Array.from({ length: B }, () => [0.5, 0.5, 0, 0]));
    expect(() => marginDeltaNorm(s, s, half)).toThrow(/labels must be one-hot, got 0.5/);
    expect(() => rhoMarginLoss(broken, y())).toThrow(/: logits must not be NaN/);
  });
});

describe('pgd', () => {
  const dimensions = 6;
  const x0 = gaussian(3, 2 * dimensions, 0.1).map((v) => 0.5 + v);
  const W = gaussian(4, dimensions * n);
  const model = (x: Tensor) => matMul(x as Tensor2D, toTensor(W, [dimensions, n]) as Tensor2D);
  const own = () => tensor1d([1, 3], 'int32');

  it('finds 95 % of the exact supremum of a linear model', () => {
    scoped(() => {
      const x = toTensor(x0, [2, dimensions]);
      const clean = model(x);
      const worst = pgd((z) => marginDeltaNorm(model(z), clean, own()), x, {
        radius: 0.1,
        steps: 20,
        seed: 1,
      });
      const got = marginDeltaNorm(model(worst), clean, own()).dataSync();
      const exact = [1, 3].map((label, i) => {
        let best = 0;
        for (let corner = 0; corner < 2 ** dimensions; corner++) {
          const d = Array.from({ length: n }, (_, k) =>
            Array.from({ length: dimensions }).reduce<number>(
              (total, _row, j) => total + (corner & (1 << j) ? 0.1 : -0.1) * W[j * n + k]!,
              0,
            ),
          );
          const at = marginDelta64(d, [0, 0, 0, 0], label);
          best = Math.max(best, at);
        }
        expect(got[i]!).toBeLessThanOrEqual(best * 1.0001);
        return best;
      });
      exact.forEach((best, i) => {
        expect(got[i]!).toBeGreaterThan(0.95 * best);
      });
    });
  });

  it.each(['linf', 'l2'] as const)('stays in the %s ball and in the box', (norm) => {
    scoped(() => {
      const x = toTensor(x0, [2, dimensions]);
      const inside = tidy(() => x.dataSync().map((v) => Math.min(0.9, Math.max(0, v))));
      const start = toTensor(inside, [2, dimensions]);
      for (const init of ['gaussian', 'uniform', 'none'] as const) {
        for (const steps of [1, 2, 7]) {
          const z = pgd((v) => crossEntropyLoss(model(v), own()), start, {
            radius: 0.3,
            stepSize: 0.2,
            steps,
            norm,
            init,
            clip: [0, 0.9],
            seed: steps,
          }).dataSync();
          for (const v of z) expect(v >= 0 && v <= Math.fround(0.9)).toBe(true);
          for (let row = 0; row < 2; row++) {
            const moved = Array.from(
              inside.slice(row * 6, row * 6 + 6),
              (v, k) => z[row * 6 + k]! - v,
            );
            const size = norm === 'linf' ? Math.max(...moved.map(Math.abs)) : Math.hypot(...moved);
            expect(size).toBeLessThanOrEqual(0.3 + 1e-6);
          }
        }
      }
    });
  });

  it('ascends for l2 to the end of the gradient of a linear objective', () => {
    scoped(() => {
      const x = toTensor([0, 0, 0, 0], [2, 2]);
      const w = toTensor([3, 4, 0, -2], [2, 2]);
      const z = pgd((v) => sum(mul(v, w)), x, { radius: 2, norm: 'l2', clip: null, steps: 9 });
      expectTensorClose(z, [1.2, 1.6, 0, -2], { rtol: 1e-3, atol: 2e-3 });
    });
  });

  it('depends on the seed alone, and draws on where a source is given', () => {
    scoped(() => {
      const x = toTensor(x0, [2, dimensions]);
      const f = (v: Tensor) => crossEntropyLoss(model(v), own());
      const at = (o: Partial<PgdOptions>) =>
        Array.from(
          pgd(f, x, { radius: 0.1, stepSize: 0.001, steps: 1, init: 'uniform', ...o }).dataSync(),
        );
      expect(at({ seed: 1 })).toEqual(at({ seed: 1 }));
      expect(at({ seed: 1 })).not.toEqual(at({ seed: 2 }));
      const random = seededRandom(1);
      expect(at({ random })).toEqual(at({ seed: 1 }));
      expect(at({ random })).not.toEqual(at({ seed: 1 }));
    });
  });

  it('starts where it is told to', () => {
    scoped(() => {
      const x = toTensor([0.5, 0.5], [1, 2]);
      const start = toTensor([0.9, 0.5], [1, 2]);
      const z = pgd((v) => sum(square(v)), x, { radius: 0.1, stepSize: 0.01, steps: 1, start });
      expectTensorClose(z, [0.6, 0.51]);
    });
  });

  it.each([
    [{ radius: 0 }, /radius must be a finite number > 0/],
    [{ radius: 1, steps: 0 }, /steps must be an integer >= 1/],
    [{ radius: 1, stepSize: -1 }, /stepSize must be/],
    [{ radius: 1, clip: [1, 1] }, /clip\[1\] must be a finite number > 1/],
    [{ radius: 1, clip: 3 }, /clip must be \[low, high\] or null/],
    [{ radius: 1, norm: 'l1' }, /norm must be one of/],
    [{ radius: 1, init: 'zero' }, /init must be one of/],
    [{ radius: 1, seed: 0.5 }, /seed must be an integer/],
    [{ radius: 1, seed: 1, random: seededRandom(1) }, /seed must not be given together/],
    [{ radius: 1, epsilon: 1 }, /unknown option "epsilon"/],
  ] as [PgdOptions, RegExp][])('refuses %o', (options, message) => {
    scoped(() => {
      const x = toTensor(x0, [2, dimensions]);
      expect(() => pgd((v) => sum(v), x, options)).toThrow(message);
      expect(() => pgd((v) => sum(v), toTensor([], [0, 2]), { radius: 1 })).toThrow(/empty/);
    });
  });
});

describe('adversarialStep', () => {
  const setUp = () => {
    const W = variable(toTensor(gaussian(5, 12, 0.3), [4, 3]), true, 'adversarial/W');
    const b = variable(toTensor([0, 0, 0], [3]), true, 'adversarial/b');
    const model = (x: Tensor) => tidy(() => add(matMul(x as Tensor2D, W as never), b));
    const x = toTensor(
      gaussian(6, 40, 0.2).map((v) => Math.min(1, Math.max(0, 0.5 + v))),
      [10, 4],
    );
    const own = tensor1d([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], 'int32');
    const dispose = () => {
      for (const v of [W, b, x, own]) v.dispose();
    };
    return { W, b, model, x, own, dispose };
  };

  it('reports the parts of its loss, and lowers it, leaving nothing behind', () => {
    const { model, x, own, dispose } = setUp();
    const optimizer = train.sgd(0.3);
    const random = seededRandom(1);
    const options = { optimizer, radius: 0.05, steps: 3, rho: 0.5, nu: 0.4, random };
    const losses: number[] = [];
    const run = () => {
      const result = adversarialStep(model, x, own, options);
      const [loss, clean, change] = [result.loss, result.clean, result.change].map(
        (v) => v.dataSync()[0]!,
      ) as [number, number, number];
      expect(loss).toBeCloseTo(clean + 0.4 * change, 5);
      losses.push(loss);
      for (const v of Object.values(result)) (v as Tensor).dispose();
    };
    run();
    const count = memory().numTensors;
    for (let i = 0; i < 20; i++) run();
    expect(memory().numTensors).toBe(count);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    optimizer.dispose();
    dispose();
  });

  it('takes the gradient of the loss at a fixed perturbation, plus weight decay', () => {
    const { W, b, model, x, own, dispose } = setUp();
    const seen: Record<string, number[]> = {};
    const optimizer = train.sgd(1);
    optimizer.applyGradients = (gradients) => {
      for (const [name, g] of Object.entries(gradients)) seen[name] = [...(g as Tensor).dataSync()];
    };
    const search = { radius: 0.1, steps: 2, seed: 3 };
    const options = { ...search, optimizer, tau: 1.5, rho: 0.5, nu: 0.4, weightDecay: 0.1 };
    for (const variables of [undefined, [W, b]]) {
      const result = adversarialStep(model, x, own, {
        ...options,
        ...(variables && { variables }),
      });
      for (const v of Object.values(result)) (v as Tensor).dispose();
      scoped(() => {
        const clean = model(x);
        const found = pgd((z) => marginDeltaNorm(model(z), clean, own), x, search);
        const apply = (z: Tensor, w: Tensor) => add(matMul(z as Tensor2D, w as Tensor2D), b);
        const want = grad((w: Tensor) =>
          add(
            smoothAdversarialLoss(apply(x, w), apply(found, w), own, {
              tau: 1.5,
              rho: 0.5,
              nu: 0.4,
            }),
            mul(sum(square(w)), 0.05),
          ),
        )(W.clone());
        expectTensorClose(seen[W.name]!, want.dataSync());
      });
    }
    optimizer.dispose();
    dispose();
  });

  it('refuses bad input with the variables unchanged and nothing left', () => {
    const { W, model, x, own, dispose } = setUp();
    const before = [...W.dataSync()];
    const optimizer = train.sgd(1);
    const count = memory().numTensors;
    const run = (o: object, labels = own) =>
      adversarialStep(model, x, labels, { optimizer, radius: 0.1, ...o } as AdversarialStepOptions);
    expect(() => run({ rho: 0 })).toThrow(/rho must be a finite number > 0/);
    expect(() => run({ nu: -1 })).toThrow(/nu must be/);
    expect(() => run({ tau: -1 })).toThrow(/tau must be/);
    expect(() => run({ weightDecay: -1 })).toThrow(/weightDecay must be/);
    expect(() => run({ radius: 0 })).toThrow(/adversarialStep: radius must be/);
    expect(() => run({ optimizer: {} })).toThrow(/optimizer must be/);
    expect(() => run({ attackedModel: 3 })).toThrow(/attackedModel must be a function/);
    expect(() => run({ rate: 1 })).toThrow(/unknown option "rate"/);
    const bad = tensor1d(new Array(10).fill(7), 'int32');
    expect(() => run({}, bad)).toThrow(/labels must be integers in \[0, 3\)/);
    bad.dispose();
    const broken = (z: Tensor) => mul(model(z), Number.NaN);
    expect(() => adversarialStep(broken, x, own, { optimizer, radius: 0.1 })).toThrow(/NaN/);
    expect(memory().numTensors).toBe(count);
    expect([...W.dataSync()]).toEqual(before);
    optimizer.dispose();
    dispose();
  });

  it("leaves nothing behind in a caller's tidy", () => {
    const { model, x, own, dispose } = setUp();
    const optimizer = train.sgd(0.1);
    const count = memory().numTensors;
    tidy(() => {
      const { loss, clean, change } = adversarialStep(model, x, own, { optimizer, radius: 0.1 });
      const parts = clean.dataSync()[0]! + 0.5 * change.dataSync()[0]!;
      expect(loss.dataSync()[0]).toBeCloseTo(parts, 4);
    });
    expect(memory().numTensors).toBe(count);
    optimizer.dispose();
    dispose();
  });

  it('agrees with plain comp-sum training where nu is 0', () => {
    const { model, x, own, dispose } = setUp();
    scoped(() => {
      const optimizer = train.sgd(0);
      const { loss, clean, change } = adversarialStep(model, x, own, {
        optimizer,
        radius: 0.1,
        rho: 1,
        nu: 0,
        tau: 2,
      });
      expectTensorClose(loss, compSumLoss(model(x), own, { tau: 2 }));
      for (const v of [loss, clean, change, optimizer]) v.dispose();
    });
    dispose();
  });
});
