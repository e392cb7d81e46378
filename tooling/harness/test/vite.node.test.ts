/**
 * Whether wasm and WebGPU work in a page that configures nothing. The packages are laid out as an installation would
 * lay them out, since Vite treats what lies in node_modules in another way than sources.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import { afterAll, test as always, beforeAll, expect } from 'vitest';
import { CHROMIUM_MISSING, chromium } from '../src/softwareGpu.js';
import { CROSS_ORIGIN_ISOLATION, launchChromium, openVitePage } from '../src/vitePage.js';

const packages = join(dirname(fileURLToPath(import.meta.url)), '../../../packages');
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'orth-vite-')));
let browser: Browser | undefined;

const missing = (await chromium()) === undefined;
if (missing) console.log(CHROMIUM_MISSING);
const test = always.skipIf(missing);

function installed(name: string): void {
  const from = join(packages, name);
  const to = join(folder, 'node_modules/@orth', name);
  mkdirSync(to, { recursive: true });
  for (const part of ['dist', 'package.json']) {
    cpSync(join(from, part), join(to, part), { recursive: true });
  }
}

function linked(from: string, dependency: string): void {
  const to = join(folder, 'node_modules', dependency);
  mkdirSync(dirname(to), { recursive: true });
  symlinkSync(realpathSync(join(packages, from, 'node_modules', dependency)), to);
}

/** A page that trains one step of a tiny model and tells what it ran on. */
function writePage(backend: string, options = '{}', head = ''): void {
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><html><head>${head}</head><body><script type="module" src="/main.js"></script></body></html>`,
  );
  writeFileSync(
    join(folder, 'main.js'),
    `import { useBackend } from '@orth/backend';
     ${backend === 'webgpu' ? "import '@orth/backend-webgpu';" : ''}
     import { grad, matMul, mean, ones, square } from '@tensorflow/tfjs-core';
     globalThis.result = (async () => {
       const { name, device, threads } = await useBackend('${backend}', ${options});
       const x = ones([40, 40]);
       const dx = grad((w) => mean(square(matMul(x, w))))(ones([40, 40]));
       return { name, device, threads, value: (await dx.data())[0] };
     })().catch((error) => ({ error: error.message }));`,
  );
}

beforeAll(async () => {
  installed('backend');
  installed('backend-webgpu');
  linked('backend', '@tensorflow/tfjs-core');
  linked('backend', '@tensorflow/tfjs-backend-cpu');
  linked('backend', '@tensorflow/tfjs-backend-wasm');
  linked('backend', 'pure-rand');
  linked('backend-webgpu', '@tensorflow/tfjs-backend-webgpu');
  if (!missing) browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** d mean(Y²)/dw for x = w = 1: every Y is 40, and 40 rows give 2 · 40 / 1600 each. */
const value = expect.closeTo(2, 5);
const variantsIn = (requests: readonly string[]) =>
  ['plain', 'simd', 'threadedSimd'].filter((name) =>
    requests.some((url) => new RegExp(`/${name}[-.]`).test(url)),
  );

test.each(['dev', 'build'] as const)('wasm in a page of Vite, %s', async (mode) => {
  writePage('wasm');
  const isolated = await openVitePage(browser!, folder, { mode, headers: CROSS_ORIGIN_ISOLATION });
  expect(isolated.result).toEqual({
    name: 'wasm',
    device: 'CPU, WebAssembly SIMD, threads',
    threads: expect.any(Number),
    value,
  });
  expect(variantsIn(isolated.requests)).toEqual(['threadedSimd']);
  expect(isolated.complaints).toEqual([]);

  const plain = await openVitePage(browser!, folder, { mode });
  expect(plain.result).toMatchObject({ name: 'wasm', threads: 1, value });
  expect(plain.result).toHaveProperty('device', expect.stringMatching(/SIMD, one thread.*Opener/));
  expect(variantsIn(plain.requests)).toEqual(['simd']);
  expect(plain.complaints).toEqual([]);
});

test.each(['dev', 'build'] as const)('WebGPU in a page of Vite, %s', async (mode) => {
  writePage('webgpu');
  const { result, complaints } = await openVitePage(browser!, folder, { mode });
  expect(result).toMatchObject({ name: 'webgpu', device: expect.stringMatching(/GPU/), value });
  expect(complaints).toEqual([]);
});

const POLICY = `<meta http-equiv="Content-Security-Policy"
  content="default-src 'self'; script-src 'self' 'wasm-unsafe-eval'">`;

test('wasm in a page whose policy forbids blob: addresses has one thread, and says why', async () => {
  writePage('wasm', '{}', POLICY);
  const headers = CROSS_ORIGIN_ISOLATION;
  const { result } = await openVitePage(browser!, folder, { mode: 'build', headers });
  expect(result).toMatchObject({ name: 'wasm', threads: 1, value });
  expect(result).toHaveProperty('device', expect.stringMatching(/one thread \(.*blob:.*policy\)/));
});

test('wasmPaths: the page serves the files, and none that is built in is loaded', async () => {
  const wasm = join(folder, 'node_modules/@tensorflow/tfjs-backend-wasm/dist');
  for (const suffix of ['', '-simd', '-threaded-simd']) {
    const file = `tfjs-backend-wasm${suffix}.wasm`;
    cpSync(join(wasm, file), join(folder, 'public/wasm', file));
  }
  writePage('wasm', "{ wasmPaths: '/wasm/' }", POLICY);
  const served = await openVitePage(browser!, folder, { mode: 'build' });
  expect(served.result).toMatchObject({ name: 'wasm', value });
  expect(variantsIn(served.requests)).toEqual([]);
  expect(served.complaints).toEqual([]);

  writePage('wasm', "{ wasmPaths: '/nowhere/' }");
  const missing = await openVitePage(browser!, folder, { mode: 'build' });
  const message = /backend 'wasm' cannot be used here .*tfjs-backend-wasm-simd\.wasm could not be/;
  expect(missing.result).toEqual({ error: expect.stringMatching(message) });
});
