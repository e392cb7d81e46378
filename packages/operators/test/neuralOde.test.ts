/** Solvers of ordinary differential equations and training through them. */
import { measureLeaks, NonFiniteError, seededRandom } from '@orth/backend';
import {
  add,
  div,
  exp,
  grads,
  matMul,
  mean,
  memory,
  mul,
  neg,
  ones,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tanh,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import {
  NeuralODE,
  OdeSolveError,
  odeRegularization,
  odeSolve,
  odeSolveSync,
  replayOde,
  tsit5Step,
} from '../src/index.js';

const values = async (x: Tensor) => [...(await x.data())];

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

const growth = (_: number, u: Tensor) => u;

describe('odeSolve', () => {
  test.each([
    ['euler', 0.01, 1],
    ['rk4', 0.5, 4],
    ['tsit5', 1, 5],
  ] as const)('%s has its order', async (method, stepSize, order) => {
    const u0 = tensor1d([1]);
    const errors = [];
    for (const size of [stepSize, stepSize / 2]) {
      const { u } = await odeSolve(growth, u0, { method, stepSize: size });
      errors.push(Math.abs((await values(u))[0]! - Math.E));
      u.dispose();
    }
    u0.dispose();
    expect(Math.log2(errors[0]! / errors[1]!)).toBeGreaterThan(order - 0.4);
    expect(Math.log2(errors[0]! / errors[1]!)).toBeLessThan(order + 1.2);
  });

  test.each(['euler', 'rk4', 'tsit5'] as const)(
    '%s keeps states between its steps',
    async (method) => {
      const u0 = tensor1d([1, 2]);
      const saveAt = [0.93, 0, 0.31, 1, 0.31];
      const options = { method, saveAt, ...(method === 'tsit5' ? {} : { stepSize: 0.01 }) };
      const { u, saved, stats } = await odeSolve(growth, u0, options);
      const without = await odeSolve(growth, u0, { ...options, saveAt: [] });
      if (method === 'tsit5') expect(stats.nfe).toBe(without.stats.nfe);
      expect(saved!.shape).toEqual([5, 2]);
      const got = await values(saved!);
      const tolerance = method === 'euler' ? 0.05 : 1e-3;
      saveAt.forEach((t, i) => {
        expect(Math.abs(got[2 * i]! - Math.exp(t))).toBeLessThan(tolerance);
        expect(Math.abs(got[2 * i + 1]! - 2 * Math.exp(t))).toBeLessThan(2 * tolerance);
      });
      for (const x of [u, saved!, without.u, u0]) x.dispose();
    },
  );

  test('there and back again', async () => {
    const dynamics = (t: number, u: Tensor) => mul(u, Math.cos(3 * t));
    const u0 = tensor2d([[1], [-2]]);
    const there = await odeSolve(dynamics, u0, { t0: -1, t1: 2, rtol: 1e-6, atol: 1e-6 });
    const back = await odeSolve(dynamics, there.u, { t0: 2, t1: -1, rtol: 1e-6, atol: 1e-6 });
    (await values(back.u)).forEach((x, i) => {
      expect(x).toBeCloseTo([1, -2][i]!, 4);
    });
    expect(back.stats.steps.every((step) => step < 0)).toBe(true);
    expect(back.stats.steps.reduce((a, b) => a + b)).toBeCloseTo(-3, 12);
    for (const x of [u0, there.u, back.u]) x.dispose();
  });

  test('counts what it costs, and says what is stiff', async () => {
    const u0 = tensor1d([1]);
    let calls = 0;
    const stiff = await odeSolve(
      (_, u) => {
        calls++;
        return mul(u, -500);
      },
      u0,
      { initialStep: 0.1, rtol: 1e-3, atol: 1e-3 },
    );
    const { nfe, accepted, rejected, tried, steps, errorEstimates, stiffness } = stiff.stats;
    expect(nfe).toBe(calls);
    expect(nfe).toBe(1 + 6 * (accepted + rejected));
    expect(rejected).toBeGreaterThan(0);
    expect(tried).toHaveLength(accepted + rejected);
    for (const list of [steps, errorEstimates, stiffness]) expect(list).toHaveLength(accepted);
    expect(errorEstimates.every((e) => e <= 1)).toBe(true);
    expect(stiffness[0]).toBeCloseTo(500, 0);
    expect(stiff.stats.stiff).toBe(true);
    const gentle = await odeSolve((_, u) => neg(u), u0);
    expect(gentle.stats.stiff).toBe(false);
    for (const x of [u0, stiff.u, gentle.u]) x.dispose();
  });

  test('leaves nothing behind, whatever the dynamics return', async () => {
    const u0 = tensor1d([1, 1]);
    const constant = tensor1d([1, -1]);
    const saveAt = [0.2, 0.7];
    for (const dynamics of [growth, () => constant, (_: number, u: Tensor) => mul(u, -1)]) {
      const before = memory().numTensors;
      const { u, saved } = await odeSolve(dynamics, u0, { saveAt });
      expect(memory().numTensors).toBe(before + 2);
      u.dispose();
      saved!.dispose();
    }
    expect(await values(constant)).toEqual([1, -1]);
    expect(await values(u0)).toEqual([1, 1]);
    u0.dispose();
    constant.dispose();
  });

  test('without waiting it gives the same', async () => {
    const u0 = tensor1d([1]);
    const [one, other] = [odeSolveSync(growth, u0), await odeSolve(growth, u0)];
    expect(await values(one.u)).toEqual(await values(other.u));
    expect(one.stats).toEqual(other.stats);
    for (const x of [u0, one.u, other.u]) x.dispose();
  });

  test.each([
    ['a blow-up', (_: number, u: Tensor) => square(u), { t1: 2 }, /underflow|non-finite/],
    [
      'NaN',
      (t: number, u: Tensor) => (t > 0.5 ? div(zerosLike(u), zerosLike(u)) : u),
      {},
      /non-fin/,
    ],
    ['NaN at the start', (_: number, u: Tensor) => div(u, zerosLike(u)), {}, /non-finite at t = 0/],
    [
      'NaN in fixed steps',
      (_: number, u: Tensor) => exp(exp(mul(u, 100))),
      { method: 'rk4', stepSize: 0.5 },
      /non-finite/,
    ],
    [
      'too many steps',
      (_: number, u: Tensor) => mul(u, -1e4),
      { maxSteps: 20 },
      /maxSteps = 20 reached at t = /,
    ],
  ] as const)(
    '%s ends in an error with a reason, and leaves nothing',
    async (_, dynamics, options, message) => {
      const u0 = tensor1d([1]);
      const before = memory().numTensors;
      const error = await failure(odeSolve(dynamics, u0, options));
      expect(error).toBeInstanceOf(OdeSolveError);
      expect(error.message).toMatch(message);
      expect((error as OdeSolveError).stats.nfe).toBeGreaterThan(0);
      expect(memory().numTensors).toBe(before);
      u0.dispose();
    },
  );

  test.each([
    [{ t0: 1 }, 'odeSolve: t1 must differ from t0, got 1 for both'],
    [{ rtol: -1 }, 'odeSolve: rtol must be a finite number >= 0, got -1'],
    [{ rtol: 0, atol: 0 }, 'rtol and atol must not both be 0'],
    [{ saveAt: [2] }, 'odeSolve: saveAt must be'],
    [{ method: 'rk4' }, "odeSolve: stepSize must be given for method 'rk4'"],
    [{ initialStep: -0.1 }, 'odeSolve: initialStep must point from t0 to t1'],
    [{ tolerance: 1 }, 'odeSolve: unknown option "tolerance"'],
    [{ controller: { safety: 2 } }, 'odeSolve: controller.safety must be'],
  ])('refuses %o', async (options, message) => {
    const u0 = tensor1d([1]);
    const error = await failure(odeSolve(growth, u0, options as object));
    expect(error.message).toContain(message);
    u0.dispose();
  });

  test('refuses dynamics of another shape', async () => {
    const u0 = tensor1d([1, 2]);
    const before = memory().numTensors;
    const error = await failure(odeSolve((_, u) => sum(u), u0));
    expect(error.message).toBe(
      'odeSolve: the result of dynamics must have shape [2], got shape []',
    );
    expect(memory().numTensors).toBe(before);
    u0.dispose();
  });
});

describe('replayOde', () => {
  const random = seededRandom(3);
  const W = random.normalTensor([2, 2]) as Tensor2D;
  const u0 = random.normalTensor([3, 2]) as Tensor2D;
  const steps = [0.2, 0.35, 0.45];
  const dynamics = (w: Tensor) => (_: number, u: Tensor) =>
    tanh(matMul(u as Tensor2D, w as Tensor2D));
  const options = { saveAt: [0.1, 0.6, 1], rtol: 0.1, atol: 0.1 };
  const objective = (w: Tensor, u: Tensor): Scalar => {
    const replay = replayOde(dynamics(w), u, steps, options);
    const both = odeRegularization(replay, steps, { kind: 'both' });
    return add(add(mean(square(replay.saved!)), mean(replay.u)), both) as Scalar;
  };

  test('its gradient is that of central differences, estimates included', async () => {
    const [gradientW, gradientU] = grads(objective)([W, u0]);
    const by = async (at: 'W' | 'u', i: number) => {
      const shifted = async (delta: number) => {
        const base = at === 'W' ? W : u0;
        // A copy: on cpu these are the tensor's own numbers.
        const data = (await base.data()).slice();
        data[i]! += delta;
        const loss = tidy(() => {
          const x = tensor2d(data, base.shape as [number, number]);
          return at === 'W' ? objective(x, u0) : objective(W, x);
        });
        const [value] = await values(loss);
        loss.dispose();
        return value!;
      };
      return ((await shifted(0.01)) - (await shifted(-0.01))) / 0.02;
    };
    const [gotW, gotU] = [await values(gradientW!), await values(gradientU!)];
    for (let i = 0; i < 4; i++) expect(gotW[i]).toBeCloseTo(await by('W', i), 2);
    for (let i = 0; i < 6; i++) expect(gotU[i]).toBeCloseTo(await by('u', i), 2);
    gradientW!.dispose();
    gradientU!.dispose();
  });

  test('takes the steps that a solve took, to the same end', async () => {
    const solution = await odeSolve(dynamics(W), u0, options);
    const { u, saved } = tidy(() => {
      const replay = replayOde(dynamics(W), u0, solution.stats.steps, { ...options, t1: 1 });
      return { u: replay.u, saved: replay.saved! };
    });
    const wanted = await values(solution.saved!);
    (await values(saved)).forEach((x, i) => {
      expect(x).toBeCloseTo(wanted[i]!, 6);
    });
    for (const x of [u, saved, solution.u, solution.saved!]) x.dispose();
  });

  test('refuses steps that turn back, and none', () => {
    expect(() => replayOde(dynamics(W), u0, [0.1, -0.1])).toThrow('steps must all have one sign');
    expect(() => replayOde(dynamics(W), u0, [])).toThrow('steps must not be empty');
  });
});

test('dynamics that stand still have no error and no stiffness', async () => {
  const u = ones([2, 2]);
  const step = tidy(() => {
    const { errorEstimate, stiffness } = tsit5Step((_, x) => zerosLike(x), 0, u, 0.1, {
      rtol: 1e-3,
      atol: 1e-3,
    });
    return { errorEstimate: errorEstimate!, stiffness: stiffness! };
  });
  expect((await values(step.errorEstimate))[0]).toBeLessThan(1e-9);
  expect((await values(step.stiffness))[0]).toBeLessThan(1e-9);
  for (const x of [u, step.errorEstimate, step.stiffness]) x.dispose();
});

describe('NeuralODE', () => {
  /** Learns to turn a point by a quarter of a circle. */
  async function learn(options: object, weight = 0, count = 15) {
    const weights = variable(
      tensor2d([
        [0.1, 0.2],
        [-0.1, 0.1],
      ]),
    );
    const u0 = tensor2d([
      [1, 0],
      [0, 1],
      [0.5, 0.5],
    ]);
    const target = tensor2d([
      [0, 1],
      [-1, 0],
      [-0.5, 0.5],
    ]);
    const ode = new NeuralODE((_, u) => matMul(u as Tensor2D, weights as Tensor2D), {
      rtol: 1e-3,
      atol: 1e-3,
      initialStep: 0.1,
      ...options,
    });
    const optimizer = train.adam(0.1);
    const steps = [];
    const task = (u: Tensor) => mean(square(sub(u, target))) as Scalar;
    for (let i = 0; i < count; i++) steps.push(await ode.minimize(optimizer, u0, task, { weight }));
    const got = await values(weights);
    optimizer.dispose();
    for (const x of [weights, u0, target]) x.dispose();
    return { steps, got };
  }

  test('learns through the solver', async () => {
    const { steps, got } = await learn({}, 0, 60);
    expect(steps[0]!.task).toBeGreaterThan(0.5);
    expect(steps.at(-1)!.task).toBeLessThan(0.01);
    expect(got[1]).toBeGreaterThan(1);
    expect(got[2]).toBeLessThan(-1);
    expect(steps[0]!.loss).toBe(steps[0]!.task);
  });

  test.each(['error', 'stiffness', 'both'])('%s is held down', async (regularizer) => {
    const free = await learn({ regularizer }, 0);
    const weight = regularizer === 'error' ? 3000 : 3;
    const held = await learn({ regularizer }, weight);
    expect(held.steps.at(-1)!.regularization).toBeLessThan(free.steps.at(-1)!.regularization);
    const { loss, task, regularization } = held.steps[7]!;
    expect(loss / (task + weight * regularization)).toBeCloseTo(1, 5);
  });

  test('STEER ends at times of its seed', async () => {
    const ends = async (seed: number) => {
      const { steps } = await learn({ steer: 0.5, seed }, 0, 4);
      return steps.map(({ stats }) => stats.steps.reduce((a, b) => a + b));
    };
    const [one, again, other] = [await ends(1), await ends(1), await ends(2)];
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    for (const end of one) expect(Math.abs(end - 1)).toBeLessThan(0.5);
    expect(new Set(one).size).toBe(4);
  });

  test('a loss that is not finite changes nothing, and nothing leaks', async () => {
    const weights = variable(tensor1d([0.5]));
    const u0 = tensor1d([1]);
    const ode = new NeuralODE((_, u) => mul(u, weights), { regularizer: 'error' });
    const optimizer = train.sgd(0.1);
    const bad = () => ode.minimize(optimizer, u0, (u) => div(sum(u), 0) as Scalar);
    expect(await failure(bad())).toBeInstanceOf(NonFiniteError);
    expect(await values(weights)).toEqual([0.5]);
    const { tensors } = await measureLeaks(async () => {
      await failure(bad());
      await ode.minimize(
        optimizer,
        () => mul(u0, 2),
        (u) => sum(u) as Scalar,
      );
    });
    expect(tensors).toBe(0);
    optimizer.dispose();
    weights.dispose();
    u0.dispose();
  });

  test('refuses a regulariser for a method without estimates', () => {
    const options = { method: 'rk4', stepSize: 0.1, regularizer: 'error' } as const;
    expect(() => new NeuralODE(growth, options)).toThrow("regularizer must be 'none' for rk4");
  });
});
