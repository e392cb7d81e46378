/**
 * A process of its own: trains adapters from step `from` to step `to`, with dropout, resuming from files and saving them
 * where a folder is named, and prints the model's output to the last bit.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { useBackend } from '@orth/backend';
import { adapt } from '@orth/lora-group';
import { decodeState, encodeState, Muon } from '@orth/muon';
import { losses, type Scalar, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { inputs, makeModel, targets } from './model.js';

const [from, to, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
await useBackend('wasm');
const model = makeModel();
const [x, y] = [inputs(), targets()];
const adapters = await adapt(model, { name: null });
const optimizer = new Muon({ groups: [{ match: /lora/, optimizer: 'muon' }] });
const file = (name: string) => join(folder!, name);
if (folder && existsSync(file('optimizer.bin'))) {
  await adapters.loadAdapter({
    config: JSON.parse(readFileSync(file('adapter_config.json'), 'utf8')),
    weights: new Uint8Array(readFileSync(file('adapter_model.safetensors'))),
  });
  optimizer.loadState(
    decodeState(readFileSync(file('optimizer.bin'))),
    adapters.trainableVariables,
  );
} else await adapters.addAdapter('default', { r: 2, n: 2, dropout: 0.3, init: 'pissa', seed: 4 });
for (let step = from; step < to; step++) {
  optimizer.minimize(
    () =>
      tidy(() =>
        losses.meanSquaredError(y, model.apply(x, { training: true }) as Tensor),
      ) as Scalar,
    false,
    adapters.trainableVariables,
  );
}
if (folder) {
  const { config, weights } = await adapters.saveAdapter();
  writeFileSync(file('adapter_config.json'), JSON.stringify(config));
  writeFileSync(file('adapter_model.safetensors'), weights);
  writeFileSync(file('optimizer.bin'), encodeState(await optimizer.saveState()));
}
const output = (model.predict(x) as Tensor).dataSync();
process.stdout.write(Buffer.from(Float32Array.from(output).buffer).toString('hex'));
