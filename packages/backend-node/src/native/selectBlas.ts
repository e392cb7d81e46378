import { isMainThread } from 'node:worker_threads';
import type { NodeOptions } from '../options.js';
import { type Blas, openBlas, openSystemBlas } from './blas.js';
import type { Foreign } from './foreign.js';
import type { OnnxRuntime } from './onnxRuntime.js';

/** Under `'auto'` a BLAS must be this much faster, so that noise does not choose the library. */
const WORTH = 1.25;
const SIZE = 256;
const ROUNDS = 15;

/** A worker's products run while the main thread may start a process, which forks this one. */
const mayBeForked = (blas: Blas) => blas.stopsAtFork && !isMainThread;

/**
 * The BLAS that is to multiply matrices, or undefined for ONNX Runtime.
 * @throws Error if a BLAS was asked for and cannot be had
 */
export function selectBlas(
  foreign: Foreign,
  onnx: OnnxRuntime,
  { library = 'auto', blasPath }: NodeOptions,
): Blas | undefined {
  if (library === 'onnxruntime') return undefined;
  const open = () =>
    blasPath ? openBlas(foreign, blasPath, onnx.threads) : openSystemBlas(foreign, onnx.threads);
  if (library === 'blas') {
    const blas = open();
    if (!mayBeForked(blas)) return blas;
    throw new Error(
      `useBackend: ${blas.path} must have threads: 1 in a worker, got ${onnx.threads}: a child process ` +
        "started meanwhile would stop its threads; library: 'onnxruntime' has no such limit",
    );
  }
  try {
    const blas = open();
    return !mayBeForked(blas) && isFaster(foreign, onnx, blas) ? blas : undefined;
  } catch (error) {
    if (blasPath !== undefined) throw error;
    return undefined;
  }
}

/** Best of a few interleaved products, some 10 ms in all. */
function isFaster(foreign: Foreign, onnx: OnnxRuntime, blas: Blas): boolean {
  const bytes = 4 * SIZE * SIZE;
  const buffer = new ArrayBuffer(3 * bytes);
  new Float32Array(buffer).fill(0.5);
  const base = foreign.addressOf(buffer);
  const [a, b, c] = [base, base + bytes, base + 2 * bytes] as [number, number, number];
  const shape = [SIZE, SIZE];
  // The self-test made this program.
  const product = onnx.program('selfTest', () => {
    throw new Error('the self-test comes first');
  });
  const best = { onnx: Number.POSITIVE_INFINITY, blas: Number.POSITIVE_INFINITY };
  const time = (name: keyof typeof best, work: () => void) => {
    const start = performance.now();
    work();
    best[name] = Math.min(best[name], performance.now() - start);
  };
  for (let round = 0; round <= ROUNDS; round++) {
    time('onnx', () =>
      product(
        [
          { address: a, shape },
          { address: b, shape },
        ],
        [{ address: c, shape }],
      ),
    );
    time('blas', () =>
      blas.multiply({ transposeA: false, transposeB: false, m: SIZE, n: SIZE, k: SIZE, a, b, c }),
    );
  }
  return best.onnx > WORTH * best.blas;
}
