/** Cross-entropy and its family: a loss with its gradient, beside `tf.losses.softmaxCrossEntropy`. */
import { compSumLoss } from '@orth/losses';
import {
  losses,
  oneHot,
  type Scalar,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  valueAndGrad,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess } from '../harness/contestant.js';
import { isSynchronous } from '../harness/deviceTensor.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';

type Labels = 'class indices' | 'one-hot labels';

interface Problem {
  readonly B: number;
  readonly n: number;
  readonly logits: Float32Array;
  readonly labels: Int32Array;
}

function problemOf(context: BenchContext, B: number, n: number): Problem {
  const random = context.random(B * n);
  return {
    B,
    n,
    logits: Float32Array.from({ length: B * n }, () => 3 * random.normal()),
    labels: Int32Array.from({ length: B }, () => random.integer(0, n - 1)),
  };
}

/** Mean loss and its gradient in float64. */
function reference({ B, n, logits, labels }: Problem, tau: number) {
  const gradient = new Float64Array(B * n);
  let loss = 0;
  for (let i = 0; i < B; i++) {
    const row = logits.subarray(i * n, (i + 1) * n);
    const y = labels[i]!;
    const top = row.reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (const s of row) total += Math.exp(s - top);
    const l = row[y]! - top - Math.log(total);
    const a = tau - 1;
    loss += (a === 0 ? -l : -Math.expm1(a * l) / a) / B;
    for (let k = 0; k < n; k++) {
      const p = Math.exp(row[k]! - top) / total;
      gradient[i * n + k] = (Math.exp(a * l) * (p - Number(k === y))) / B;
    }
  }
  return { loss, gradient };
}

/** The larger of the relative errors of value and gradient (Frobenius). */
function errorOf(value: number, slope: ArrayLike<number>, want: ReturnType<typeof reference>) {
  let [difference, size] = [0, 0];
  want.gradient.forEach((g, i) => {
    difference += (slope[i]! - g) ** 2;
    size += g * g;
  });
  return Math.max(Math.abs(value / want.loss - 1), Math.sqrt(difference / size));
}

function contestant(
  name: string,
  problem: Problem,
  form: Labels,
  tau: number,
  loss: (s: Tensor, y: Tensor) => Tensor,
): Contestant {
  const s = tensor2d(problem.logits, [problem.B, problem.n]);
  const indices = tensor1d(problem.labels, 'int32');
  // Without `dtype`, whose kernel on wasm writes integers into floats: both sides are given what tfjs's users have.
  const y = form === 'class indices' ? indices : oneHot(indices, problem.n);
  const both = valueAndGrad((x: Tensor) => loss(x, y) as Scalar);
  const execute = () => both(s);
  const run = () => {
    if (isSynchronous()) {
      tidy(() => {
        execute();
      });
      return undefined;
    }
    const { value, grad } = execute();
    value.dispose();
    return grad.data().then(() => grad.dispose());
  };
  const error = async () => {
    const { value, grad } = execute();
    const result = errorOf((await value.data())[0]!, await grad.data(), reference(problem, tau));
    value.dispose();
    grad.dispose();
    return result;
  };
  const dispose = () => {
    for (const x of [s, indices, y]) x.dispose();
  };
  return { ...inProcess(name, run, error), dispose };
}

function lossCase(
  context: BenchContext,
  [B, n]: readonly [number, number],
  form: Labels,
  tau: number,
): BenchCase {
  return {
    name: tau === 1 ? `losses/cross-entropy, ${form}` : `losses/comp-sum tau ${tau}, ${form}`,
    size: `${B}x${n}`,
    errorMeasure: 'mean loss and its gradient, the larger error relative to float64',
    async prepare() {
      const problem = problemOf(context, B, n);
      const ours = contestant('@orth/losses compSumLoss', problem, form, tau, (s, y) =>
        compSumLoss(s, y, { tau }),
      );
      // One-hot labels are ready before the clock starts, also where ours takes indices.
      const peer = await plainTfjsContestant(() =>
        contestant(`${plainTfjsName()} softmaxCrossEntropy`, problem, 'one-hot labels', 1, (s, y) =>
          losses.softmaxCrossEntropy(y, s),
        ),
      );
      return { ours, peers: [peer] };
    },
  };
}

const SIZES = [
  [128, 10],
  [128, 1000],
  [64, 10_000],
] as const;

/** Cases of the comp-sum family: a loss with its gradient on a batch. */
export function compSumCases(context: BenchContext): readonly BenchCase[] {
  return (context.quick ? SIZES.slice(0, 2) : SIZES).flatMap((size) => [
    lossCase(context, size, 'class indices', 1),
    lossCase(context, size, 'one-hot labels', 1),
    lossCase(context, size, 'class indices', 1.7),
  ]);
}
