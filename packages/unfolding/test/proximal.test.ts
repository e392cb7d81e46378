/** Learned proximal networks: what holds by construction, derivatives, inversion, training, plug-and-play. */

import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  grad,
  memory,
  mul,
  reshape,
  type Scalar,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor2d,
  tidy,
  variableGrads,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  decodeNetwork,
  encodeNetwork,
  gammaSchedule,
  LPN,
  type LpnTrainingState,
  lasso,
  pnpAdmm,
  pnpPgd,
  proximalMatchingLoss,
  softThreshold,
  trainLpn,
} from '../src/index.js';
import { dot64, gaussian, holding, toTensor } from './reference.js';

const mlp = (seed = 1, alpha = 0.05) =>
  new LPN({ dim: 3, hidden: 7, layers: 2, beta: 5, alpha, seed });
const small = () =>
  new LPN({
    architecture: 'conv',
    size: [8, 8],
    channels: 2,
    hidden: 3,
    strides: [1, 2, 2],
    dense: 5,
    firstBias: true,
    alpha: 0.02,
    beta: 6,
    seed: 4,
  });
const networks = [
  ['mlp', mlp, [5, 3]],
  ['conv', small, [2, 8, 8, 2]],
] as const;

describe.each(networks)('%s', (_, make, shape) => {
  const size = shape.reduce((p, n) => p * n, 1);
  const B = shape[0];
  const rows = (x: ArrayLike<number>) =>
    Array.from({ length: B }, (_, b) => Array.from(x).slice((b * size) / B, ((b + 1) * size) / B));

  it('apply is the gradient of scalar, which is convex', () =>
    holding(async (hold) => {
      const model = make();
      const [p, q] = [1, 2].map((seed) => hold(toTensor(gaussian(seed, size), [...shape]))) as [
        Tensor,
        Tensor,
      ];
      const f = hold(model.apply(p));
      expect(f.shape).toEqual(shape);
      const automatic = hold(grad((x: Tensor) => sum(model.scalar(x)))(p));
      expectTensorClose(f, await automatic.data(), { rtol: 1e-4, atol: 1e-5 });
      const middle = hold(tidy(() => mul(add(p, q), 0.5)));
      const psi = async (x: Tensor) => hold(model.scalar(x)).data();
      const [a, b, m] = [await psi(p), await psi(q), await psi(middle)];
      const [fp, fq] = [await f.data(), await hold(model.apply(q)).data()];
      const [xp, xq] = [rows(await p.data()), rows(await q.data())];
      rows(fp).forEach((row, i) => {
        expect(m[i]!).toBeLessThanOrEqual((a[i]! + b[i]!) / 2 + 1e-5);
        // Monotone, strongly by 2α.
        const dx = xp[i]!.map((v, j) => v - xq[i]![j]!);
        const df = row.map((v, j) => v - rows(fq)[i]![j]!);
        expect(dot64(df, dx)).toBeGreaterThanOrEqual(2 * model.alpha * dot64(dx, dx) - 1e-5);
      });
      model.dispose();
    }));

  it('derivatives in all weights against differences', () =>
    holding(async (hold) => {
      const model = make();
      const x = hold(toTensor(gaussian(3, size), [...shape]));
      const w = hold(toTensor(gaussian(4, size), [...shape]));
      const loss = () => tidy(() => sum(mul(model.apply(x), w)) as Scalar);
      const { value, grads } = variableGrads(loss, model.variables);
      hold(value);
      const read = async () => {
        const f = loss();
        const [v] = await f.data();
        f.dispose();
        return v!;
      };
      for (const [name, v] of Object.entries(model.weights)) {
        // ψ's last bias has no part in its gradient.
        const own = grads[v.name];
        const g = own ? await hold(own).data() : new Float32Array(v.size);
        const before = await v.data();
        const direction = gaussian(5, v.size);
        const move = (h: number) => {
          const moved = toTensor(
            before.map((u, i) => u + h * direction[i]!),
            [...v.shape],
          );
          v.assign(moved);
          moved.dispose();
        };
        const h = 1e-2;
        move(h);
        const up = await read();
        move(-h);
        const down = await read();
        move(0);
        const want = dot64(g, direction);
        const scale = Math.max(Math.abs(want), 1);
        expect(Math.abs((up - down) / (2 * h) - want) / scale, name).toBeLessThan(2e-2);
      }
      model.dispose();
    }));

  it('inverts, and its prior makes it a proximal operator', () =>
    holding(async (hold) => {
      const model = make();
      const y = hold(toTensor(gaussian(6, size), [...shape]));
      const x = hold(model.apply(y));
      for (const method of ['newton', 'cg'] as const) {
        const inverse = await model.invert(x, { method, tolerance: 1e-4 });
        hold(inverse.y);
        expect(inverse.converged.every(Boolean), method).toBe(true);
        const back = hold(model.apply(inverse.y));
        expectTensorClose(back, await x.data(), { rtol: 1e-3, atol: 1e-3 });
      }
      const { value, y: found, converged } = await model.prior(x, { tolerance: 1e-5, y0: y });
      expect(converged.every(Boolean)).toBe(true);
      hold(found);
      const known = await hold(model.priorAt(x, y)).data();
      expectTensorClose(hold(value), known, { rtol: 1e-3, atol: 1e-3 });
      // R(f(y)) + ½‖f(y) − y‖² is least at f(y).
      const other = hold(toTensor(gaussian(7, size), [...shape]));
      const v = hold(model.apply(other));
      const [Rx, Rv] = [known, await hold(model.priorAt(v, other)).data()];
      const distance = async (u: Tensor) => {
        const d = rows(await hold(sub(u, y)).data());
        return d.map((row) => dot64(row, row) / 2);
      };
      const [dx, dv] = [await distance(x), await distance(v)];
      Rx.forEach((r, i) => {
        expect(r + dx[i]!).toBeLessThanOrEqual(Rv[i]! + dv[i]! + 1e-4);
      });
      model.dispose();
    }));

  it('negative weights break convexity, and clip mends it; saved and restored', () =>
    holding(async (hold) => {
      const model = make();
      const bad = hold(tidy(() => sub(model.weights.U1!, 1)));
      model.weights.U1!.assign(bad);
      model.clip();
      const clipped = await model.weights.U1!.data();
      expect(clipped.every((v) => v >= 0)).toBe(true);
      model.clip();
      expect(await model.weights.U1!.data()).toEqual(clipped);
      const x = hold(toTensor(gaussian(8, size), [...shape]));
      const want = await hold(model.apply(x)).data();
      const state = decodeNetwork(encodeNetwork(await model.saveState()));
      const twin = LPN.fromState(state);
      expect(await hold(twin.apply(x)).data()).toEqual(want);
      const weights = { ...state.weights, U1: { ...state.weights.U1!, shape: [1] } };
      expect(() => twin.loadState({ ...state, weights })).toThrow(/U1 must have shape/);
      expect(() => LPN.fromState({ ...state, className: 'Lista' })).toThrow(/LPN.fromState/);
      twin.dispose();
      model.dispose();
    }));
});

