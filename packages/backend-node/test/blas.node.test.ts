import { useBackend } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import '../src/index.js';
import { openBlas, openSystemBlas } from '../src/native/blas.js';
import { type Foreign, openForeign } from '../src/native/foreign.js';
import { blasCandidates } from '../src/native/locate.js';

/** A BLAS that writes its calls down. */
function recorder() {
  const calls: [string, ...unknown[]][] = [];
  const call = (name: string) =>
    ((...args: unknown[]) => {
      calls.push([name, ...args]);
      return 'Recorder 1.0 ';
    }) as never;
  const foreign: Foreign = {
    load: () => ({
      function: call,
      optional: (name) => (name.startsWith('MKL') ? undefined : call(name)),
    }),
    functionAt: () => call('at'),
    addressAt: () => 0,
    addressOf: () => 0,
  };
  return { foreign, calls };
}

describe('cblas_sgemm is called by its own rules', () => {
  const [ROW_MAJOR, PLAIN, TRANSPOSED] = [101, 111, 112];
  const size = { m: 2, n: 3, k: 5, a: 1000, b: 2000, c: 3000 };
  test.each([
    [false, false, 5, 3],
    [true, false, 2, 3],
    [false, true, 5, 5],
    [true, true, 2, 5],
  ])('transposeA %s, transposeB %s', (transposeA, transposeB, lda, ldb) => {
    const { foreign, calls } = recorder();
    const blas = openBlas(foreign, '/lib/libopenblas.so.0', 4);
    expect(blas.version).toBe('Recorder 1.0');
    expect(calls).toContainEqual(['openblas_set_num_threads', 4]);
    calls.length = 0;
    blas.multiply({ ...size, transposeA, transposeB });
    const [opA, opB] = [transposeA, transposeB].map((flag) => (flag ? TRANSPOSED : PLAIN));
    expect(calls).toEqual([
      ['cblas_sgemm', ROW_MAJOR, opA, opB, 2, 3, 5, 1, 1000, lda, 2000, ldb, 0, 3000, 3],
    ]);
  });
});

test.each([
  [1, 4, true],
  [1, 1, false],
  [2, 4, false],
  [0, 4, false],
])('openblas_get_parallel() %i with %i threads: stopped by a fork %s', (kind, threads, want) => {
  const { foreign } = recorder();
  const openBlasOf: Foreign = {
    ...foreign,
    load: (path) => ({
      ...foreign.load(path),
      optional: (name) => (name === 'openblas_get_parallel' ? () => kind : undefined) as never,
    }),
  };
  expect(openBlas(openBlasOf, '/lib/libopenblas.so.0', threads).stopsAtFork).toBe(want);
});

test('without a BLAS the error lists what was looked for', () => {
  const none: Foreign = {
    ...recorder().foreign,
    load: () => {
      throw new Error('not found');
    },
  };
  expect(() => openSystemBlas(none, 1)).toThrow(`looked for ${blasCandidates().join(', ')}`);
});

/** The first library here that has the C interface, reference implementations included. */
async function anyBlas(): Promise<string | undefined> {
  const foreign = await openForeign();
  return [...blasCandidates(), 'libblas.so.3', 'libcblas.so.3'].find((path) => {
    try {
      openBlas(foreign, path, 1);
      return true;
    } catch {
      return false;
    }
  });
}

const blasPath = await anyBlas();
if (!blasPath) console.log('skipped: products by a real BLAS, since this machine has none');

describe.runIf(blasPath)('a real BLAS', () => {
  test('multiplies as ONNX Runtime does', async () => {
    const products = () =>
      tf.tidy(() => {
        const a = tf.randomNormal([70, 50], 0, 1, 'float32', 1);
        const b = tf.randomNormal([50, 70], 0, 1, 'float32', 2);
        const batch = tf.randomNormal([6, 20, 50], 0, 1, 'float32', 3);
        return [
          tf.matMul(a, b),
          tf.matMul(a, a, true, false),
          tf.matMul(a, a, false, true),
          tf.matMul(a, b, true, true),
          tf.matMul(batch, b),
          tf.matMul(batch, batch, false, true),
        ].map((x) => x.dataSync());
      });
    await useBackend('node', { library: 'onnxruntime' });
    const want = products();
    const { library, version } = await useBackend('node', { library: 'blas', blasPath });
    expect(library).toBe(`BLAS (${blasPath}), ONNX Runtime`);
    expect(version).not.toBe('');
    products().forEach((got, i) => {
      expectTensorClose(got, want[i]!, { rtol: 1e-5, atol: 2e-5 });
    });
  });

  test('is taken under auto only where it is faster', async () => {
    const { library } = await useBackend('node', { library: 'auto', blasPath });
    const chosen = library.startsWith('BLAS');
    await useBackend('node', { library: 'onnxruntime' });
    const n = 384;
    const x = tf.randomNormal([n, n]);
    const time = () => {
      const start = performance.now();
      tf.matMul(x, x).dispose();
      return performance.now() - start;
    };
    const best = async (choice: 'onnxruntime' | 'blas') => {
      await useBackend('node', { library: choice, ...(choice === 'blas' && { blasPath }) });
      return Math.min(...Array.from({ length: 12 }, time));
    };
    const [onnx, blas] = [await best('onnxruntime'), await best('blas')];
    x.dispose();
    // Between half and twice as fast noise may decide.
    if (onnx < blas / 2) expect(chosen).toBe(false);
    if (onnx > blas * 2) expect(chosen).toBe(true);
  });
});
