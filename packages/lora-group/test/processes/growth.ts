/**
 * A process of its own, run with `--expose-gc`: trains so many steps, switching and merging now and then; prints as JSON
 * what they left behind since the first 500.
 */
import { useBackend } from '@orth/backend';
import { adapt, pegoLoss } from '@orth/lora-group';
import { add, losses, memory, type Scalar, type Tensor, tidy, train } from '@tensorflow/tfjs-core';
import { inputs, makeModel, targets } from './model.js';

await useBackend('wasm');
const model = makeModel();
const [x, y] = [inputs(), targets()];
const adapters = await adapt(model, { r: 2, n: 2, dropout: 0.1 });
await adapters.addAdapter('other', { r: 1, useDora: true, bias: 'all' });
const optimizer = train.sgd(0.01);
const loss = () =>
  tidy(() => {
    const task = losses.meanSquaredError(y, model.apply(x, { training: true }) as Tensor);
    return add(task, pegoLoss(adapters)) as Scalar;
  });
const measure = () => {
  (globalThis as unknown as { gc: () => void }).gc();
  const { numTensors, numDataBuffers } = memory();
  return [numTensors, numDataBuffers, process.memoryUsage().heapUsed] as const;
};
let start = measure();
let steps = 0;
for (let step = 1; step <= Number(process.argv[2]); step++, steps++) {
  optimizer.minimize(loss, false, adapters.trainableVariables);
  if (step % 100 === 0) {
    adapters.setAdapter(step % 200 === 0 ? 'default' : ['default', 'other']);
    adapters.merge();
    adapters.unmerge();
  }
  if (step % 500 === 0) await new Promise((resume) => setImmediate(resume));
  if (step === 500) start = measure();
}
const [tensors, buffers, heap] = measure().map((value, i) => value - start[i]!);
process.stdout.write(JSON.stringify({ tensors, buffers, heap, steps }));
