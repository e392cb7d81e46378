/** Dictionaries from streams, robust low-rank recovery and subspace clustering, beside scikit-learn and NumPy. */
import {
  affinity,
  atomError,
  bernoulliGaussian,
  clusteringAccuracy,
  type DictionaryPolar,
  lsr,
  matrixSensing,
  mspDictionary,
  OnlineOrthogonalDictionary,
  randomOrthogonal,
  spectralClustering,
  spectralInit,
  ssc,
  subgm,
  unionOfSubspaces,
} from '@orth/recovery';
import { type Tensor2D, tensor1d } from '@tensorflow/tfjs-core';
import type { Bench, BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess, type Peer } from '../harness/contestant.js';
import type { HostTensor, PythonPeer } from '../harness/pythonPeers.js';

const THETA = 0.3;
const ALPHA = 0.5;

/** scikit-learn's loops use one thread whatever is allowed. */
const oneThread = async (
  context: BenchContext,
  peer: Omit<PythonPeer, 'script'>,
): Promise<Peer[]> => (await context.python.torch({ script: 'recovery', ...peer })).slice(0, 1);

const hostOf = ({
  shape,
  data,
}: {
  shape: readonly number[];
  data: ArrayLike<number>;
}): HostTensor => ({
  shape,
  data: Float32Array.from(data),
});

/** Numbers that a contestant's last run gave, since errors are not promises of Python's. */
const columns = (D: HostTensor): number[][] => {
  const [n] = D.shape as [number];
  return Array.from({ length: n }, (_, i) => Array.from(D.data.slice(i * n, (i + 1) * n)));
};

/** `1 − mean_j max_i |⟨d0_i, d_j⟩| / ‖d_j‖` of host matrices. */
function atomErrorOf(D: HostTensor, D0: HostTensor): number {
  const [learnt, truth] = [columns(D), columns(D0)];
  const n = learnt.length;
  let total = 0;
  for (let j = 0; j < n; j++) {
    const norm = Math.hypot(...learnt.map((row) => row[j]!));
    let most = 0;
    for (let i = 0; i < n; i++) {
      const overlap = learnt.reduce((sum, row, e) => sum + row[j]! * truth[e]![i]!, 0);
      most = Math.max(most, Math.abs(overlap));
    }
    total += norm > 0 ? most / norm : 0;
  }
  return 1 - total / n;
}

function streamCase(context: BenchContext, n: number, batch: number, batches: number): BenchCase {
  return {
    name: 'recovery/dictionary-stream',
    size: `N=${n}, ${batches} batches of ${batch}`,
    errorMeasure: '1 − mean of the largest |cosine| of each atom with a true one',
    async prepare() {
      const D0 = randomOrthogonal(n, { seed: 1 });
      const Y = bernoulliGaussian(D0, { theta: THETA, batch: batch * batches, seed: 2 });
      const [truth, samples] = await Promise.all([D0.data(), Y.data()]);
      const total = batch * batches;
      const parts = Array.from({ length: batches }, (_, t) => {
        const data = new Float32Array(n * batch);
        for (let i = 0; i < n; i++) {
          data.set(samples.slice(i * total + t * batch, i * total + (t + 1) * batch), i * batch);
        }
        return { shape: [n, batch], data };
      });
      const learn = (polar: DictionaryPolar): Tensor2D => {
        const learner = new OnlineOrthogonalDictionary(n, { polar });
        for (const part of parts) learner.update(part);
        const D = learner.dictionary();
        learner.dispose();
        return D;
      };
      const ours = (name: string, polar: DictionaryPolar) =>
        inProcess(
          name,
          () => learn(polar).dispose(),
          async () => {
            const D = learn(polar);
            const error = await atomError(D, D0);
            D.dispose();
            return error;
          },
        );
      return {
        ours: ours('OnlineOrthogonalDictionary, exact', 'exact'),
        peers: [
          ...(await oneThread(context, {
            label: 'scikit-learn MiniBatchDictionaryLearning',
            params: { method: 'stream', batch, alpha: ALPHA },
            inputs: { Y: { shape: [n, total], data: Float32Array.from(samples) } },
            error: ([D]) => atomErrorOf(D!, { shape: [n, n], data: Float32Array.from(truth) }),
          })),
          ours('ours, newtonSchulz', 'newtonSchulz'),
        ],
        dispose() {
          D0.dispose();
          Y.dispose();
        },
      };
    },
  };
}

