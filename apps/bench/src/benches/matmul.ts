/** float32 matrix products with every combination of transposes: what all the rest is made of. */
import { matMul, tidy, transpose } from '@tensorflow/tfjs-core';
import type { Bench, BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess, type Peer } from '../harness/contestant.js';
import { execute, takeToHost, toDevice } from '../harness/deviceTensor.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';
import type { HostTensor } from '../harness/pythonPeers.js';
import { type Matrix64, matrix64, productTransposed, transpose64 } from '../reference/matrix64.js';

/** `[m, k, n]` of an m×k by k×n product. */
type Size = readonly [number, number, number];

const QUICK_SIZES: Size[] = [
  [64, 64, 64],
  [256, 256, 256],
];
const FULL_SIZES: Size[] = [
  [16, 16, 16],
  [64, 64, 64],
  [128, 512, 512],
  [256, 256, 256],
  [512, 512, 512],
  [768, 3072, 768],
  [1024, 1024, 1024],
];

/** Rows of the result that are checked in float64. */
const CHECKED_ROWS = 16;

/** Rows `[first, first + count)` of the m×k operand, in float64 and not transposed. */
function leftRows({ shape, data }: HostTensor, transposed: boolean, count: number): Matrix64 {
  const [rows, columns] = shape as [number, number];
  const whole = matrix64(rows, columns, data);
  const { columns: k, data: straight } = transposed ? transpose64(whole) : whole;
  return matrix64(count, k, straight.subarray(0, count * k));
}

function matmulCase(
  context: BenchContext,
  [m, k, n]: Size,
  transposeA: boolean,
  transposeB: boolean,
): BenchCase {
  const letter = (flag: boolean, x: string) => (flag ? `${x}ᵀ` : x);
  return {
    name: `matmul/${letter(transposeA, 'A')}${letter(transposeB, 'B')}`,
    size: `${m}x${k}x${n}`,
    errorMeasure: 'greatest |difference| to float64 over the greatest |entry|, first rows',
    async prepare() {
      const random = context.random(m * 7919 + k * 31 + n);
      const gaussian = (shape: number[]): HostTensor => ({
        shape,
        data: Float32Array.from({ length: shape[0]! * shape[1]! }, () => random.normal()),
      });
      const a = gaussian(transposeA ? [k, m] : [m, k]);
      const b = gaussian(transposeB ? [n, k] : [k, n]);
      const count = Math.min(CHECKED_ROWS, m);
      const right = matrix64(b.shape[0]!, b.shape[1]!, b.data);
      const want = productTransposed(
        leftRows(a, transposeA, count),
        transposeB ? right : transpose64(right),
      );
      const scale = want.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const errorOf = ({ data }: HostTensor) =>
        want.data.reduce((most, x, i) => Math.max(most, Math.abs(x - data[i]!)), 0) / scale;

      const [A, B] = [toDevice(a), toDevice(b)];
      const compute = () => matMul(A, B, transposeA, transposeB);
      const plain = () =>
        tidy(() => matMul(transposeA ? transpose(A) : A, transposeB ? transpose(B) : B));
      const peers: Peer[] = [
        await plainTfjsContestant(() => {
          const [own, other] = [toDevice(a), toDevice(b)];
          const run = () => matMul(own, other, transposeA, transposeB);
          const contestant = inProcess(
            `${plainTfjsName()} matMul`,
            () => execute(run),
            async () => errorOf(await takeToHost(run())),
          );
          return {
            ...contestant,
            dispose() {
              own.dispose();
              other.dispose();
            },
          };
        }),
      ];
      if (transposeA || transposeB) {
        peers.push(
          inProcess(
            'ours, transpose then matMul',
            () => execute(plain),
            async () => errorOf(await takeToHost(plain())),
          ),
        );
      }
      return {
        ours: inProcess(
          'matMul',
          () => execute(compute),
          async () => errorOf(await takeToHost(compute())),
        ),
        peers: [
          ...peers,
          ...(await context.python.torch({
            script: 'matmul',
            params: { transposeA, transposeB },
            inputs: { a, b },
            error: ([output]) => errorOf(output!),
          })),
        ],
        dispose() {
          A.dispose();
          B.dispose();
        },
      };
    },
  };
}

export const bench: Bench = {
  name: 'matmul',
  description: 'matrix products with every combination of transposes against tfjs and PyTorch',
  cases(context) {
    const sizes = context.quick ? QUICK_SIZES : FULL_SIZES;
    const flags = [false, true];
    return sizes.flatMap((size) =>
      flags.flatMap((a) => flags.map((b) => matmulCase(context, size, a, b))),
    );
  },
};
