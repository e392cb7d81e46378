/** Slow float64 counterparts of the library, to test it against. */
import { seededRandom } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import { svd } from '../src/svd.js';

/** A matrix batch on the host. */
export interface HostTensor {
  readonly shape: number[];
  readonly data: Float32Array;
}

/** Independent standard normal numbers, the same on every backend. */
export function gaussian(seed: number, shape: number[], scale = 1): HostTensor {
  const random = seededRandom(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  return { shape, data: Float32Array.from({ length: size }, () => scale * random.normal()) };
}

export const toTensor = ({ shape, data }: HostTensor): Tensor => tensor(data, shape, 'float32');

/** `U diag(f(σ)) Vᵀ` for each matrix of a batch; `f` gets all singular values of the matrix. */
export function mapSpectrum(
  { shape, data }: HostTensor,
  f: (values: Float64Array) => ArrayLike<number>,
): Float64Array {
  const [m, n] = shape.slice(-2) as [number, number];
  const [k, l] = [Math.min(m, n), Math.max(m, n)];
  const at = (i: number, j: number) => (m > n ? j * n + i : i * n + j);
  const out = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += m * n) {
    const wide = Float64Array.from(
      { length: k * l },
      (_, ij) => data[start + at(Math.floor(ij / l), ij % l)]!,
    );
    const { values, left, right, rank } = svd(wide, k, l);
    const mapped = f(values);
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < l; j++) {
          out[start + at(i, j)]! += left[r * k + i]! * mapped[r]! * right[r * l + j]!;
        }
      }
    }
  }
  return out;
}

/** A matrix with the given singular values between random orthogonal factors. */
export function withSpectrum(seed: number, m: number, n: number, values: number[]): HostTensor {
  const data = mapSpectrum(gaussian(seed, [m, n]), () => values);
  return { shape: [m, n], data: Float32Array.from(data) };
}

export const frobenius = (values: Iterable<number>): number => Math.hypot(...values);
