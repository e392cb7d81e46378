/** The Lasso beside scikit-learn, FISTA and unrolled ISTA beside PyTorch: the same problem and accuracy. */
import type { Random } from '@orth/backend';
import { fista, lasso, lassoPath, lipschitz, UnfoldedSparseRecovery } from '@orth/unfolding';
import { type Tensor, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext, FigureCase } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';

const ERROR = 'largest excess of the objective over its minimum, relative';
/** Of the duality gap, relative to ½‖y‖² (ours) or ‖y‖² (scikit-learn). */
const TOLERANCE = 1e-4;

interface SparseInput {
  readonly A: HostTensor;
  readonly y: HostTensor;
}

/** Gaussian A of columns of norm about 1, one unknown in twenty, noise 0.05; λ a tenth of the largest that matters. */
function input(random: Random, m: number, n: number, batch: number): SparseInput {
  const A = Float32Array.from({ length: m * n }, () => random.normal() / Math.sqrt(m));
  const y = new Float32Array(batch * m);
  for (let b = 0; b < batch; b++) {
    for (let j = 0; j < n; j++) {
      if (random.uniform() >= 0.05) continue;
      const x = random.normal();
      for (let i = 0; i < m; i++) y[b * m + i]! += A[i * n + j]! * x;
    }
    for (let i = 0; i < m; i++) y[b * m + i]! += 0.05 * random.normal();
  }
  return { A: { shape: [m, n], data: A }, y: { shape: [batch, m], data: y } };
}

const onDevice = ({ shape, data }: HostTensor) => tensor2d(data, shape as [number, number]);

/** `½‖y − A x‖² + λ‖x‖₁` of rows of x, in float64; y's rows are used over and over. */
function objectives({ A, y }: SparseInput, x: ArrayLike<number>, lambdas: readonly number[]) {
  const [m, n] = A.shape as [number, number];
  return lambdas.map((lambda, b) => {
    let total = 0;
    for (let j = 0; j < n; j++) total += lambda * Math.abs(x[b * n + j]!);
    const from = (b % y.shape[0]!) * m;
    for (let i = 0; i < m; i++) {
      let r = y.data[from + i]!;
      for (let j = 0; j < n; j++) r -= A.data[i * n + j]! * x[b * n + j]!;
      total += (r * r) / 2;
    }
    return total;
  });
}

const excess = (got: readonly number[], least: ArrayLike<number>) =>
  Math.max(...got.map((F, i) => (F - least[i]!) / least[i]!), 0);

const parts = ([high, low]: readonly HostTensor[]) =>
  Array.from(high!.data, (value, i) => value + low!.data[i]!);

/** A tenth of the smallest λ at which some row is 0 throughout. */
async function tenth(A: Tensor2D, y: Tensor2D): Promise<number> {
  const { lambdas, x } = await lassoPath(A, y, { count: 1 });
  x.dispose();
  return lambdas[0]! / 10;
}

/** Ours in this process, from device inputs; `solve` returns rows of x. */
function ours(
  name: string,
  solve: () => Promise<Tensor>,
  error: (x: ArrayLike<number>) => number,
): Contestant {
  return inProcess(
    name,
    async () => (await solve()).dispose(),
    async () => {
      const x = await solve();
      const value = error(await x.data());
      x.dispose();
      return value;
    },
  );
}

function sklearn(
  context: BenchContext,
  label: string,
  inputs: SparseInput,
  params: Readonly<Record<string, unknown>>,
  least: ArrayLike<number>,
): Promise<Peer[]> {
  return context.python.torch({
    script: 'lasso',
    label,
    params,
    inputs: { A: inputs.A, y: inputs.y },
    accuracy: { params: { ...params, report: 'objective' }, inputs: { A: inputs.A, y: inputs.y } },
    error: (outputs) => excess(parts(outputs), least),
  });
}

function lassoCase(context: BenchContext, m: number, n: number, batch: number): BenchCase {
  return {
    name: 'unfolding/Lasso',
    size: `${batch} of ${m}x${n}`,
    errorMeasure: ERROR,
    async prepare() {
      const inputs = input(context.random(m), m, n, batch);
      const [A, y] = [onDevice(inputs.A), onDevice(inputs.y)];
      const lambda = await tenth(A, y);
      const exact = await lasso(A, y, { lambda, tolerance: 1e-11 });
      exact.x.dispose();
      const least = exact.objective;
      const lambdas = new Array<number>(batch).fill(lambda);
      const error = (x: ArrayLike<number>) => excess(objectives(inputs, x, lambdas), least);
      const run = async () => (await lasso(A, y, { lambda, tolerance: TOLERANCE })).x;
      const accelerated = async () =>
        (await fista(A, y, { lambda, steps: 3000, tolerance: TOLERANCE })).x;
      const params = { method: 'lasso', lambda, tolerance: TOLERANCE };
      const peers = await sklearn(context, 'scikit-learn Lasso', inputs, params, least);
      return {
        ours: { ...ours('lasso', run, error), threads: 1 },
        peers: [...peers.slice(0, 1), ours('ours, fista', accelerated, error)],
        dispose: () => {
          A.dispose();
          y.dispose();
        },
      };
    },
  };
}