describe("the authors' sizes", () => {
  it('28×28, and 128×128 narrowed', () =>
    holding(async (hold) => {
      const digits = LPN.conv28({ hidden: 2 });
      expect(hold(digits.apply(hold(zeros([1, 28, 28, 1])))).shape).toEqual([1, 28, 28, 1]);
      expect([digits.beta, digits.alpha]).toEqual([10, 0.01]);
      const faces = LPN.conv128({ hidden: 1, dense: 2 });
      expect(faces.inputShape).toEqual([128, 128, 3]);
      expect([faces.beta, faces.alpha, faces.weights.U6!.shape]).toEqual([100, 1e-6, [256, 2]]);
      expect(faces.weights.c0).toBeDefined();
      digits.dispose();
      faces.dispose();
    }));
});

describe('proximal matching', () => {
  it('the loss: range, limits, gradient', () =>
    holding(async (hold) => {
      const x = hold(toTensor(gaussian(9, 6), [3, 2]));
      const t = hold(toTensor(gaussian(10, 6), [3, 2]));
      const value = async (gamma: number) =>
        (await hold(proximalMatchingLoss(x, t, gamma)).data())[0]!;
      expect((await hold(proximalMatchingLoss(x, x, 0.1)).data())[0]).toBe(0);
      const per = [0, 1, 2].map((b) =>
        [0, 1].reduce(
          (s, j) => s + (gaussian(9, 6)[2 * b + j]! - gaussian(10, 6)[2 * b + j]!) ** 2,
          0,
        ),
      );
      const want = (gamma: number) =>
        per.reduce((s, e) => s + (1 - Math.exp(-e / gamma ** 2)) / 3, 0);
      for (const gamma of [0.1, 1, 3]) expect(await value(gamma)).toBeCloseTo(want(gamma), 5);
      expect(900 * (await value(30))).toBeCloseTo(
        per.reduce((s, e) => s + e / 3, 0),
        1,
      );
      const g = await hold(grad((v: Tensor) => proximalMatchingLoss(v, t, 1))(x)).data();
      const [x0, t0] = [gaussian(9, 6), gaussian(10, 6)];
      g.forEach((v, i) => {
        const e = per[Math.floor(i / 2)]!;
        expect(v).toBeCloseTo((2 * (x0[i]! - t0[i]!) * Math.exp(-e)) / 3, 4);
      });
      expect(() => proximalMatchingLoss(x, t, 0)).toThrow(/gamma must be/);
    }));

  it('the schedule: stages halve γ, the remainder stays in the last', () => {
    const at = gammaSchedule({ steps: 23, pretrainSteps: 10, stages: 4, gammaMin: 1 });
    expect(at(9)).toEqual({ loss: 'l1', learningRate: 1e-3 });
    expect([10, 12, 13, 16, 19, 22, 99].map((s) => at(s).gamma)).toEqual([8, 8, 4, 2, 1, 1, 1]);
    expect(() => gammaSchedule({ gammaMin: 0 })).toThrow(/gammaMin must be/);
    expect(() => gammaSchedule({ gammaMin: 1, steps: 5, pretrainSteps: 6 })).toThrow(
      /pretrainSteps/,
    );
  });

  it('learns to shrink Laplacian numbers more than their mean would be', async () => {
    const random = seededRandom(1);
    const laplace = (count: number) =>
      tensor2d(
        Float32Array.from({ length: count }, () => {
          const u = random.uniform() - 0.5;
          return -Math.sign(u) * Math.log(1 - 2 * Math.abs(u));
        }),
        [count, 1],
      );
    const model = new LPN({ dim: 1, hidden: 8, layers: 1, seed: 2 });
    const before = memory().numTensors;
    const errors: number[] = [];
    const grid = Float64Array.from({ length: 41 }, (_, i) => (i - 20) / 5);
    for (const [loss, steps] of [
      ['l2', 200],
      ['pm', 200],
    ] as const) {
      const { status, losses } = await trainLpn(model, laplace, {
        sigma: 1,
        steps,
        batchSize: 200,
        schedule: () => ({ loss, gamma: 0.5, learningRate: 1e-2 }),
      });
      expect([status, losses.length]).toEqual(['done', steps]);
      expect(memory().numTensors).toBe(before);
      const x = toTensor<Tensor2D>(grid, [41, 1]);
      const f = model.apply(x);
      const got = await f.data();
      x.dispose();
      f.dispose();
      const want = grid.map((v) => Math.sign(v) * Math.max(Math.abs(v) - 1, 0));
      errors.push(Math.sqrt(Array.from(got).reduce((s, v, i) => s + (v - want[i]!) ** 2, 0) / 41));
    }
    expect(errors[1]!).toBeLessThan(0.8 * errors[0]!);
    for (const v of model.variables) {
      const { nonNegative } = { nonNegative: v === model.weights.U1 || v === model.weights.U2 };
      if (nonNegative) expect((await v.data()).every((u) => u >= 0)).toBe(true);
    }
    model.dispose();
  });

  it('stopped, saved and resumed is as never stopped', async () => {
    const run = async (stopAt?: number) => {
      let model = mlp(3);
      const clean = toTensor<Tensor2D>(gaussian(11, 12), [4, 3]);
      const options = {
        sigma: 0.3,
        steps: 8,
        seed: 5,
        schedule: gammaSchedule({ steps: 8, gammaMin: 0.5 }),
      };
      const controller = new AbortController();
      const first = await trainLpn(model, () => clean, {
        ...options,
        signal: controller.signal,
        onStep: ({ step }) => step + 1 === stopAt && controller.abort(),
      });
      if (stopAt !== undefined) {
        const network = decodeNetwork(encodeNetwork(await model.saveState()));
        const resume = JSON.parse(JSON.stringify(first.state)) as LpnTrainingState;
        model.dispose();
        model = LPN.fromState(network);
        await trainLpn(model, () => clean, { ...options, resume });
      }
      const { weights } = await model.saveState();
      model.dispose();
      clean.dispose();
      return weights;
    };
    expect(await run(3)).toEqual(await run());
  });
});

