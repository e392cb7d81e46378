import { seededRandom } from '@orth/backend';
import { Matrix, SVD } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { svd } from '../src/svd.js';

describe('svd', () => {
  it('time', () => {
    for (const n of [64, 128, 256]) {
      const r = seededRandom(3);
      const x = Float64Array.from({ length: n * n }, () => r.normal());
      let t = performance.now();
      const d = svd(x.slice(), n, n);
      console.log(n, 'jacobi', performance.now() - t);
      t = performance.now();
      const m = new SVD(Matrix.from1DArray(n, n, x), {});
      console.log(n, 'ml', performance.now() - t);
      expect(
        Math.max(...m.diagonal.map((v: number, i: number) => Math.abs(v - d.values[i]!))),
      ).toBeLessThan(1e-12);
    }
  });
});
