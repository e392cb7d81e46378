import { CheckpointError, seededRandom } from '@orth/backend';
import { decodeState, encodeState, type OptimizerState } from '@orth/muon';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

const state: OptimizerState = {
  format: 'orth-optimizer',
  version: 1,
  className: 'OrthMuon',
  iterations: 12,
  nonFiniteSteps: 1,
  variables: [
    {
      name: 'dense/kernel é',
      updates: 12,
      slots: { momentum: { shape: [2, 3], data: Float32Array.of(1, -2.5, 1e-38, 3e38, -0, 0.1) } },
    },
    {
      name: 'bias',
      updates: 11,
      slots: {
        firstMoment: { shape: [], data: Float32Array.of(0.5) },
        secondMoment: { shape: [0], data: new Float32Array() },
      },
    },
  ],
};
const bytes = encodeState(state);

test('comes back to the last bit, from the middle of a buffer too', () => {
  expect(decodeState(bytes)).toEqual(state);
  const inside = new Uint8Array(bytes.length + 9);
  inside.set(bytes, 3);
  expect(decodeState(inside.subarray(3, 3 + bytes.length))).toEqual(state);
  const [back] = decodeState(bytes).variables;
  expect(Object.is(back!.slots.momentum!.data[4], -0)).toBe(true);
});

test('any flipped bit is found', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 * bytes.length - 1 }), (bit) => {
      const damaged = bytes.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeState(damaged)).toThrow(CheckpointError);
    }),
    { numRuns: 500 },
  );
});

test('any cut and anything appended is found', () => {
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeState(bytes.slice(0, length))).toThrow(CheckpointError);
  }
  expect(() => decodeState(Uint8Array.of(...bytes, 0))).toThrow(CheckpointError);
});

test('foreign bytes are refused', () => {
  const random = seededRandom(1);
  for (const length of [0, 1, 16, 17, 500]) {
    const noise = Uint8Array.from({ length }, () => random.integer(0, 255));
    expect(() => decodeState(noise)).toThrow(CheckpointError);
    noise.set(bytes.subarray(0, Math.min(8, length)));
    expect(() => decodeState(noise)).toThrow(CheckpointError);
  }
  expect(() => decodeState('text' as never)).toThrow(CheckpointError);
  expect(() => encodeState({} as never)).toThrow(CheckpointError);
});

/** Bytes with another header and a right checksum: what a careless or hostile writer may make. */
function forge(change: (header: Record<string, unknown>) => unknown): Uint8Array {
  const length = new DataView(bytes.buffer).getUint32(12, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(16, 16 + length)));
  const json = new TextEncoder().encode(JSON.stringify(change(header)));
  const padded = Math.ceil(json.length / 4) * 4;
  const forged = new Uint8Array(16 + padded + bytes.length - 16 - length).fill(0x20);
  forged.set(bytes.subarray(0, 8));
  forged.set(json, 16);
  forged.set(bytes.subarray(16 + length), 16 + padded);
  const view = new DataView(forged.buffer);
  view.setUint32(12, padded, true);
  let crc = -1;
  for (const byte of forged.subarray(12)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(8, ~crc >>> 0, true);
  return forged;
}

test('a right checksum does not excuse a wrong header', () => {
  expect(decodeState(forge((header) => header))).toEqual(state);
  const shaped = (shape: unknown) => (header: Record<string, unknown>) => ({
    ...header,
    variables: [{ name: 'w', updates: 1, slots: [{ name: 'momentum', shape }] }],
  });
  for (const change of [
    () => null,
    () => [],
    () => ({}),
    (header: Record<string, unknown>) => ({ ...header, version: 7 }),
    (header: Record<string, unknown>) => ({ ...header, variables: 'none' }),
    shaped([1e9, 1e9]),
    shaped([-1]),
    shaped([2.5]),
    shaped('no shape'),
    shaped([1]),
    shaped([99]),
  ]) {
    expect(() => decodeState(forge(change))).toThrow(CheckpointError);
  }
});

test.each([
  [Promise.resolve(state), /encodeState: state must be .*, got a promise: await it/],
  [encodeState(state), /got bytes: decodeState/],
  [undefined, /got undefined/],
])('what is no state is refused with a hint: %o', (wrong, message) => {
  expect(() => encodeState(wrong as never)).toThrow(message);
});

test('what JSON made of typed arrays is refused with a hint', () => {
  const json = JSON.parse(JSON.stringify(decodeState(encodeState(state))));
  expect(() => encodeState(json)).toThrow(/JSON does not keep typed arrays/);
});
