/** The deep conjugate direction method on every backend, against float64 on the host. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  dispose,
  grad,
  memory,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor2d,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  cg,
  deepConjugateDirection,
  directionLoss,
  directionNet,
  poisson2d,
  poisson3d,
  ritzDataset,
  trainDirection,
} from '../../src/index.js';

const noise = (n: number, seed: number): Float32Array => {
  const random = seededRandom(seed);
  return Float32Array.from({ length: n }, () => random.normal());
};

/** A network's convolutions, in loops: grid `[depth, height, width]`, of depth 1 where kernels are planar. */
function network64(
  weights: readonly { readonly shape: readonly number[]; readonly data: ArrayLike<number> }[],
  x: Float32Array,
  grid: readonly [number, number, number],
): Float64Array {
  type Grid = readonly [number, number, number];
  const points = ([d, h, w]: Grid) => d * h * w;
  let layer = 0;
  const convolve = (input: Float64Array, [D, H, W]: Grid, linear = false): Float64Array => {
    const [kernel, bias] = [weights[2 * layer]!, weights[2 * layer + 1]!];
    layer++;
    const [inner, outer] = kernel.shape.slice(-2) as [number, number];
    const planar = kernel.shape.length === 4;
    const y = new Float64Array(D * H * W * outer);
    const offsets = [-1, 0, 1];
    for (let i = 0; i < D * H * W; i++) {
      const [d, h, w] = [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W];
      for (let o = 0; o < outer; o++) {
        let sum = bias.data[o]!;
        for (const dd of planar ? [0] : offsets) {
          for (const dh of offsets) {
            for (const dw of offsets) {
              const [a, b, c] = [d + dd, h + dh, w + dw];
              if (a < 0 || a >= D || b < 0 || b >= H || c < 0 || c >= W) continue;
              const tap = ((planar ? 0 : (dd + 1) * 3) + dh + 1) * 3 + dw + 1;
              for (let k = 0; k < inner; k++) {
                const weight = kernel.data[(tap * inner + k) * outer + o]!;
                sum += weight * input[((a * H + b) * W + c) * inner + k]!;
              }
            }
          }
        }
        y[i * outer + o] = linear ? sum : Math.max(sum, 0);
      }
    }
    return y;
  };
  const plus = (a: Float64Array, b: Float64Array) => a.map((v, i) => v + b[i]!);
  const pairs = (h: Float64Array, on: Grid, count: number) => {
    let y = h;
    for (let i = 0; i < count; i++) y = plus(convolve(convolve(y, on), on), y);
    return y;
  };
  const channels = weights[1]!.shape[0]!;
  const half = grid.map((n) => (n === 1 ? 1 : n / 2)) as unknown as Grid;
  const parent = (i: number) => {
    const [D, H, W] = grid;
    const [d, h, w] = [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W];
    return ((D === 1 ? 0 : d >> 1) * half[1] + (h >> 1)) * half[2] + (w >> 1);
  };
  const start = convolve(convolve(Float64Array.from(x), grid, true), grid);
  const fine = convolve(pairs(start, grid, 1), grid);
  const pooled = new Float64Array(points(half) * channels);
  const block = points(grid) / points(half);
  for (let e = 0; e < fine.length; e++) {
    pooled[parent(Math.floor(e / channels)) * channels + (e % channels)]! += fine[e]! / block;
  }
  const coarse = pairs(pooled, half, 3);
  const up = fine.map(
    (v, e) => v + coarse[parent(Math.floor(e / channels)) * channels + (e % channels)]!,
  );
  const last = pairs(up, grid, 2);
  const [dense, bias] = weights.slice(-2);
  return Float64Array.from({ length: points(grid) }, (_, i) => {
    let sum = bias!.data[0]!;
    for (let k = 0; k < channels; k++) sum += dense!.data[k]! * last[i * channels + k]!;
    return sum;
  });
}

describe('deep conjugate direction', () => {
  it.each([
    [2, [4, 6]],
    [3, [2, 4, 2]],
  ] as const)('network in %i dimensions', async (dim, grid) => {
    const net = directionNet({ dim, filters: 2, seed: 2 });
    const before = memory().numTensors;
    const n = grid.reduce((size, length) => size * length, 1);
    const values = noise(n, 1);
    const x = tensor(values, [1, ...grid]);
    const y = net.predict(x);
    const weights = Object.values((await net.save()).weights);
    const solid = (dim === 2 ? [1, ...grid] : grid) as readonly number[];
    const want = network64(weights, values, solid as [number, number, number]);
    expectTensorClose(await y.data(), want, { rtol: 1e-4, atol: 1e-5 });
    dispose([x, y]);
    expect(memory().numTensors).toBe(before);
    net.dispose();
  });

  it('loss and its gradient', async () => {
    const A = poisson2d(3, 2);
    const before = memory().numTensors;
    const [q, b] = [noise(6, 3), noise(6, 4)];
    const rows = (values: ArrayLike<number>) => tensor2d(Float32Array.from(values), [1, 6]);
    const loss64 = (x: Float64Array): number => {
      const Ax = A.multiply(x);
      const inner = (u: ArrayLike<number>) => Ax.reduce((sum, _, i) => sum + u[i]! * x[i]!, 0);
      const alpha = inner(b) / inner(Ax);
      return Ax.reduce((sum, v, i) => sum + (b[i]! - alpha * v) ** 2, 0);
    };
    const differences = Float64Array.from(q, (_, i) => {
      const moved = (h: number) => loss64(Float64Array.from(q, (v, k) => (k === i ? v + h : v)));
      return (moved(1e-5) - moved(-1e-5)) / 2e-5;
    });
    const [x, right] = [rows(q), rows(b)];
    const value = directionLoss(A, x, right);
    const slope = grad((v: Tensor) => directionLoss(A, v as Tensor2D, right))(x);
    expectTensorClose(await value.data(), [loss64(Float64Array.from(q))], { rtol: 1e-4 });
    expectTensorClose(await slope.data(), differences, { rtol: 1e-3, atol: 1e-4 });
    dispose([x, right, value, slope]);
    expect(memory().numTensors).toBe(before);
  });

  it('training and solving', async () => {
    for (const A of [poisson2d(4), poisson3d(2)]) {
      const before = memory().numTensors;
      const data = ritzDataset(A, { m: 4, size: 4, seed: 1 });
      const net = directionNet({ dim: A.grid!.length as 2 | 3, filters: 1, seed: 1 });
      const options = { steps: 1, batchSize: 4, validation: 0, learningRate: 1e-3 };
      const { losses } = await trainDirection(net, A, data, options);
      expect(losses[0]).toBeGreaterThan(0);
      expect(losses[0]).toBeLessThanOrEqual(1.0001);
      const b = Float64Array.from(noise(A.rows, 2));
      const { x, converged } = await deepConjugateDirection(A, b, {
        model: net,
        tol: 1e-8,
        stallWindow: 3,
      });
      expect(converged).toBe(true);
      expectTensorClose(x, cg(A, b, { tol: 1e-12 }).x, { rtol: 1e-6, atol: 1e-6 });
      data.dispose();
      net.dispose();
      expect(memory().numTensors).toBe(before);
    }
  });
});
