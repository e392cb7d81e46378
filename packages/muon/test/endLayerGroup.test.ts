import { endLayerGroup, Muon } from '@orth/muon';
import * as layers from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';

test('sends the first and the last layer with weights to AdamW, copies of them too', () => {
  const model = layers.sequential();
  model.add(layers.layers.dense({ units: 16, inputShape: [8] }));
  model.add(layers.layers.dense({ units: 16 }));
  model.add(layers.layers.activation({ activation: 'relu' }));
  model.add(layers.layers.dense({ units: 16 }));
  model.add(layers.layers.softmax());
  const optimizer = new Muon({ groups: [endLayerGroup(model)] });
  const kernels = model.trainableWeights.filter(({ shape }) => shape.length === 2);
  const how = (names: readonly string[]) =>
    optimizer
      .describeGroups(names.map((name) => ({ name, shape: [16, 16] })))
      .map((group) => group.optimizer);
  const names = kernels.map(({ name }) => name);
  expect(how(names)).toEqual(['adamW', 'muon', 'adamW']);
  expect(how(names.map((name) => `${name}_2`))).toEqual(['adamW', 'muon', 'adamW']);
  expect(how([`x${names[0]}`, `${names[0]}x`])).toEqual(['muon', 'muon']);
  expect(() => JSON.stringify(optimizer.getConfig())).not.toThrow();
  optimizer.dispose();
  model.dispose();
});

test('needs a layer with weights', () => {
  expect(() => endLayerGroup({ layers: [{ trainableWeights: [] }] })).toThrow(RangeError);
  expect(() => endLayerGroup([] as never)).toThrow(/must be a tf.layers model/);
});
