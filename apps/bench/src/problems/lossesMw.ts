/** The Mann–Whitney loss with its gradient: without its pairs, and with them. */
import { mwLoss, mwLossFromScores } from '@orth/losses';
import {
  div,
  expandDims,
  grads,
  mean,
  memory,
  profile,
  type Scalar,
  softplus,
  sub,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  valueAndGrads,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext, Figure, FigureCase } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import { isSynchronous } from '../harness/deviceTensor.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';

const TEMPERATURE = 0.05;

interface Problem {
  readonly positives: Float32Array;
  readonly negatives: Float32Array;
}

function problemOf(context: BenchContext, count: number): Problem {
  const random = context.random(count);
  const draw = (shift: number) =>
    Float32Array.from({ length: count }, () => Math.tanh(shift + 0.4 * random.normal()));
  return { positives: draw(0.5), negatives: draw(0) };
}

interface Result {
  readonly value: number;
  readonly slopes: readonly ArrayLike<number>[];
}

/** All pairs in float64. */
function reference({ positives, negatives }: Problem): Result {
  const pairs = positives.length * negatives.length;
  const byPositive = new Float64Array(positives.length);
  const byNegative = new Float64Array(negatives.length);
  let value = 0;
  for (let i = 0; i < positives.length; i++) {
    for (let j = 0; j < negatives.length; j++) {
      const x = (negatives[j]! - positives[i]!) / TEMPERATURE;
      const e = Math.exp(-Math.abs(x));
      value += (Math.max(x, 0) + Math.log1p(e)) / pairs;
      const slope = (x >= 0 ? 1 : e) / (1 + e) / TEMPERATURE / pairs;
      byPositive[i]! -= slope;
      byNegative[j]! += slope;
    }
  }
  return { value, slopes: [byPositive, byNegative] };
}

function errorOf(got: Result, want: Result): number {
  const [difference, size] = want.slopes.reduce<[number, number]>(
    ([a, b], w, k) => {
      for (let i = 0; i < w.length; i++) {
        a += (got.slopes[k]![i]! - w[i]!) ** 2;
        b += w[i]! ** 2;
      }
      return [a, b];
    },
    [0, 0],
  );
  return Math.max(Math.abs(got.value / want.value - 1), Math.sqrt(difference / size));
}

type Loss = (positives: Tensor, negatives: Tensor) => Tensor;

/** Every pair at once, through the tape. */
const naive: Loss = (positives, negatives) =>
  mean(softplus(div(sub(expandDims(negatives, 0), expandDims(positives, 1)), TEMPERATURE)));

const byCells: Loss = (p, n) =>
  mwLossFromScores(p, n, { temperature: TEMPERATURE, method: 'cells' });
const byBlocks: Loss = (p, n) =>
  mwLossFromScores(p, n, { temperature: TEMPERATURE, method: 'blocks', maxPairs: 2 ** 20 });

function contestant(name: string, problem: Problem, want: Result, loss: Loss): Contestant {
  const xs = [tensor1d(problem.positives), tensor1d(problem.negatives)];
  const both = valueAndGrads((...args: Tensor[]) => loss(args[0]!, args[1]!) as Scalar);
  const run = () => {
    const { value, grads: slopes } = both(xs);
    value.dispose();
    const last = slopes[1]!;
    slopes[0]!.dispose();
    if (isSynchronous()) return last.dispose();
    return last.data().then(() => last.dispose());
  };
  return {
    ...inProcess(name, run, async () => {
      const { value, grads: slopes } = both(xs);
      const got = {
        value: (await value.data())[0]!,
        slopes: await Promise.all(slopes.map((x) => x.data())),
      };
      for (const x of [value, ...slopes]) x.dispose();
      return errorOf(got, want);
    }),
    dispose: () => {
      for (const x of xs) x.dispose();
    },
  };
}