function pathCase(context: BenchContext, m: number, n: number): BenchCase {
  return {
    name: 'unfolding/Lasso path',
    size: `100 λ, ${m}x${n}`,
    errorMeasure: ERROR,
    async prepare() {
      const inputs = input(context.random(m + 1), m, n, 1);
      const [A, y] = [onDevice(inputs.A), onDevice(inputs.y)];
      const exact = await lassoPath(A, y, { ratio: 0.01, tolerance: 1e-11 });
      const { lambdas } = exact;
      const least = objectives(inputs, await exact.x.data(), lambdas);
      exact.x.dispose();
      const error = (x: ArrayLike<number>) => excess(objectives(inputs, x, lambdas), least);
      const run = async () => (await lassoPath(A, y, { lambdas, tolerance: TOLERANCE })).x;
      const params = { method: 'path', lambdas, tolerance: TOLERANCE };
      const peers = await sklearn(context, 'scikit-learn lasso_path', inputs, params, least);
      return {
        ours: { ...ours('lassoPath', run, error), threads: 1 },
        peers: peers.slice(0, 1),
        dispose: () => {
          A.dispose();
          y.dispose();
        },
      };
    },
  };
}

const LAYERS = 10;

/** Step sizes of plain ISTA: learned ones are as dear. */
async function unrolledCase(context: BenchContext, inputs: SparseInput, batch: number) {
  const [A, y] = [onDevice(inputs.A), onDevice(inputs.y)];
  const step = 1 / (await lipschitz(A));
  const lambda = 0.1;
  const net = new UnfoldedSparseRecovery(A, { lambda, layers: LAYERS, init: step });
  const lambdas = new Array<number>(batch).fill(lambda);
  const first = net.apply(y);
  const want = objectives(inputs, await first.data(), lambdas);
  first.dispose();
  const run = async () => net.apply(y);
  const difference = (F: readonly number[]) =>
    Math.max(...F.map((value, i) => Math.abs(value - want[i]!) / want[i]!));
  const alphas = { shape: [LAYERS], data: new Float32Array(LAYERS).fill(step) };
  const all = { A: inputs.A, y: inputs.y, alphas };
  const params = { method: 'unrolled', lambda };
  const peers = await context.python.torch({
    script: 'lasso',
    label: 'the same in torch',
    params,
    inputs: all,
    accuracy: { params: { ...params, report: 'objective' }, inputs: all },
    error: (outputs) => difference(parts(outputs)),
  });
  return {
    ours: ours('UnfoldedSparseRecovery', run, (x) => difference(objectives(inputs, x, lambdas))),
    peers,
    dispose: () => {
      net.dispose();
      A.dispose();
      y.dispose();
    },
  };
}

/** Solvers of the l1 problem, and unrolled inference. */
export function lassoCases(context: BenchContext): BenchCase[] {
  const sizes = context.quick
    ? ([[100, 200, 20]] as const)
    : ([
        [100, 200, 50],
        [300, 1000, 20],
      ] as const);
  const batches = context.quick ? [100] : [1, 100, 1000];
  return [
    ...sizes.map(([m, n, batch]) => lassoCase(context, m, n, batch)),
    ...sizes.map(([m, n]) => pathCase(context, m, n)),
    ...batches.map(
      (batch): BenchCase => ({
        name: 'unfolding/unrolled inference',
        size: `${LAYERS} layers, ${batch} of 60x100`,
        errorMeasure: 'objective of the last layer, against our first run, relative',
        prepare: () => unrolledCase(context, input(context.random(7), 60, 100, batch), batch),
      }),
    ),
  ];
}

/** Layers a second of unrolled inference; a batch's layer counts once for each of its samples. */
export function unrolledFigures(context: BenchContext): FigureCase[] {
  const batches = context.quick ? [1, 100] : [1, 10, 100, 1000];
  return batches.map((batch) => ({
    name: 'unfolding/unrolled inference',
    size: `batch ${batch}, 60x100`,
    async measure() {
      const inputs = input(context.random(7), 60, 100, batch);
      const [A, y] = [onDevice(inputs.A), onDevice(inputs.y)];
      const net = new UnfoldedSparseRecovery(A, { lambda: 0.1, layers: LAYERS, init: 0.1 });
      const once = async () => {
        const x = net.apply(y);
        await x.data();
        x.dispose();
      };
      for (let i = 0; i < 3; i++) await once();
      const times: number[] = [];
      const end = performance.now() + (context.quick ? 200 : 1000);
      while (performance.now() < end || times.length < 5) {
        const start = performance.now();
        await once();
        times.push(performance.now() - start);
      }
      net.dispose();
      A.dispose();
      y.dispose();
      const median = times.sort((p, q) => p - q)[times.length >> 1]!;
      return [
        { what: 'layers of a batch', value: (1000 * LAYERS) / median, unit: '1/s' },
        { what: 'layers of a sample', value: (1000 * LAYERS * batch) / median, unit: '1/s' },
      ];
    },
  }));
}