function batchCase(context: BenchContext, n: number, total: number): BenchCase {
  return {
    name: 'recovery/dictionary-batch',
    size: `N=${n}, ${total} samples`,
    errorMeasure: '1 − mean of the largest |cosine| of each atom with a true one',
    async prepare() {
      const D0 = randomOrthogonal(n, { seed: 1 });
      const Y = bernoulliGaussian(D0, { theta: THETA, batch: total, seed: 2 });
      const [truth, samples] = await Promise.all([D0.data(), Y.data()]);
      const learn = async () => (await mspDictionary(Y, { iterations: 30 })).D;
      return {
        ours: inProcess(
          'mspDictionary, p = 4',
          async () => (await learn()).dispose(),
          async () => {
            const D = await learn();
            const error = await atomError(D, D0);
            D.dispose();
            return error;
          },
        ),
        peers: await oneThread(context, {
          label: 'scikit-learn DictionaryLearning, 30 iterations',
          params: { method: 'batch', alpha: ALPHA, iterations: 30 },
          inputs: { Y: { shape: [n, total], data: Float32Array.from(samples) } },
          error: ([D]) => atomErrorOf(D!, { shape: [n, n], data: Float32Array.from(truth) }),
        }),
        dispose() {
          D0.dispose();
          Y.dispose();
        },
      };
    },
  };
}

function subgmCase(context: BenchContext, d: number, m: number, steps: number): BenchCase {
  return {
    name: 'recovery/subgm',
    size: `d=${d}, m=${m}, rank ${d}, ${steps} steps`,
    errorMeasure: '‖X − X*‖ / ‖X*‖, 20 % outliers',
    async prepare() {
      const { A, y, X: truth, dispose } = matrixSensing({ d, rank: 3, m, outliers: 0.2, seed: 1 });
      const U0 = await spectralInit(A, y, { rank: d, alpha: 1e-4 });
      const [wanted, measured, start] = await Promise.all([truth.data(), y.data(), U0.data()]);
      const matrices = new Float32Array(m * d * d);
      for (let i = 0; i < m; i++) {
        const unit = tensor1d(Float32Array.from({ length: m }, (_, k) => (k === i ? 1 : 0)));
        const row = A.adjoint(unit);
        matrices.set(await row.data(), i * d * d);
        unit.dispose();
        row.dispose();
      }
      const schedule = { eta0: 0.3, rho: 0.99, steps };
      const errorOf = (X: ArrayLike<number>) => {
        const norm = (f: (e: number) => number) =>
          Math.hypot(...Array.from(wanted, (_, e) => f(e)));
        return norm((e) => X[e]! - wanted[e]!) / norm((e) => wanted[e]!);
      };
      const recover = () => subgm(A, y, { rank: d, init: U0, ...schedule });
      return {
        ours: inProcess(
          'subgm',
          async () => {
            const { U, X } = await recover();
            U.dispose();
            X.dispose();
          },
          async () => {
            const { U, X } = await recover();
            const error = errorOf(await X.data());
            U.dispose();
            X.dispose();
            return error;
          },
        ),
        peers: await context.python.torch({
          script: 'recovery',
          label: 'the same steps in NumPy',
          params: { method: 'subgm', ...schedule },
          inputs: {
            A: { shape: [m, d, d], data: matrices },
            y: { shape: [m], data: Float32Array.from(measured) },
            U0: { shape: [d, d], data: Float32Array.from(start) },
          },
          error: ([X]) => errorOf(X!.data),
        }),
        dispose() {
          U0.dispose();
          dispose();
        },
      };
    },
  };
}

const subspaces = (perCluster: number) =>
  unionOfSubspaces({ clusters: 5, dim: 4, ambient: 64, perCluster, noise: 0.05, seed: 1 });

