import { expectTensorClose } from '@orth/testing';
import {
  fill,
  grad,
  mul,
  sum,
  type Tensor,
  tensor2d,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  gatherPatches,
  type ImageLayout,
  patchIndices,
  patchify,
  patchReconstructionLoss,
  randomMask,
  unpatchify,
} from '../src/index.js';
import { differences, gaussian, rowsOf, toTensor } from './reference.js';
import { scoped } from './scoped.js';

describe('patchify', () => {
  it('is undone by unpatchify, bit for bit, in both layouts', () => {
    fc.assert(
      fc.property(
        fc.record({
          N: fc.integer({ min: 1, max: 3 }),
          rows: fc.integer({ min: 1, max: 4 }),
          columns: fc.integer({ min: 1, max: 4 }),
          p: fc.integer({ min: 1, max: 3 }),
          C: fc.integer({ min: 1, max: 3 }),
          layout: fc.constantFrom<ImageLayout>('NHWC', 'NCHW'),
        }),
        ({ N, rows, columns, p, C, layout }) => {
          scoped(() => {
            const [H, W] = [rows * p, columns * p];
            const shape = layout === 'NHWC' ? [N, H, W, C] : [N, C, H, W];
            const images = toTensor(gaussian(1, N * H * W * C), shape);
            const patches = patchify(images, p, { layout });
            expect(patches.shape).toEqual([N, rows * columns, p * p * C]);
            const back = unpatchify(patches, p, { layout, rows });
            expectTensorClose(back, images, { rtol: 0, atol: 0 });
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  it('orders a patch by row, column, channel, whatever the layout', () => {
    scoped(() => {
      const images = toTensor(gaussian(2, 2 * 4 * 6 * 3), [2, 4, 6, 3]);
      const patches = patchify(images, 2).dataSync();
      const data = images.dataSync();
      let at = 0;
      for (let i = 0; i < 2; i++)
        for (let R = 0; R < 2; R++)
          for (let Q = 0; Q < 3; Q++)
            for (let r = 0; r < 2; r++)
              for (let q = 0; q < 2; q++)
                for (let c = 0; c < 3; c++) {
                  const pixel = ((i * 4 + 2 * R + r) * 6 + 2 * Q + q) * 3 + c;
                  expect(patches[at++]).toBe(data[pixel]);
                }
      const first = transpose(images, [0, 3, 1, 2]);
      expectTensorClose(patchify(first, 2, { layout: 'NCHW' }), patches, { rtol: 0, atol: 0 });
    });
  });

  it('refuses sizes that do not divide', () => {
    scoped(() => {
      expect(() => patchify(zeros([1, 4, 6, 1]), 4)).toThrow(/patchSize must divide/);
      expect(() => patchify(zeros([4, 6, 1]), 2)).toThrow(/images must have rank 4/);
      expect(() => patchify(zeros([1, 4, 4, 1]), 0)).toThrow(/patchSize must be an integer >= 1/);
      expect(() => patchify(zeros([1, 4, 4, 1]), 2, { layout: 'HWC' as never })).toThrow(/layout/);
      expect(() => unpatchify(zeros([1, 6, 4]), 2)).toThrow(/rows must divide/);
      expect(() => unpatchify(zeros([1, 6, 4]), 2, { rows: 4 })).toThrow(/rows must divide/);
      expect(() => unpatchify(zeros([1, 4, 5]), 2)).toThrow(/a multiple of 4 values/);
    });
  });
});

describe('patchIndices', () => {
  it('part patches into masked and visible, in order', () => {
    scoped(() => {
      const mask = tensor2d([0, 1, 1, 0, 0, 1, 0, 0, 0, 1], [2, 5], 'int32');
      const { masked, visible } = patchIndices(mask, { masked: 2 });
      expect([...masked.dataSync()]).toEqual([1, 2, 0, 4]);
      expect([...visible.dataSync()]).toEqual([0, 3, 4, 1, 2, 3]);
      const x = toTensor(gaussian(3, 2 * 5 * 3), [2, 5, 3]);
      const rows = rowsOf(x.dataSync(), 3);
      const want = [1, 2, 5, 9].flatMap((i) => rows[i]!);
      expectTensorClose(gatherPatches(x, masked), want, { rtol: 0, atol: 0 });
      const w = toTensor(gaussian(4, 12), [2, 2, 3]);
      const g = grad((z: Tensor) => sum(mul(w, gatherPatches(z, masked))))(x);
      const back = gatherPatches(g, masked);
      expectTensorClose(back, w, { rtol: 0, atol: 0 });
      expectTensorClose(gatherPatches(g, visible), new Float32Array(18), { rtol: 0, atol: 0 });
    });
  });

  it('refuses masks of another count or with other entries', () => {
    scoped(() => {
      const mask = randomMask([2, 8], { maskRatio: 0.5 });
      expect(() => patchIndices(mask, { masked: 3 })).toThrow(/mask must have 3 ones in each row/);
      expect(() => patchIndices(mask, { masked: 8 })).toThrow(/masked must be/);
      expect(() => patchIndices(fill([2, 8], 2, 'int32'), { masked: 4 })).toThrow(
        /mask must hold 0 and 1/,
      );
      expect(() => patchIndices(zeros([2, 8]), { masked: 4 })).toThrow(
        /mask must have dtype int32/,
      );
    });
  });
});

describe('patchReconstructionLoss', () => {
  it.each([false, true])('value and gradient, normPixLoss %s', (normPixLoss) => {
    scoped(() => {
      const images = toTensor(gaussian(5, 2 * 4 * 4 * 2), [2, 4, 4, 2]);
      const mask = tensor2d([1, 0, 1, 0, 0, 0, 1, 1], [2, 4], 'int32');
      const guess = gaussian(6, 2 * 2 * 8);
      const patches = rowsOf(patchify(images, 2).dataSync(), 8);
      const chosen = [0, 2, 6, 7].map((i) => {
        const row = patches[i]!;
        if (!normPixLoss) return row;
        const mean = row.reduce((a, b) => a + b) / 8;
        const variance = row.reduce((t, v) => t + (v - mean) ** 2, 0) / 7;
        return row.map((v) => (v - mean) / Math.sqrt(variance + 1e-6));
      });
      const each = (x: ArrayLike<number>) =>
        rowsOf(x, 8).map((row, i) => row.reduce((t, v, k) => t + (v - chosen[i]![k]!) ** 2, 0) / 8);
      const total = (x: ArrayLike<number>) => each(x).reduce((a, b) => a + b) / 4;
      const o = { patchSize: 2, normPixLoss };
      const predictions = toTensor(guess, [2, 2, 8]);
      const { mean, perPatch } = patchReconstructionLoss(predictions, images, mask, o);
      expect(perPatch.shape).toEqual([2, 2]);
      expectTensorClose(perPatch.dataSync(), each(guess));
      expectTensorClose(mean, [total(guess)]);
      const f = (x: Tensor) => patchReconstructionLoss(x, images, mask, o).mean;
      expectTensorClose(grad(f)(predictions), differences(total, guess));
    });
  });

  it('takes patches of one colour to 0 under normPixLoss, whatever rounding does to a mean', () => {
    scoped(() => {
      const images = fill([1, 8, 8, 3], 0.3);
      const mask = fill([1, 4], 1, 'int32');
      const o = { patchSize: 4, normPixLoss: true };
      const { perPatch } = patchReconstructionLoss(zeros([1, 4, 48]), images, mask, o);
      expectTensorClose(perPatch, new Float32Array(4), { rtol: 0, atol: 0 });
    });
  });

  it('refuses shapes that do not go together', () => {
    scoped(() => {
      const images = zeros([2, 4, 4, 1]);
      const single = { patchSize: 1, normPixLoss: true };
      const all = fill([2, 16], 1, 'int32');
      expect(() => patchReconstructionLoss(zeros([2, 16, 1]), images, all, single)).toThrow(
        /normPixLoss must be false for patches of one value/,
      );
      const mask = randomMask([2, 4], { maskRatio: 0.5 });
      const at = (shape: number[], o: object = {}, m = mask) =>
        patchReconstructionLoss(zeros(shape), images, m, { patchSize: 2, ...o });
      expect(() => at([2, 3, 4])).toThrow(/mask must have 3 ones/);
      expect(() => at([2, 2, 5])).toThrow(/predictions must have shape \[2,2,4\]/);
      expect(() => at([2, 2, 4], { patchSize: 3 })).toThrow(/patchSize must divide/);
      expect(() => at([2, 2, 4], { normPixLoss: 1 })).toThrow(/normPixLoss must be/);
      const other = randomMask([2, 8], { maskRatio: 0.25 });
      expect(() => at([2, 2, 4], {}, other)).toThrow(/mask must have shape \[2,4\]/);
      expect(() => at([2, 4])).toThrow(/predictions must have rank 3/);
    });
  });
});
