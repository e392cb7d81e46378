import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckpointError } from '@orth/backend';
import { expect, test } from 'vitest';
import { decodeArchive, encodeArchive, readArchive, writeAtomically } from '../src/archive.js';

const value = {
  name: 'run ☃',
  numbers: [1, 1 / 3, -0.1, 1e-300],
  nothing: null,
  deep: { weights: new Float32Array([1, Math.fround(1 / 3), NaN, -0]), ids: new Int32Array([7]) },
  list: [new Uint8Array([1, 2, 3]), new Float64Array([Math.PI]), new Float32Array(0)],
};

test('what comes out is what went in, bit for bit', () => {
  expect(decodeArchive(encodeArchive(value), 'x')).toEqual(value);
});

test('any changed bit is noticed', () => {
  const bytes = encodeArchive(value);
  for (let i = 0; i < bytes.length; i += 7) {
    const damaged = Buffer.from(bytes);
    damaged[i]! ^= 1 << (i % 8);
    expect(() => decodeArchive(damaged, 'x'), `byte ${i}`).toThrow(CheckpointError);
  }
});

test('a file cut short, an empty one and a foreign one are refused', () => {
  const bytes = encodeArchive(value);
  expect(() => decodeArchive(bytes.subarray(0, bytes.length - 1), 'x')).toThrow('x is damaged');
  expect(() => decodeArchive(Buffer.alloc(0), 'x')).toThrow('x is not a checkpoint of the race');
  expect(() => decodeArchive(Buffer.from('{"some": "json"}'.repeat(9)), 'x')).toThrow(
    'x is not a checkpoint of the race',
  );
});

test('numbers that JSON would turn into null are refused', () => {
  expect(() => encodeArchive({ loss: Number.NaN })).toThrow(
    'loss must be a finite number, got NaN',
  );
});

test('a file is replaced as a whole and no temporary file stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'race-'));
  const path = join(folder, 'file');
  await writeFile(path, 'old');
  await writeAtomically(path, 'new');
  expect(await readFile(path, 'utf8')).toBe('new');
  await expect(writeAtomically(join(folder, 'no/such/folder'), 'x')).rejects.toThrow('ENOENT');
  expect(await readdir(folder)).toEqual(['file']);
  await expect(readArchive(join(folder, 'none'))).rejects.toThrow('there is no such file');
});