function spectralCase(context: BenchContext, perCluster: number): BenchCase {
  return {
    name: 'recovery/spectral-clustering',
    size: `n=${5 * perCluster}, 5 clusters`,
    errorMeasure: '1 − ACC',
    async prepare() {
      const { points, labels } = subspaces(perCluster);
      const W = await affinity(await lsr(points), { keep: 4 });
      const wrong = (found: ArrayLike<number>) => 1 - clusteringAccuracy(labels, found);
      return {
        ours: inProcess(
          'spectralClustering',
          () => spectralClustering(W, 5),
          async () => wrong(await spectralClustering(W, 5)),
        ),
        peers: await oneThread(context, {
          label: 'scikit-learn SpectralClustering',
          params: { method: 'spectral', clusters: 5 },
          inputs: { W: hostOf(W) },
          error: ([found]) => wrong(found!.data),
        }),
      };
    },
  };
}

/** Largest violation of the Lasso's conditions of optimality, in units of λ. */
function violation(
  C: ArrayLike<number>,
  X: { shape: readonly number[]; data: ArrayLike<number> },
  alpha: number,
) {
  const [n, d] = X.shape as [number, number];
  let worst = 0;
  for (let i = 0; i < n; i++) {
    const rest = Float64Array.from({ length: d }, (_, e) => X.data[i * d + e]!);
    for (let j = 0; j < n; j++) {
      for (let e = 0; e < d; e++) rest[e]! -= C[i * n + j]! * X.data[j * d + e]!;
    }
    const against = (j: number, from: ArrayLike<number>, at: number) => {
      let total = 0;
      for (let e = 0; e < d; e++) total += X.data[j * d + e]! * from[at + e]!;
      return total;
    };
    let most = 0;
    for (let j = 0; j < n; j++)
      if (j !== i) most = Math.max(most, Math.abs(against(j, X.data, i * d)));
    const lambda = most / alpha;
    for (let j = 0; j < n; j++) {
      if (j === i) continue;
      const c = C[i * n + j]!;
      const slope = against(j, rest, 0);
      const off = c === 0 ? Math.abs(slope) - lambda : Math.abs(slope - lambda * Math.sign(c));
      worst = Math.max(worst, off / lambda);
    }
  }
  return worst;
}

function sscCase(context: BenchContext, perCluster: number): BenchCase {
  return {
    name: 'recovery/ssc',
    size: `n=${5 * perCluster}, d=64, α = 20`,
    errorMeasure: 'largest violation of the optimality conditions, in λ',
    async prepare() {
      const raw = subspaces(perCluster).points;
      const [n, d] = raw.shape;
      const data = Float32Array.from(raw.data, (x, e) => {
        const from = Math.floor(e / d) * d;
        return x / Math.hypot(...raw.data.subarray(from, from + d));
      });
      const X = { shape: [n, d], data };
      const solve = async () => (await ssc(X, { normalize: false })).C.data;
      return {
        ours: inProcess('ssc', solve, async () => violation(await solve(), X, 20)),
        peers: await oneThread(context, {
          label: 'scikit-learn Lasso, point by point',
          params: { method: 'ssc', alpha: 20, tolerance: 1e-6 },
          inputs: { X },
          error: ([C]) => violation(C!.data, X, 20),
        }),
      };
    },
  };
}

export const bench: Bench = {
  name: 'recovery',
  description:
    'dictionaries from streams and batches, SubGM, SSC and spectral clustering beside scikit-learn and NumPy',
  cases(context) {
    const { quick } = context;
    return [
      streamCase(context, 20, 10, quick ? 100 : 300),
      streamCase(context, 64, 100, quick ? 5 : 20),
      batchCase(context, 20, quick ? 500 : 2000),
      subgmCase(context, 20, 600, quick ? 100 : 1200),
      ...(quick ? [] : [subgmCase(context, 50, 2000, 300)]),
      spectralCase(context, quick ? 20 : 100),
      sscCase(context, quick ? 10 : 40),
    ];
  },
};
