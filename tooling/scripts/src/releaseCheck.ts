/**
 * `pnpm release:check`: packs every package and uses the tarballs as strangers would, outside the workspace: package
 * metadata (publint, attw), an ES module, a CommonJS script, the READMEs' examples, TypeScript under three module
 * resolutions, and a strict pnpm project in which anything undeclared is missing. Ends with `N passed, N failed`.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CHROMIUM_MISSING, chromium } from '@orth/harness/softwareGpu';
import { launchChromium, openVitePage } from '@orth/harness/vitePage';
import { exampleScripts } from './readmeExamples.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const tools = join(root, 'tooling/scripts');
const scratch = mkdtempSync(join(tmpdir(), 'orth-release-'));

interface Package {
  readonly name: string;
  readonly folder: string;
  readonly tarball: string;
}

let passed = 0;
let failed = 0;

function report(name: string, ok: boolean, complaint: string): boolean {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok' : 'FAIL'} ${name}`);
  if (!ok) console.log(complaint);
  return ok;
}

/** Runs a command as one check; its output is shown only when it fails. */
function check(name: string, cwd: string, command: string, args: string[]): boolean {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  return report(name, status === 0, `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`);
}

function packAll(): Package[] {
  const folder = join(scratch, 'tarballs');
  mkdirSync(folder);
  const manifests = readdirSync(join(root, 'packages')).filter((directory) =>
    existsSync(join(root, 'packages', directory, 'package.json')),
  );
  return manifests.map((directory) => {
    const path = join(root, 'packages', directory);
    const { name } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    const output = execFileSync(
      'npx',
      ['-y', 'pnpm', 'pack', '--json', '--pack-destination', folder],
      {
        cwd: path,
        encoding: 'utf8',
      },
    );
    const { filename } = JSON.parse(output.slice(output.indexOf('{')));
    return { name, folder: path, tarball: filename };
  });
}

const versionOf = (name: string): string =>
  JSON.parse(readFileSync(join(root, 'packages/muon/node_modules', name, 'package.json'), 'utf8'))
    .version;

/** A project that depends on the tarballs and on tfjs from the registry, as a user's would. */
function makeConsumer(name: string, packages: Package[]): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  const tarballs = Object.fromEntries(
    packages.map(({ name, tarball }) => [name, `file:${tarball}`]),
  );
  const manifest = {
    name,
    private: true,
    dependencies: {
      ...tarballs,
      '@tensorflow/tfjs-core': versionOf('@tensorflow/tfjs-core'),
      '@tensorflow/tfjs-layers': versionOf('@tensorflow/tfjs-layers'),
    },
    // The tarballs name each other by version, and these versions may not be published yet.
    overrides: tarballs,
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2));
  return folder;
}

function checkMetadata(packages: Package[]): void {
  for (const { name, tarball } of packages) {
    check(`publint ${name}`, tools, 'npx', ['--no-install', 'publint', '--strict', tarball]);
    check(`attw ${name}`, tools, 'npx', ['--no-install', 'attw', tarball]);
  }
}

function checkRuntime(folder: string, packages: Package[]): void {
  const names = packages.map(({ name }) => name);
  const use = `
    const { name } = await useBackend('cpu');
    const gradient = tf.grad((x) => tf.mean(tf.square(x)))(tf.tensor1d([1, 2]));
    if (name !== 'cpu' || gradient.dataSync()[1] !== 2) throw new Error('wrong gradient');
  `;
  const esm = `
    import * as tf from '@tensorflow/tfjs-core';
    import { useBackend } from '@orth/backend';
    ${names.map((name) => `import '${name}';`).join('\n')}
    ${use}`;
  const cjs = `
    const tf = require('@tensorflow/tfjs-core');
    const { useBackend } = require('@orth/backend');
    for (const name of ${JSON.stringify(names)}) require(name);
    (async () => {${use}})().catch((error) => { console.error(error); process.exit(1); });`;
  writeFileSync(join(folder, 'use.mjs'), esm);
  writeFileSync(join(folder, 'use.cjs'), cjs);
  check('ES module', folder, process.execPath, ['use.mjs']);
  check('CommonJS', folder, process.execPath, ['use.cjs']);
  for (const { name, folder: source } of packages) {
    const readme = readFileSync(join(source, 'README.md'), 'utf8');
    exampleScripts(readme).forEach((script, i) => {
      const file = `${name.replace('@orth/', '')}-example-${i + 1}.mjs`;
      writeFileSync(join(folder, file), script);
      check(`README of ${name}, example ${i + 1}`, folder, process.execPath, [file]);
    });
  }
}