describe('plug-and-play', () => {
  const [M, N, B] = [6, 4, 2];
  const a = gaussian(12, M * N, 0.5);
  const b = gaussian(13, B * M);

  it('with the soft threshold it solves the Lasso', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const rhs = hold(toTensor<Tensor2D>(b, [B, M]));
      const shrink = (x: Tensor) => softThreshold(x, 0.4);
      const rho = 2;
      // ½‖Ax − b‖² + ρ·0.4‖x‖₁.
      const exact = await lasso(A, rhs, { lambda: rho * 0.4, tolerance: 1e-12 });
      const want = await hold(exact.x).data();
      for (const order of ['132', '123'] as const) {
        const result = await pnpAdmm(A, rhs, shrink, {
          rho,
          order,
          iterations: 300,
          tolerance: 1e-6,
        });
        for (const v of [result.x, result.z, result.u]) hold(v);
        expect([result.status, result.guaranteed]).toEqual(['converged', false]);
        expectTensorClose(result.z, want, { rtol: 1e-3, atol: 1e-4 });
      }
      const eta = 0.3;
      const result = await pnpPgd(A, rhs, (x) => softThreshold(x, eta * 0.8), {
        eta,
        iterations: 500,
        tolerance: 1e-6,
        x0: hold(zeros([B, N])),
      });
      expectTensorClose(hold(result.x), want, { rtol: 1e-3, atol: 1e-4 });
    }));

  it('with a network the objective falls where convergence is guaranteed', () =>
    holding(async (hold) => {
      const model = new LPN({ dim: N, hidden: 8, layers: 1, alpha: 0.1, seed: 9 });
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const rhs = hold(toTensor<Tensor2D>(b, [B, M]));
      const seen: number[] = [];
      const result = await pnpPgd(A, rhs, model, {
        iterations: 60,
        onStep: ({ iteration }, { x }) => {
          expect(x.shape).toEqual([B, N]);
          seen.push(iteration);
        },
      });
      hold(result.x);
      expect(result.guaranteed).toBe(true);
      expect(seen).toHaveLength(60);
      result.history.forEach(({ objective }, k) => {
        if (k > 0) expect(objective!).toBeLessThanOrEqual(result.history[k - 1]!.objective! + 1e-5);
      });
      expect(result.history.at(-1)!.error).toBeLessThan(1e-3);
      const wide = await pnpPgd(A, rhs, model, { eta: 10, iterations: 2, box: [-0.1, 0.1] });
      expect(wide.guaranteed).toBe(false);
      expect((await hold(wide.x).data()).every((v) => Math.abs(v) <= 0.1 + 1e-6)).toBe(true);
      const admm = await pnpAdmm(A, rhs, model, { rho: 20, iterations: 80 });
      for (const v of [admm.x, admm.z, admm.u]) hold(v);
      expect(admm.guaranteed).toBe(true);
      expect(admm.history.at(-1)!.error).toBeLessThan(1e-2);
      model.dispose();
    }));

  it('images and functions', () =>
    holding(async (hold) => {
      const model = small();
      const identity = { apply: (x: Tensor) => x.clone(), adjoint: (y: Tensor) => y.clone() };
      const noisy = hold(toTensor<Tensor4D>(gaussian(14, 256, 0.3), [2, 8, 8, 2]));
      const result = await pnpPgd(identity, noisy, model, { iterations: 3 });
      expect(hold(result.x).shape).toEqual([2, 8, 8, 2]);
      model.dispose();
    }));

  it('refusals leave nothing behind', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const rhs = hold(toTensor<Tensor2D>(b, [B, M]));
      const model = mlp();
      await expect(pnpAdmm(A, rhs, model)).rejects.toThrow(/prox must take samples/);
      await expect(pnpAdmm(A, rhs, (x) => x, { rho: 0 })).rejects.toThrow(/rho must be/);
      await expect(pnpAdmm(A, rhs, (x) => x, { order: '213' as never })).rejects.toThrow(
        /order must be/,
      );
      await expect(pnpPgd(A, rhs, (x) => reshape(x, [N, B]))).rejects.toThrow(
        /prox\(x\) must have shape/,
      );
      await expect(pnpPgd(A, A, (x) => x)).rejects.toThrow(/pnpPgd: b must have shape/);
      const nan = hold(tensor2d([[Number.NaN, 0, 0, 0, 0, 0]]));
      await expect(pnpPgd(A, nan, (x) => x)).rejects.toThrow(/b must be finite/);
      await expect(pnpPgd(A, rhs, (x) => x, { tol: 1 } as never)).rejects.toThrow(/unknown option/);
      expect(() => model.apply(A)).toThrow(/LPN.apply: x must have shape \[\*,3\]/);
      await expect(model.invert(hold(zeros([1, 3])), { tolerance: 0 })).rejects.toThrow(
        /tolerance/,
      );
      for (const [options, message] of [
        [{ dim: 0 }, /dim must be/],
        [{ dim: 2, layers: 0 }, /layers must be/],
        [{ dim: 2, beta: 0 }, /beta must be/],
        [{ dim: 2, alpha: -1 }, /alpha must be/],
        [{ dim: 2, size: [1, 1] }, /unknown option "size"/],
        [{ dim: 2, init: 'zeros' }, /init must be/],
        [{ architecture: 'conv', size: [6, 8] }, /size\[0\] must be a multiple of 4/],
        [{ architecture: 'conv', size: [8, 8], strides: [3] }, /strides must hold/],
      ] as const) {
        expect(() => new LPN(options as never)).toThrow(message);
      }
      const clean = hold(zeros([2, 3]));
      await expect(trainLpn(model, () => clean, { sigma: 0 })).rejects.toThrow(/sigma must be/);
      await expect(trainLpn(model, () => A, { sigma: 1 })).rejects.toThrow(/batch of the sampler/);
      const schedule = () => ({ loss: 'pm' as const, learningRate: 1 });
      await expect(trainLpn(model, () => clean, { sigma: 1, schedule })).rejects.toThrow(
        /schedule\(0\).gamma/,
      );
      model.dispose();
    }));

  it('a point outside the range of f is reported, not hidden', () =>
    holding(async (hold) => {
      // Without α the gradient of this network is bounded.
      const model = new LPN({ dim: 1, hidden: 4, layers: 1, alpha: 0 });
      const { y, residual, converged } = await model.invert(hold(tensor2d([[1e4], [0]])));
      hold(y);
      expect(converged[0]).toBe(false);
      expect(residual[0]).toBeGreaterThan(1);
      model.dispose();
    }));
});
