import type { Adapter, AdapterContext } from '@orth/testing';
import { gather, matMul, range, type Tensor, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import {
  eigenstructure,
  type HostMatrix,
  kappaEstimate,
  krrRisk,
  optimalRidge,
  powerlawFittingRatio,
  powerlawSpectrum,
  RandomFeatureRegressor,
  reluKernel,
  reluKernelHost,
  rfRisk,
} from '../../src/index.js';
import { applyFeatures } from '../../src/randomFeatures/featureMaps.js';

type Config = { n: number; k?: number | string | null; ridge: number; noise?: number };

/** Spectrum in full precision, which tensors do not have. */
function taskOf({ fixture, params }: AdapterContext) {
  const { eigenvalues, eigencoeffs, coeffs } = fixture.inputs;
  return {
    eigenvalues: eigenvalues!.data,
    coeffs: (eigencoeffs ?? coeffs)!.data,
    ...(params.tail && { tail: params.tail }),
  };
}

const featuresOf = (k: Config['k']) => (typeof k === 'number' ? k : Infinity);
const noiseOf = (params: AdapterContext['params']) => params.noiseVar ?? params.noise ?? 0;
const configsOf = (params: AdapterContext['params']): Config[] => params.configs ?? [params];

/** One array for each number of the results. */
function columns<T extends object>(results: readonly T[], wanted: readonly string[]) {
  return Object.fromEntries(
    wanted.map((name) => [name, results.flatMap((r) => r[name as keyof T] as number)]),
  );
}

const rf: Adapter = (context) => {
  const { params, wanted } = context;
  const results = configsOf(params).map(({ n, k, ridge, noise }) =>
    rfRisk({ ...taskOf(context), n, k: featuresOf(k), ridge, noise: noise ?? noiseOf(params) }),
  );
  return columns(results, wanted);
};

const krr: Adapter = (context) => {
  const { params, wanted } = context;
  const results = configsOf(params).map(({ n, ridge, noise }) => {
    const all = krrRisk({ ...taskOf(context), n, ridge, noise: noise ?? noiseOf(params) });
    return { ...all, learnabilities: Array.from(all.learnabilities), gamma: all.kappa };
  });
  return columns(results, wanted);
};

const ridge: Adapter = (context) => {
  const { params, fixture } = context;
  const { M, alpha, beta, n, relativeNoise } = params;
  const given = fixture.inputs.eigenvalues !== undefined;
  const task = given ? taskOf(context) : powerlawSpectrum({ modes: M, alpha, beta });
  const k = featuresOf(params.k);
  const rel: number[] = [relativeNoise ?? 0].flat();
  const unit = rel.length > 0 ? krrRisk({ ...task, n, ridge: 0 }).testRisk : 0;
  const best = rel.map((r) => optimalRidge({ ...task, n, k, noise: r * unit }));
  const theory = rel.map((r) =>
    alpha === undefined ? 0 : powerlawFittingRatio({ alpha, beta, relativeNoise: r }).fittingRatio,
  );
  return {
    optimalTestRisk: best.map(({ testRisk }) => testRisk),
    optimalTrainRisk: best.map(({ trainRisk }) => trainRisk),
    optimalRidge: best.map((b) => b.ridge),
    fittingRatio: best.map(({ fittingRatio }) => fittingRatio),
    finiteSizeFittingRatio: best.map(({ fittingRatio }) => fittingRatio),
    fittingRatioTheory: theory,
    sigma2: rel.map((r) => r * unit),
  };
};

const rows = <T extends Tensor>(x: T, from: number, count: number): T =>
  tidy(() => gather(x, range(from, from + count, 1, 'int32'))) as T;

const regression: Adapter = async ({ fixture, inputs, params, wanted }) => {
  const X = inputs.X as Tensor2D;
  const y = inputs.y as Tensor2D;
  const W = inputs.W as Tensor2D;
  const N = X.shape[0];
  const n: number = params.n ?? N;
  const k = W.shape[0];
  const regressor = new RandomFeatureRegressor({ k, ridge: params.ridge, directions: W });
  const [seenX, seenY] = [rows(X, 0, n), rows(y, 0, n)];
  await regressor.fit(seenX, seenY);
  const outputs: Record<string, Tensor | ArrayLike<number> | number> = {
    kernel: reluKernel(X),
    featureKernel: tidy(() => {
      const F = applyFeatures('relu', X, { directions: W }, 1);
      return matMul(F, F, false, true);
    }),
    predictions: regressor.predict(X),
    trainMse: (await regressor.score(seenX, seenY)).mse,
  };
  if (n < N) {
    const [unseenX, unseenY] = [rows(X, n, N - n), rows(y, n, N - n)];
    outputs.testMse = (await regressor.score(unseenX, unseenY)).mse;
    unseenX.dispose();
    unseenY.dispose();
  }
  const d = X.shape[1];
  const data = Float64Array.from(fixture.inputs.X!.data.slice(0, n * d));
  const points: HostMatrix = { shape: [n, d], data };
  const K = reluKernelHost(points);
  const { eigenvalues, coeffs } = await eigenstructure(K, seenY);
  outputs.eigenvalues = eigenvalues;
  for (const name of wanted) {
    const count = /^absCoeffs(\d*)$/.exec(name)?.[1];
    if (count !== undefined) outputs[name] = coeffs.slice(0, count ? Number(count) : undefined);
  }
  outputs.kappaEstimate = kappaEstimate(K);
  for (const x of [seenX, seenY]) x.dispose();
  regressor.dispose();
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'scaling/rf-regression/rfRisk': rf,
  'scaling/rf-regression/krrRisk': krr,
  'scaling/rf-regression/optimalRidge': ridge,
  'scaling/rf-regression/rfRegression': regression,
};
