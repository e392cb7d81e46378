/**
 * Before the tests of the project `cuda`: the machine's GPU, or the emulated one where there is none. Which it is stands
 * in the output.
 */
import { useBackend } from '@orth/backend';
import { getBackend } from '@tensorflow/tfjs-core';
import '../src/index.js';
import { openEmulator } from './emulator/emulator.js';
import { hasGpu } from './emulator/gpu.js';

const options = hasGpu() ? ({ provider: 'driver' } as const) : openEmulator().options;
const { device } = await useBackend('cuda', options);
if (getBackend() !== 'cuda') throw new Error(`these tests are for cuda, not ${getBackend()}`);
const said = Symbol.for('@orth/backend-cuda/device-said');
if (!(said in globalThis)) {
  Object.assign(globalThis, { [said]: true });
  console.log(`cuda: ${device}`);
}
