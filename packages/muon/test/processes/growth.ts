/**
 * A process of its own, run with `--expose-gc`: takes 10,000 steps on small shapes and prints as JSON what it left behind
 * since step 1,000, tensors and bytes of heap.
 */
import { seededRandom, useBackend } from '@orth/backend';
import { memory, variable } from '@tensorflow/tfjs-core';
import { OPTIMIZERS } from './optimizers.js';

await useBackend('wasm');
const random = seededRandom(1);
const shapes = [[4, 6], [6, 4], [4, 6], [6], []];
const variables = shapes.map((shape, i) => variable(random.normalTensor(shape), true, `w${i}`));
const gradients = variables.map((v) => ({ name: v.name, tensor: random.normalTensor(v.shape) }));
const optimizer = OPTIMIZERS[process.argv[2]!]!();

const measure = () => {
  (globalThis as unknown as { gc: () => void }).gc();
  const { numTensors, numDataBuffers } = memory();
  return [numTensors, numDataBuffers, process.memoryUsage().heapUsed] as const;
};
let start = measure();
for (let step = 1; step <= 10_000; step++) {
  optimizer.applyGradients(gradients);
  if (step % 500 === 0) await new Promise((resume) => setImmediate(resume));
  if (step === 1000) start = measure();
}
const end = measure();
const [tensors, buffers, heap] = end.map((value, i) => value - start[i]!);
process.stdout.write(JSON.stringify({ tensors, buffers, heap, steps: optimizer.iterations }));
