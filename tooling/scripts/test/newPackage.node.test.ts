import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageFiles } from '../src/newPackage.js';

const newtonSchulz = join(import.meta.dirname, '../../../packages/newton-schulz');

test('a generated package has the configuration of the packages we keep', () => {
  const files = packageFiles('newton-schulz', 'algorithm');
  for (const name of ['tsconfig.json', 'tsconfig.build.json', 'turbo.json', 'typedoc.json']) {
    const kept = JSON.parse(readFileSync(join(newtonSchulz, name), 'utf8'));
    const { include, ...settings } = JSON.parse(files[name]!);
    // A package may add to these, but has to contain them.
    expect(kept, name).toMatchObject(settings);
    expect(kept.include ?? [], name).toEqual(expect.arrayContaining(include ?? []));
  }
  expect(files['tsup.config.ts']).toBe(readFileSync(join(newtonSchulz, 'tsup.config.ts'), 'utf8'));
});

test('all of a generated package besides package.json and README is configuration of under ten lines', () => {
  const { 'package.json': manifest, 'README.md': readme, ...rest } = packageFiles('x', 'algorithm');
  expect(manifest && readme).toBeTruthy();
  const lines = Object.entries(rest)
    .filter(([name]) => name.endsWith('.config.ts'))
    .map(([, text]) => text.trim().split('\n').length);
  expect(Math.max(...lines)).toBeLessThan(10);
});