function checkTypes(folder: string, packages: Package[]): void {
  const lines = packages.map(({ name }, i) => `import * as p${i} from '${name}';\nvoid p${i};`);
  const misuse = [
    `import { Muon } from '@orth/muon';`,
    'new Muon({ learningRate: 0.02 });',
    '// @ts-expect-error an unknown option is an error in the editor, not only at run time',
    'new Muon({ learningrate: 0.02 });',
  ];
  const text = [...lines, ...misuse].join('\n');
  for (const file of ['types.mts', 'types.cts', 'types.ts'])
    writeFileSync(join(folder, file), text);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const resolutions = { 'types.mts': 'nodenext', 'types.cts': 'nodenext', 'types.ts': 'bundler' };
  for (const [file, moduleResolution] of Object.entries(resolutions)) {
    const compilerOptions = {
      strict: true,
      noEmit: true,
      // tfjs-core's own declarations do not pass under current TypeScript.
      skipLibCheck: true,
      target: 'es2022',
      module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
      moduleResolution,
      types: [],
    };
    const project = join(folder, `tsconfig.${file}.json`);
    writeFileSync(project, JSON.stringify({ compilerOptions, files: [file] }));
    check(`types, ${file} with ${moduleResolution}`, folder, process.execPath, [
      tsc,
      '-p',
      project,
    ]);
  }
}

/** Trains a model with the packed packages in a page of Vite, from its dev server and as a production build. */
async function checkBrowser(folder: string): Promise<void> {
  const page = `
    import { useBackend } from '@orth/backend';
    import { Muon } from '@orth/muon';
    import { matMul, mean, ones, square, tidy, variable } from '@tensorflow/tfjs-core';
    globalThis.result = (async () => {
      const { name } = await useBackend('wasm');
      const w = variable(ones([8, 8]));
      const optimizer = new Muon({ learningRate: 0.1 });
      const loss = () => mean(square(matMul(ones([8, 8]), w)));
      const [before] = await tidy(loss).data();
      for (let step = 0; step < 5; step++) optimizer.minimize(loss, false, [w]);
      const [after] = await tidy(loss).data();
      return { name, learned: after < before };
    })().catch((error) => ({ error: String(error) }));`;
  writeFileSync(join(folder, 'index.html'), '<script type="module" src="/page.js"></script>');
  writeFileSync(join(folder, 'page.js'), page);
  const browser = await launchChromium();
  try {
    for (const mode of ['dev', 'build'] as const) {
      const { result, complaints } = await openVitePage(browser, folder, { mode });
      const { name, learned } = result as { name?: string; learned?: boolean };
      const ok = name === 'wasm' && learned === true && complaints.length === 0;
      report(`a page of Vite, ${mode}`, ok, `${JSON.stringify(result)} ${complaints.join('\n')}`);
    }
  } finally {
    await browser.close();
  }
}

/** pnpm links only what a package declares: an undeclared import fails here, and no optional peer may appear. */
function checkStrictProject(folder: string, packages: Package[]): void {
  const overrides = packages
    .map(({ name, tarball }) => `  '${name}': 'file:${tarball}'`)
    .join('\n');
  writeFileSync(
    join(folder, 'pnpm-workspace.yaml'),
    `overrides:\n${overrides}\nallowBuilds:\n  core-js: false\n  koffi: false\n`,
  );
  if (!check('install with pnpm', folder, 'npx', ['-y', 'pnpm', 'install'])) return;
  const script = packages.map(({ name }) => `await import('${name}');`).join('\n');
  writeFileSync(join(folder, 'strict.mjs'), script);
  check('every import is declared', folder, process.execPath, ['strict.mjs']);
  const installed = readdirSync(join(folder, 'node_modules/.pnpm'));
  const optional = installed.filter((name) =>
    /^(webgpu|@huggingface\+transformers|@tensorflow\+tfjs-node(-gpu)?)@/.test(name),
  );
  report('no optional peer is installed', optional.length === 0, optional.join(', '));
}

try {
  const packages = packAll();
  checkMetadata(packages);
  const consumer = makeConsumer('consumer', packages);
  if (check('install with npm', consumer, 'npm', ['install', '--no-audit', '--no-fund'])) {
    checkRuntime(consumer, packages);
    checkTypes(consumer, packages);
    if (await chromium()) await checkBrowser(consumer);
    else console.log(CHROMIUM_MISSING);
  }
  checkStrictProject(makeConsumer('strict', packages), packages);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
