/** An output layer of D classes: the factored Z-loss layer beside a softmax layer, a training step each. */
import { SphericalOutputLayer } from '@orth/losses';
import {
  cast,
  keep,
  matMul,
  mul,
  oneHot,
  softmax,
  sub,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext, Figure, FigureCase } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import { isSynchronous } from '../harness/deviceTensor.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';

const d = 128;
const m = 64;
/** Batches that steps take in turn. */
const BATCHES = 8;
const RATE = 1;
/** Examples that errors are measured on. */
const CHECKED = 4;
const Z = { a: 0.3, b: 10 };
/** Classes up to which a softmax layer is run in this process: beyond, W, its gradient and its successor exceed wasm. */
const MOST_FOR_TFJS = 100_000;

interface Problem {
  readonly D: number;
  readonly weights: Float32Array;
  readonly hidden: readonly Float32Array[];
  readonly labels: readonly Int32Array[];
}

function problemOf(context: BenchContext, D: number): Problem {
  const random = context.random(D);
  const scale = 0.1 * Math.sqrt(12);
  return {
    D,
    // Uniform: a hundred million normal numbers take longer than the rest of the case.
    weights: Float32Array.from({ length: D * d }, () => scale * (random.uniform() - 0.5)),
    hidden: Array.from({ length: BATCHES }, () =>
      Float32Array.from({ length: m * d }, () => random.normal()),
    ),
    labels: Array.from({ length: BATCHES }, () =>
      Int32Array.from({ length: m }, () => random.integer(0, D - 1)),
    ),
  };
}

/** Gradients by the first hidden vectors in float64, of the loss of each, one after the other. */
function reference({ D, weights, hidden, labels }: Problem, loss: 'zLoss' | 'softmax') {
  const out = new Float64Array(CHECKED * d);
  for (let i = 0; i < CHECKED; i++) {
    const h = hidden[0]!.subarray(i * d, (i + 1) * d);
    const c = labels[0]![i]!;
    const o = new Float64Array(D);
    for (let k = 0; k < D; k++) {
      let sum = 0;
      for (let j = 0; j < d; j++) sum += weights[k * d + j]! * h[j]!;
      o[k] = sum;
    }
    const slope = loss === 'zLoss' ? zSlopes(o, c) : softmaxSlopes(o, c);
    for (let k = 0; k < D; k++) {
      for (let j = 0; j < d; j++) out[i * d + j]! += slope[k]! * weights[k * d + j]!;
    }
  }
  return out;
}

function zSlopes(o: Float64Array, c: number): Float64Array {
  const D = o.length;
  const mean = o.reduce((a, b) => a + b) / D;
  const deviation = Math.sqrt(o.reduce((a, b) => a + (b - mean) ** 2, 0) / D);
  const z = o.map((x) => (x - mean) / deviation);
  const g = -1 / (1 + Math.exp(-Z.a * (Z.b - z[c]!)));
  return z.map((zk, k) => (g * (Number(k === c) - (1 + z[c]! * zk) / D)) / deviation);
}

function softmaxSlopes(o: Float64Array, c: number): Float64Array {
  const top = o.reduce((a, b) => Math.max(a, b));
  const p = o.map((x) => Math.exp(x - top));
  const total = p.reduce((a, b) => a + b);
  return p.map((x, k) => x / total - Number(k === c));
}

