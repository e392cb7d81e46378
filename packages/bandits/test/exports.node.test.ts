import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as bandits from '@orth/bandits';
import { expect, test } from 'vitest';
import * as node from '../src/node.js';

test('public names', () => {
  expect(Object.keys(bandits).sort()).toMatchSnapshot();
});

test('public names for Node', () => {
  expect(Object.keys(node).sort()).toEqual([
    'DecisionLog',
    'loadState',
    'openBandit',
    'readLines',
    'saveState',
  ]);
});

/** Everything that a file imports, directly or not; types too. */
function reach(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, from = ''] of text.matchAll(/^(?:import|export|\}) [^;]*?from '([^']+)'/gms)) {
    if (from.startsWith('.')) reach(join(dirname(file), from.replace(/\.js$/, '.ts')), seen);
    else seen.add(from);
  }
  return seen;
}

test('the main entry imports nothing that a browser lacks', () => {
  const source = join(dirname(fileURLToPath(import.meta.url)), '../src');
  const names = (entry: string) =>
    [...reach(join(source, entry))].filter((name) => !/^\//.test(name));
  expect(names('node.ts')).toContain('node:fs');
  expect(names('index.ts').filter((name) => !name.startsWith('@'))).toEqual([]);
});