function pairsCase(context: BenchContext, count: number): BenchCase {
  return {
    name: 'losses/mw, loss and gradient',
    size: `${count} positives x ${count} negatives`,
    errorMeasure: 'mean loss and its gradient, the larger error relative to float64',
    async prepare() {
      const problem = problemOf(context, count);
      const want = reference(problem);
      const { positives, negatives } = problem;
      const torch: Peer[] = await context.python.torch({
        script: 'mw_pairs',
        label: 'all pairs',
        params: { temperature: TEMPERATURE },
        inputs: {
          positives: { shape: [count], data: positives },
          negatives: { shape: [count], data: negatives },
        },
        error: ([value, p, n]) =>
          errorOf({ value: value!.data[0]!, slopes: [p!.data, n!.data] }, want),
      });
      return {
        ours: contestant("mwLossFromScores, 'cells'", problem, want, byCells),
        peers: [
          await plainTfjsContestant(() =>
            contestant(`${plainTfjsName()} all pairs`, problem, want, naive),
          ),
          contestant("ours, 'blocks' of 2^20", problem, want, byBlocks),
          ...torch,
        ],
      };
    },
  };
}

/** Cases of the Mann–Whitney loss. */
export const mwCases = (context: BenchContext): readonly BenchCase[] =>
  (context.quick ? [1024] : [1024, 4096]).map((count) => pairsCase(context, count));

/** Memory of the three ways, and the loss of whole batches of embeddings, whose pairs no memory holds. */
export function mwFigures(context: BenchContext): readonly FigureCase[] {
  const batches = context.quick ? [1024] : [4096, 8192];
  const count = context.quick ? 1024 : 4096;
  return [
    {
      name: 'losses/mw, peak memory of tensors',
      size: `${count} x ${count}`,
      measure: () => measurePeaks(context, count),
    },
    ...batches.map((B) => ({
      name: 'losses/mw, in-batch loss and gradient',
      size: `${B} x 64`,
      measure: () => measureBatch(context, B),
    })),
  ];
}

async function measurePeaks(context: BenchContext, count: number): Promise<readonly Figure[]> {
  const problem = problemOf(context, count);
  const xs = [tensor1d(problem.positives), tensor1d(problem.negatives)];
  const peakOf = async (loss: Loss) => {
    const before = memory().numBytes;
    const { peakBytes } = await profile(() => {
      const slopes = grads((...args: Tensor[]) => loss(args[0]!, args[1]!))(xs);
      for (const x of slopes) x.dispose();
    });
    return (peakBytes - before) / 2 ** 20;
  };
  const figures = [
    { what: 'all pairs', value: await peakOf(naive), unit: 'MiB' },
    { what: "'blocks' of 2^20", value: await peakOf(byBlocks), unit: 'MiB', atMost: 25 },
    { what: "'cells'", value: await peakOf(byCells), unit: 'MiB', atMost: 1 },
  ];
  for (const x of xs) x.dispose();
  return figures;
}

async function measureBatch(context: BenchContext, B: number): Promise<readonly Figure[]> {
  const random = context.random(B);
  const draw = () => Float32Array.from({ length: B * 64 }, () => random.normal());
  const queries = draw();
  const documents = draw().map((x, i) => 0.5 * x + queries[i]!);
  const xs = [tensor2d(queries, [B, 64]), tensor2d(documents, [B, 64])];
  const loss = (q: Tensor, p: Tensor) =>
    mwLoss(q as Tensor2D, p as Tensor2D, { temperature: TEMPERATURE, method: 'cells' });
  const step = () => grads((...args: Tensor[]) => loss(args[0]!, args[1]!))(xs);
  const start = performance.now();
  const slopes = step();
  await slopes[0]!.data();
  const seconds = (performance.now() - start) / 1000;
  const { peakBytes } = await profile(() => {
    for (const x of step()) x.dispose();
  });
  for (const x of [...slopes, ...xs]) x.dispose();
  const pairs = B * B * (B - 1);
  return [
    { what: 'time', value: seconds, unit: 's' },
    { what: 'peak memory of tensors', value: peakBytes / 2 ** 30, unit: 'GiB', atMost: 4 },
    {
      what: 'the most that the process ever held',
      value: process.resourceUsage().maxRSS / 2 ** 20,
      unit: 'GiB',
      atMost: 4,
    },
    { what: 'all its pairs in float32 would take', value: (4 * pairs) / 2 ** 30, unit: 'GiB' },
  ];
}
