import type { Foreign } from './foreign.js';
import type { OnnxRuntime } from './onnxRuntime.js';

/**
 * One small product with a known result: a library that loads but computes wrongly is found here, and not in a model.
 * @throws Error if it fails
 */
export function selfTest(foreign: Foreign, onnx: OnnxRuntime): void {
  const program = onnx.program('selfTest', () => ({
    inputs: ['a', 'b'],
    outputs: ['c'],
    nodes: [{ operator: 'MatMul', inputs: ['a', 'b'], outputs: ['c'] }],
  }));
  const n = 4;
  const buffer = new ArrayBuffer(3 * 4 * n * n);
  const [a, b, c] = [0, 1, 2].map((i) => new Float32Array(buffer, 4 * n * n * i, n * n)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  a.forEach((_, i) => {
    a[i] = i + 1;
    b[i] = i % 3;
  });
  const base = foreign.addressOf(buffer);
  const operand = (i: number) => ({ address: base + 4 * n * n * i, shape: [n, n] });
  program([operand(0), operand(1)], [operand(2)]);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let want = 0;
      for (let k = 0; k < n; k++) want += a[i * n + k]! * b[k * n + j]!;
      if (c[i * n + j] === want) continue;
      throw new Error(`its first product is wrong: ${c[i * n + j]} where ${want} is right`);
    }
  }
}
