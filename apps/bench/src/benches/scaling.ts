/** The eigenframework at a million modes, and the regression it predicts beside NumPy and scikit-learn. */
import { optimalRidge, powerlawSpectrum, RandomFeatureRegressor, rfRisk } from '@orth/scaling';
import { type Tensor1D, type Tensor2D, tensor1d, tensor2d, tidy } from '@tensorflow/tfjs-core';
import type { Bench, BenchCase, BenchContext, FigureCase } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';

const RIDGE = 0.1;
const METHODS = { numpy: 'numpy.linalg.solve', sklearn: 'scikit-learn KernelRidge' };

/** (K + δI)⁻¹y by elimination in float64, and K times that: predictions on the training rows. */
function reference(F: Float32Array, y: Float32Array, k: number): Float64Array {
  const n = y.length;
  const K = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let s = 0;
      for (let c = 0; c < k; c++) s += F[i * k + c]! * F[j * k + c]!;
      K[i]![j] = s;
      K[j]![i] = s;
    }
  }
  const A = K.map((row, i) => row.map((v, j) => (i === j ? v + RIDGE : v)));
  const b = Float64Array.from(y);
  for (let c = 0; c < n; c++) {
    for (let r = c + 1; r < n; r++) {
      const f = A[r]![c]! / A[c]![c]!;
      for (let j = c; j < n; j++) A[r]![j]! -= f * A[c]![j]!;
      b[r]! -= f * b[c]!;
    }
  }
  for (let r = n - 1; r >= 0; r--) {
    for (let j = r + 1; j < n; j++) b[r]! -= A[r]![j]! * b[j]!;
    b[r]! /= A[r]![r]!;
  }
  return Float64Array.from(K, (row) => row.reduce((s, v, j) => s + v * b[j]!, 0));
}

function regressionCase(context: BenchContext, n: number, k: number): BenchCase {
  return {
    name: 'scaling/ridge-on-features',
    size: `${n}x${k}`,
    errorMeasure: 'greatest error of a prediction on the training rows against float64',
    async prepare() {
      const random = context.random(n);
      const F = Float32Array.from({ length: n * k }, () => random.normal() / Math.sqrt(k));
      const y = Float32Array.from({ length: n }, () => random.normal());
      const want = reference(F, y, k);
      const [X, Y] = [tensor2d(F, [n, k]) as Tensor2D, tensor1d(y) as Tensor1D];
      const worst = (got: ArrayLike<number>) =>
        want.reduce((e, w, i) => Math.max(e, Math.abs(got[i]! - w)), 0);
      const fitted = () =>
        new RandomFeatureRegressor({ features: (x) => x.clone(), k, ridge: RIDGE }).fit(X, Y);
      const predicted = async () => {
        const model = await fitted();
        const out = tidy(() => model.predict(X));
        const values = await out.data();
        out.dispose();
        model.dispose();
        return values;
      };
      const inputs = { F: { shape: [n, k], data: F }, y: { shape: [n], data: y } };
      const peers = await Promise.all(
        Object.entries(METHODS).map(([method, label]) =>
          context.python.torch({
            script: 'kernel_ridge',
            label,
            inputs,
            params: { method, ridge: RIDGE },
            error: ([out]) => worst(out!.data),
          }),
        ),
      );
      return {
        ours: inProcess('RandomFeatureRegressor, fit and predict', predicted, async () =>
          worst(await predicted()),
        ),
        peers: peers.flat(),
        dispose() {
          X.dispose();
          Y.dispose();
        },
      };
    },
  };
}

function millionModes(): FigureCase {
  return {
    name: 'scaling/eigenframework',
    size: '1e6 modes',
    measure() {
      const task = powerlawSpectrum({ modes: 1_000_000, alpha: 1.3, beta: 1.6 });
      const median = (run: () => unknown) => {
        const times = Array.from({ length: 5 }, () => {
          const start = performance.now();
          run();
          return performance.now() - start;
        });
        return times.sort((a, b) => a - b)[2]! / 1000;
      };
      const problem = { ...task, n: 1000, k: 3000, noise: 0.1 };
      return [
        {
          what: 'rfRisk: κ, γ, train and test risk',
          value: median(() => rfRisk({ ...problem, ridge: 1e-3 })),
          unit: 's',
          atMost: 1,
        },
        { what: 'optimalRidge', value: median(() => optimalRidge(problem)), unit: 's' },
      ];
    },
  };
}

export const bench: Bench = {
  name: 'scaling',
  description: 'the random-feature eigenframework at a million modes; ridge regression on features',
  cases(context) {
    const sizes = context.quick
      ? [[200, 800]]
      : [
          [200, 800],
          [500, 2000],
        ];
    return sizes.map(([n, k]) => regressionCase(context, n!, k!));
  },
  figures: () => [millionModes()],
};
