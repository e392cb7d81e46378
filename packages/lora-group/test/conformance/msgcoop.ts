/** Prompts on every backend, read back without blocking. */
import { seededRandom } from '@orth/backend';
import { MSGCoOp, TinyTransformerEncoder } from '@orth/lora-group';
import { memory, type Tensor2D } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

test('prompts through a transformer: trained, saved, loaded, used for new classes', async () => {
  const before = memory().numTensors;
  const encoder = new TinyTransformerEncoder({ embedDim: 4, featureDim: 5, heads: 2, layers: 1 });
  const options = {
    encoder,
    classNames: ['fox', 'barn owl'],
    descriptions: [['orange'], ['white face']],
    numPrompts: 2,
    initNoise: 0.05,
  };
  const images = seededRandom(2).normalTensor([4, 5]) as Tensor2D;
  const model = new MSGCoOp(options);
  const fit = { epochs: 3, learningRate: 0.02 };
  const history = await model.fit(images, [0, 1, 1, 0], fit);
  expect(history[2]!.loss).toBeLessThan(history[0]!.loss);
  const other = new MSGCoOp({ ...options, seed: 1 });
  other.load(await model.save());
  expect([...(await other.contexts.data())]).toEqual([...(await model.contexts.data())]);
  const classes = { classNames: ['pike', 'sea otter', 'wolf'] };
  expect(await other.predict(images, classes)).toEqual(await model.predict(images, classes));
  for (const each of [model, other, encoder, images]) each.dispose();
  expect(memory().numTensors).toBe(before);
}, 300_000);
