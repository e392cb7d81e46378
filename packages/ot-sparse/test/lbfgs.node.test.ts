import { describe, expect, it } from 'vitest';
import { interpolate } from '../src/cubicInterpolation.js';
import { minimizeLbfgs, type SmoothFunction } from '../src/lbfgs.js';

const rosenbrock: SmoothFunction = (x, g) => {
  let value = 0;
  g.fill(0);
  for (let i = 0; i + 1 < x.length; i++) {
    const r = x[i + 1]! - x[i]! ** 2;
    value += 100 * r * r + (1 - x[i]!) ** 2;
    g[i]! += -400 * x[i]! * r - 2 * (1 - x[i]!);
    g[i + 1]! += 200 * r;
  }
  return value;
};

const classicStart = (n: number) =>
  Float64Array.from({ length: n }, (_, i) => (i % 2 === 0 ? -1.2 : 1));

describe('minimizeLbfgs', () => {
  // scipy.optimize.minimize(method='L-BFGS-B', options={ftol: 0, gtol: 1e-8, maxcor: 10}), SciPy 1.10.1.
  it.each([
    [2, 38, 46],
    [10, 78, 96],
    [100, 542, 644],
    [1000, 4957, 5755],
  ])('needs about as many steps as SciPy on Rosenbrock in %i dimensions', (n, steps, calls) => {
    const options = { gradientTolerance: 1e-8, maxIterations: 6000 };
    const { x, value, iterations, evaluations, status } = minimizeLbfgs(
      rosenbrock,
      classicStart(n),
      options,
    );
    expect(status).toBe('gradientTolerance');
    expect(Math.max(...x.map((v) => Math.abs(v - 1)))).toBeLessThan(1e-8);
    expect(value).toBeLessThan(1e-16);
    expect(iterations).toBeLessThan(1.1 * steps);
    expect(evaluations).toBeLessThan(1.1 * calls);
  });

  it('minimises an ill-conditioned quadratic', () => {
    const scales = Float64Array.from({ length: 50 }, (_, i) => 10 ** (i / 16));
    const f: SmoothFunction = (x, g) => {
      let value = 0;
      scales.forEach((scale, i) => {
        g[i] = scale * (x[i]! - i);
        value += 0.5 * scale * (x[i]! - i) ** 2;
      });
      return value;
    };
    const result = minimizeLbfgs(f, new Float64Array(50), {
      gradientTolerance: 1e-9,
      maxIterations: 1000,
    });
    expect(result.status).toBe('gradientTolerance');
    result.x.forEach((x, i) => {
      expect(x).toBeCloseTo(i, 8);
    });
  });

  it('stops as asked', () => {
    const start = classicStart(10);
    expect(minimizeLbfgs(rosenbrock, start, { maxIterations: 3 })).toMatchObject({
      iterations: 3,
      status: 'maxIterations',
    });
    expect(minimizeLbfgs(rosenbrock, start, { functionTolerance: 1e-3 }).status).toBe(
      'functionTolerance',
    );
    const few = minimizeLbfgs(rosenbrock, start, { stop: (_x, _g, value) => value < 100 });
    expect(few.status).toBe('stopped');
    expect(few.value).toBeLessThan(100);
    const none = minimizeLbfgs(rosenbrock, new Float64Array(4).fill(1));
    expect(none).toMatchObject({ iterations: 0, status: 'gradientTolerance', value: 0 });
    expect([...start]).toEqual([...classicStart(10)]);
  });

  it('says so where a kink stops it', () => {
    const f: SmoothFunction = (x, g) => {
      g[0] = Math.sign(x[0]!) + 0.1;
      g[1] = x[1]!;
      return Math.abs(x[0]!) + 0.1 * x[0]! + 0.5 * x[1]! ** 2;
    };
    const { status, value } = minimizeLbfgs(f, Float64Array.of(3, 1));
    expect(status).toBe('lineSearchFailed');
    expect(value).toBeLessThan(1e-3);
  });

  it('steps over values that are not finite', () => {
    const f: SmoothFunction = (x, g) => {
      g[0] = 1 - 1 / x[0]!;
      return x[0]! > 0 ? x[0]! - Math.log(x[0]!) : Number.NaN;
    };
    const { x } = minimizeLbfgs(f, Float64Array.of(30), {
      initialStep: 100,
      gradientTolerance: 1e-9,
    });
    expect(x[0]).toBeCloseTo(1, 8);
  });
});

describe('interpolate', () => {
  it('finds the minimum of a cubic', () => {
    const at = (t: number) => ({
      step: t,
      value: t ** 3 - 3 * t,
      slope: 3 * t ** 2 - 3,
    });
    expect(interpolate(at(0), at(2.5))).toBeCloseTo(1, 12);
    expect(interpolate(at(2.5), at(0))).toBeCloseTo(1, 12);
  });

  it('halves where there is none', () => {
    const low = { step: 1, value: 0, slope: -1 };
    expect(interpolate(low, { step: 3, value: Infinity, slope: Number.NaN })).toBe(2);
  });
});
