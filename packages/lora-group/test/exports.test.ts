import { expect, test } from 'vitest';
import * as api from '../src/index.js';

test('exports these values, among those of the other parts', () => {
  expect(Object.keys(api)).toEqual(
    expect.arrayContaining([
      'AdaptedModel',
      'AdaptedVariables',
      'AdapterSet',
      'LoraGroup',
      'adapt',
      'decodeSafetensors',
      'doraForward',
      'doraMagnitude',
      'doraWeight',
      'encodeSafetensors',
      'graloraApply',
      'graloraDelta',
      'loraDelta',
      'loraForward',
      'loraGroup',
      'loraScaling',
      'oftForward',
      'oftRotation',
      'oftWeight',
      'oloraFactors',
      'pegoLoss',
      'pegoPenalty',
      'pissaFactors',
      'restoreLoraGroup',
    ]),
  );
});