function relativeError(got: ArrayLike<number>, want: Float64Array, factor: number): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    difference += (got[i]! * factor - want[i]!) ** 2;
    size += want[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

function layerOf({ D, weights }: Problem): SphericalOutputLayer {
  return new SphericalOutputLayer({
    classes: D,
    inputSize: d,
    lossOptions: Z,
    initialWeights: weights,
  });
}

function factored(problem: Problem): Contestant {
  const { hidden, labels } = problem;
  const layer = layerOf(problem);
  const h = hidden.map((data) => tensor2d(data, [m, d]));
  const y = labels.map((data) => tensor1d(data, 'int32'));
  let next = 0;
  const step = (learningRate: number, at: number) =>
    isSynchronous()
      ? layer.trainStep(h[at]!, y[at]!, { learningRate })
      : layer.trainStepAsync(h[at]!, y[at]!, { learningRate });
  const run = () => {
    const result = step(RATE, next++ % BATCHES);
    if (result instanceof Promise) return result.then((r) => r.hiddenGradient.dispose());
    result.hiddenGradient.dispose();
    return undefined;
  };
  return {
    ...inProcess('SphericalOutputLayer, Z-loss', run, async () => {
      const { hiddenGradient } = await step(0, 0);
      const got = await hiddenGradient.data();
      hiddenGradient.dispose();
      return relativeError(got, reference(problem, 'zLoss'), m);
    }),
    threads: 1,
    dispose: () => {
      layer.dispose();
      for (const x of [...h, ...y]) x.dispose();
    },
  };
}

/** The same step with softmax, by hand and with as few operations as there can be: no tape, one-hot labels ready. */
function softmaxLayer(problem: Problem, name: string): Contestant {
  const { D, weights, hidden, labels } = problem;
  const h = hidden.map((data) => tensor2d(data, [m, d]));
  const y = labels.map((data) => tidy(() => cast(oneHot(tensor1d(data, 'int32'), D), 'float32')));
  let W: Tensor2D = tensor2d(weights, [D, d]);
  let next = 0;
  const step = (rate: number, at: number) => {
    const result = tidy(() => {
      const slope = mul(sub(softmax(matMul(h[at]!, W, false, true)), y[at]!), 1 / m) as Tensor2D;
      const gradient = matMul(slope, W);
      if (rate === 0) return { gradient, W };
      return { gradient, W: keep(sub(W, mul(matMul(slope, h[at]!, true), rate))) as Tensor2D };
    });
    if (result.W !== W) W.dispose();
    W = result.W;
    return result.gradient;
  };
  const run = () => {
    const gradient = step(RATE, next++ % BATCHES);
    if (isSynchronous()) return gradient.dispose();
    return gradient.data().then(() => gradient.dispose());
  };
  return {
    ...inProcess(name, run, async () => {
      const gradient = step(0, 0);
      const got = await gradient.data();
      gradient.dispose();
      return relativeError(got, reference(problem, 'softmax'), m);
    }),
    dispose: () => {
      for (const x of [W, ...h, ...y]) x.dispose();
    },
  };
}

function torchSoftmax(context: BenchContext, problem: Problem): Promise<Peer[]> {
  const { D, weights, hidden, labels } = problem;
  const inputs = {
    hidden: { shape: [m, d], data: hidden[0]! },
    labels: { shape: [m], data: Float32Array.from(labels[0]!) },
    ...(D <= MOST_FOR_TFJS && { weights: { shape: [D, d], data: weights } }),
  };
  return context.python.torch({
    script: 'softmax_layer',
    label: 'softmax',
    params: { rate: RATE, classes: D },
    inputs,
    // With weights of its own there is nothing to compare with.
    error: ([, gradient]) =>
      'weights' in inputs
        ? relativeError(gradient!.data, reference(problem, 'softmax'), m)
        : Number.NaN,
  });
}

function layerCase(context: BenchContext, D: number): BenchCase {
  return {
    name: 'losses/output layer, training step',
    size: `${m}x${d}, ${D.toLocaleString('en')} classes`,
    errorMeasure: 'gradient by the hidden vectors, each of its own loss, relative to float64',
    async prepare() {
      const problem = problemOf(context, D);
      const plain = `${plainTfjsName()} softmax`;
      const own = `softmax on ${context.backend} as we have it`;
      const tooLarge = 'its weights, their gradient and successor exceed 1.5 GB';
      const fits = D <= MOST_FOR_TFJS;
      const softmaxPeers: Peer[] = fits
        ? [
            await plainTfjsContestant(() => softmaxLayer(problem, plain)),
            softmaxLayer(problem, own),
          ]
        : [plain, own].map((name) => ({ name, absent: tooLarge }));
      return {
        ours: factored(problem),
        peers: [...softmaxPeers, ...(await torchSoftmax(context, problem))],
      };
    },
  };
}

const sizes = (quick: boolean) => (quick ? [1000, 10_000, 100_000] : [1000, 10_000, 100_000, 1e6]);

/** Cases of the output layer. */
export const sphericalCases = (context: BenchContext): readonly BenchCase[] =>
  sizes(context.quick).map((D) => layerCase(context, D));

/** Whether a step takes the same time for every D, and what the largest layer takes in memory. */
export function sphericalFigures(context: BenchContext): readonly FigureCase[] {
  const [small, large] = [10_000, context.quick ? 100_000 : 1_000_000];
  return [
    {
      name: 'losses/output layer, time by classes',
      size: `${m}x${d}, ${large.toLocaleString('en')} against ${small.toLocaleString('en')} classes`,
      measure: () => measureGrowth(context, small, large),
    },
  ];
}

async function measureGrowth(
  context: BenchContext,
  small: number,
  large: number,
): Promise<readonly Figure[]> {
  const contestants = [small, large].map((D) => factored(problemOf(context, D)));
  const samples: [number[], number[]] = [[], []];
  for (const c of contestants) await c.time(20);
  // In turn, so that a machine that slows down does so for both; renormalisations are part of it.
  for (let round = 0; round < 30; round++) {
    for (const [i, c] of contestants.entries()) samples[i]!.push((await c.time(8)) / 8);
  }
  const total = (list: number[]) => list.reduce((a, b) => a + b, 0);
  const resident = process.memoryUsage.rss() / 2 ** 30;
  for (const c of contestants) await c.dispose?.();
  return [
    {
      what: 'ratio of mean times',
      value: total(samples[1]) / total(samples[0]),
      unit: '',
      atMost: 2,
    },
    {
      what: 'ratio of least times',
      value: Math.min(...samples[1]) / Math.min(...samples[0]),
      unit: '',
      atMost: 2,
    },
    { what: 'resident memory of the process', value: resident, unit: 'GiB', atMost: 4 },
  ];
}
