/**
 * A process of its own that trains a small network on wasm: `train.ts <optimizer> <from> <to> [checkpoint folder]`.
 * Continues from the checkpoint if `from` is above 0, writes one at the end, and prints the weights as hexadecimal.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom, useBackend } from '@orth/backend';
import {
  add,
  matMul,
  mean,
  relu,
  type Scalar,
  square,
  sub,
  type Tensor2D,
  tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { decodeState, encodeState, warmup } from '../../src/index.js';
import { OPTIMIZERS } from './optimizers.js';

const [name, from, to, folder] = process.argv.slice(2) as [string, string, string, string?];
await useBackend('wasm');

const random = seededRandom(3);
const x = random.normalTensor([32, 8]) as Tensor2D;
const y = random.normalTensor([32, 6]) as Tensor2D;
const shapes = { first: [8, 16], bias: [16], second: [16, 16], third: [16, 6] };
const variables = Object.entries(shapes).map(([key, shape]) =>
  variable(random.normalTensor(shape, 0, 0.3), true, key),
);
const learningRate = warmup({ steps: 5, to: 0.05 });
const optimizer = OPTIMIZERS[name]!({ learningRate, weightDecay: 0.1 });

const file = (of: string) => join(folder ?? '', of);
if (Number(from) > 0) {
  optimizer.loadState(decodeState(new Uint8Array(readFileSync(file('optimizer')))));
  for (const v of variables) {
    const bytes = readFileSync(file(v.name));
    v.assign(tensor(new Float32Array(new Uint8Array(bytes).buffer), v.shape));
  }
}
const [first, bias, second, third] = variables as [Variable, Variable, Variable, Variable];
const loss = () =>
  tidy(() => {
    const hidden = relu(add(matMul(x, first as Tensor2D), bias));
    const next = relu(matMul(hidden as Tensor2D, second as Tensor2D));
    return mean(square(sub(matMul(next as Tensor2D, third as Tensor2D), y)));
  }) as Scalar;
for (let step = Number(from); step < Number(to); step++) optimizer.minimize(loss);

if (folder !== undefined && existsSync(folder)) {
  writeFileSync(file('optimizer'), encodeState(await optimizer.saveState()));
  for (const v of variables) {
    writeFileSync(file(v.name), new Uint8Array(v.dataSync().slice().buffer));
  }
}
const hex = variables.map((v) => Buffer.from(v.dataSync().slice().buffer).toString('hex'));
process.stdout.write(hex.join('\n'));
