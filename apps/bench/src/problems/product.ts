import { matMul } from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';
import { execute, takeToHost, toDevice } from '../harness/deviceTensor.js';
import { jaxJs } from '../harness/jaxJs.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';
import type { HostTensor } from '../harness/pythonPeers.js';

/** A product of matrices or of batches of them. */
export interface Product {
  readonly label: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeB?: boolean;
}

/** Entries of the result that are checked in float64. */
const CHECKED = 200;

/** Greatest difference to float64 over the greatest entry, at places spread over the result. */
function errorAgainst(a: HostTensor, b: HostTensor, transposeB: boolean) {
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape.at(transposeB ? -2 : -1)!;
  return ({ data }: HostTensor): number => {
    let worst = 0;
    let scale = 0;
    for (let c = 0; c < CHECKED; c++) {
      const at = Math.floor((c * 0.618034 * data.length) % data.length);
      const [batch, i, j] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
      let want = 0;
      for (let l = 0; l < k; l++) {
        const right = batch * k * n + (transposeB ? j * k + l : l * n + j);
        want += a.data[(batch * m + i) * k + l]! * b.data[right]!;
      }
      worst = Math.max(worst, Math.abs(want - data[at]!));
      scale = Math.max(scale, Math.abs(want));
    }
    return worst / scale;
  };
}

/** A product on the active backend, in tfjs alone, in jax-js and in PyTorch. */
export function productCase(context: BenchContext, product: Product): BenchCase {
  const { label, a: aShape, b: bShape, transposeB = false } = product;
  return {
    name: 'backends/matmul',
    size: label,
    errorMeasure: 'greatest |difference| to float64 over the greatest |entry|, 200 entries',
    async prepare() {
      const random = context.random(
        aShape.concat(bShape).reduce((key, n) => (key * 31 + n) | 0, 7),
      );
      const gaussian = (shape: readonly number[]): HostTensor => {
        const size = shape.reduce((total, n) => total * n, 1);
        return { shape, data: Float32Array.from({ length: size }, () => random.normal()) };
      };
      const [a, b] = [gaussian(aShape), gaussian(bShape)];
      const error = errorAgainst(a, b, transposeB);
      const onTensors = (name: string) => {
        const [x, y] = [toDevice(a), toDevice(b)];
        const run = () => matMul(x, y, false, transposeB);
        const contestant = inProcess(
          name,
          () => execute(run),
          async () => error(await takeToHost(run())),
        );
        const dispose = () => {
          x.dispose();
          y.dispose();
        };
        return { ...contestant, dispose };
      };
      const ours = onTensors('matMul');
      return {
        ours,
        peers: [
          await plainTfjsContestant(() => onTensors(`${plainTfjsName()} matMul`)),
          await jaxJs({
            inputs: [a, b],
            compute: ({ numpy }, x, y) =>
              numpy.matmul(x, transposeB ? numpy.matrixTranspose(y) : y),
            error,
          }),
          ...(await context.python.torch({
            script: 'matmul',
            params: { transposeA: false, transposeB },
            inputs: { a, b },
            error: ([output]) => error(output!),
          })),
        ],
        dispose: () => ours.dispose(),
      };
    },
  };
}
