/** L_orth of a convolution's kernel with its gradient: ours, by a convolution of the kernel, by the layer's whole matrix. */
import { convMatrix, lorth } from '@orth/lora-group';
import {
  conv2d,
  div,
  eye,
  matMul,
  pad,
  reshape,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor4D,
  tidy,
  transpose,
  valueAndGrad,
} from '@tensorflow/tfjs-core';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess } from '../harness/contestant.js';
import { isSynchronous } from '../harness/deviceTensor.js';

/** A 3×3 convolution at stride 1 on a square image. */
export interface PenalizedLayer {
  readonly channels: number;
  readonly side: number;
}

const TAPS = 3;
const MATRIX = 'the layer as a matrix';
/** Side of a matrix beyond which a sample takes many seconds. */
const MOST = 1024;

/** The usual way: correlation of the kernel with itself, padded by k − 1. */
function byConvolution(kernel: Tensor): Scalar {
  return tidy(() => {
    const border: [number, number] = [TAPS - 1, TAPS - 1];
    const image = pad(transpose(kernel, [3, 0, 1, 2]), [[0, 0], border, border, [0, 0]]);
    const R = conv2d(image as Tensor4D, kernel as Tensor4D, 1, 'valid');
    const M = kernel.shape[3]!;
    const at: [number, number] = [TAPS - 1, TAPS - 1];
    const wanted = pad(reshape(eye(M), [M, 1, 1, M]), [[0, 0], at, at, [0, 0]]);
    return sum(square(sub(R, wanted))) as Scalar;
  });
}

/** `‖𝒦𝒦ᵀ − I‖_F² / N²`, the same number. */
function byMatrix(kernel: Tensor, side: number): Scalar {
  return tidy(() => {
    const K = convMatrix(kernel, { size: side });
    const error = sub(matMul(K, K, false, true), eye(K.shape[0]));
    return div(sum(square(error)), side * side) as Scalar;
  });
}

/** In float64 by the definition. */
function exactly(K: ArrayLike<number>, channels: number): number {
  const reach = TAPS - 1;
  const tap = (y: number, x: number, c: number, m: number) =>
    K[((y * TAPS + x) * channels + c) * channels + m]!;
  let total = 0;
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      for (let a = 0; a < channels; a++) {
        for (let b = 0; b < channels; b++) {
          let r = dy === 0 && dx === 0 && a === b ? -1 : 0;
          for (let y = Math.max(0, -dy); y < Math.min(TAPS, TAPS - dy); y++) {
            for (let x = Math.max(0, -dx); x < Math.min(TAPS, TAPS - dx); x++) {
              for (let c = 0; c < channels; c++) r += tap(y, x, c, a) * tap(y + dy, x + dx, c, b);
            }
          }
          total += r * r;
        }
      }
    }
  }
  return total;
}

/** A case of the bench: the value and its gradient. */
export function penaltyCase(context: BenchContext, { channels, side }: PenalizedLayer): BenchCase {
  return {
    name: 'lora/L_orth and gradient',
    size: `3x3, ${channels} to ${channels}, image ${side}x${side}`,
    errorMeasure: 'value, relative to float64',
    async prepare() {
      const random = context.random(channels);
      const kernel = random.normalTensor(
        [TAPS, TAPS, channels, channels],
        0,
        1 / (TAPS * Math.sqrt(channels)),
      );
      const want = exactly(await kernel.data(), channels);
      const contestant = (name: string, penalty: (kernel: Tensor) => Scalar): Contestant => {
        const both = valueAndGrad((x: Tensor) => penalty(x));
        return inProcess(
          name,
          () => {
            const { value, grad } = both(kernel);
            value.dispose();
            if (isSynchronous()) {
              grad.dispose();
              return undefined;
            }
            return grad.data().then(() => grad.dispose());
          },
          async () => {
            const value = penalty(kernel);
            const [got] = await value.data();
            value.dispose();
            return Math.abs(got! - want) / want;
          },
        );
      };
      return {
        ours: contestant('lorth', (x) => lorth(x)),
        peers: [
          contestant('convolution of the kernel with itself', byConvolution),
          channels * side * side > MOST
            ? {
                name: MATRIX,
                absent: `a matrix of ${(channels * side * side) ** 2 / 1e6} million entries`,
              }
            : contestant(MATRIX, (x) => byMatrix(x, side)),
        ],
        dispose: () => kernel.dispose(),
      };
    },
  };
}
