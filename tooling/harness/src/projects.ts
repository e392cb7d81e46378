/**
 * One vitest project for each backend, over the tests of all packages:
 * - `*.test.ts` on cpu and wasm; `conformance.test.ts` and `fixtures.test.ts` on every backend, in a browser too;
 * - `*.node.test.ts` once, without a backend: command lines, files, processes.
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProjectConfiguration } from 'vitest/config';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const setup = join(here, 'setup.ts');

const everyBackend = ['packages/*/test/{conformance,fixtures}.test.ts'];
const tests = ['{packages,apps,tooling}/*/test/**/*.test.ts'];
const nodeOnly = ['{packages,apps,tooling}/*/test/**/*.node.test.ts'];

/** Tests run on the sources: `@orth/x` is packages/x/src, so that an edit needs no build and a stack names our lines. */
const alias = readdirSync(join(root, 'packages')).flatMap((name) => {
  const index = join(root, 'packages', name, 'src/index.ts');
  return existsSync(index) ? [{ find: new RegExp(`^@orth/${name}$`), replacement: index }] : [];
});

function nodeProject(name: string, include: string[], backend?: string): TestProjectConfiguration {
  return {
    root,
    resolve: { alias },
    test: {
      name,
      include,
      exclude: backend ? ['**/*.node.test.ts', '**/node_modules/**'] : ['**/node_modules/**'],
      pool: 'forks',
      ...(backend && { setupFiles: [setup], provide: { backend } }),
      testTimeout: 60_000,
    },
  };
}

export async function projects(): Promise<TestProjectConfiguration[]> {
  return [
    nodeProject('node', nodeOnly),
    nodeProject('cpu', tests, 'cpu'),
    nodeProject('wasm', tests, 'wasm'),
    nodeProject('webgpu', everyBackend, 'webgpu'),
  ];
}
