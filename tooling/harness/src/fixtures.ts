/**
 * `pnpm fixtures [DIR…] [--backend NAME]`: golden fixtures through the packages' adapters, against the built packages.
 * Folders may lie outside the repository. Exit code 0 only when nothing failed or was unknown.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type BackendInfo, useBackend } from '@orth/backend';
import { type Adapter, formatResult, parseFixture, runFixture } from '@orth/testing';
import { memory } from '@tensorflow/tfjs-core';

const packages = join(dirname(fileURLToPath(import.meta.url)), '../../../packages');

async function loadAdapters(): Promise<Record<string, Adapter>> {
  const all: Record<string, Adapter> = {};
  for (const name of readdirSync(packages)) {
    const file = join(packages, name, 'test/fixtures.ts');
    if (!existsSync(file)) continue;
    // A package that does not load costs its own fixtures (unknown), not those of the others.
    const adapters = await import(pathToFileURL(file).href).then(
      (module: { adapters: Record<string, Adapter> }) => module.adapters,
      (error: Error) => {
        console.error(`packages/${name}/test/fixtures.ts: ${error.message}`);
        return {};
      },
    );
    for (const [op, adapter] of Object.entries(adapters)) {
      if (op in all) throw new Error(`op ${op} has two adapters; the second is in ${file}`);
      all[op] = adapter;
    }
  }
  return all;
}

function* jsonFiles(path: string): Generator<string> {
  if (statSync(path).isFile()) {
    yield path;
    return;
  }
  for (const name of readdirSync(path).sort()) {
    const child = join(path, name);
    if (statSync(child).isDirectory() || name.endsWith('.json')) yield* jsonFiles(child);
  }
}

function defaultFolders(): string[] {
  return readdirSync(packages)
    .map((name) => join(packages, name, 'test/fixtures'))
    .filter((folder) => existsSync(folder));
}

async function startBackend(name: string): Promise<BackendInfo> {
  if (name === 'webgpu') {
    const { useSoftwareGpu } = await import('./softwareGpu.js');
    await useSoftwareGpu();
    await import('@orth/backend-webgpu');
  }
  if (name === 'cuda') await import('@orth/backend-cuda');
  if (name === 'node') await import('@orth/backend-node');
  return useBackend(name);
}

function usage(message: string): never {
  console.error(
    `${message}\nusage: pnpm fixtures [DIR…] [--backend auto|cpu|wasm|node|cuda|webgpu]`,
  );
  process.exit(2);
}

function parseCommandLine(): { folders: string[]; backend: string } {
  try {
    const { values, positionals } = parseArgs({
      options: { backend: { type: 'string', default: 'auto' } },
      allowPositionals: true,
    });
    // Package managers run scripts in the root; a relative folder means the caller's.
    const caller = process.env.INIT_CWD ?? process.cwd();
    const folders = positionals.map((folder) => resolve(caller, folder));
    const missing = folders.find((folder) => !existsSync(folder));
    if (missing) usage(`no such folder: ${missing}`);
    return { folders: folders.length > 0 ? folders : defaultFolders(), backend: values.backend };
  } catch (error) {
    return usage((error as Error).message);
  }
}

async function main(): Promise<void> {
  const { folders, backend } = parseCommandLine();
  const { name, device } = await startBackend(backend);
  console.log(`backend: ${name} (${device})`);
  const adapters = await loadAdapters();
  let passed = 0;
  let failed = 0;
  for (const file of folders.flatMap((folder) => [...jsonFiles(folder)])) {
    let line: string;
    let ok = false;
    try {
      const fixture = parseFixture(JSON.parse(readFileSync(file, 'utf8')));
      const before = memory().numTensors;
      const result = await runFixture(fixture, adapters);
      const leaked = memory().numTensors - before;
      ok = result.status === 'ok';
      line = formatResult(result);
      // A fixture's own tensors are gone by now: whatever is left was left by the package or its adapter.
      if (ok && leaked > 0) {
        ok = false;
        line = `FAIL ${fixture.name} output=- ${leaked} tensors were left behind`;
      }
    } catch (error) {
      line = `FAIL ${file} output=- ${(error as Error).message}`;
    }
    if (ok) passed++;
    else failed++;
    console.log(line);
  }
  console.log(`${passed} passed, ${failed} failed`);
  // Dawn keeps Node alive as long as its device exists.
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

await main();
