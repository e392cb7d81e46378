import type { CudaBackend } from './cudaBackend.js';
import { binaryExpression } from './kernels/binary.js';
import { evaluate } from './kernels/evaluate.js';
import { withWorkspace } from './kernels/kernel.js';
import { product } from './kernels/matMul.js';

const N = 4;
/** More than fit a kernel's parameters, so that memory is used. */
const SHAPE = [N, 2 * N];

/**
 * One small product and one kernel with known results: libraries that load but compute wrongly are found here, and not in
 * a model.
 * @throws Error if they fail
 */
export function selfTest(backend: CudaBackend): void {
  withWorkspace(backend, (space) => {
    const values = Float32Array.from({ length: 2 * N * N }, (_, i) => (i % 5) - 2);
    const a = space.keep(backend.makeTensor(SHAPE, 'float32', values));
    const form = { transposeA: false, transposeB: true };
    const gram = space.keep(product(backend, 'selfTest', a, a, form));
    const evaluation = { shape: [N, N], dtype: 'float32' } as const;
    const sum = space.keep(
      evaluate(backend, binaryExpression('Add', 'float32'), [gram, gram], evaluation),
    );
    const got = backend.readSync(sum.dataId) as Float32Array;
    const row = (i: number) => values.subarray(2 * N * i, 2 * N * (i + 1));
    got.forEach((value, at) => {
      const [left, right] = [row(Math.floor(at / N)), row(at % N)];
      const want = 2 * left.reduce((dot, x, i) => dot + x * right[i]!, 0);
      if (value === want) return;
      throw new Error(`its first product is wrong: ${value} where ${want} is right`);
    });
  });
}
