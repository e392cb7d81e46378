/** What may go wrong with native code, and that it ends in an error with a name, or in wasm, but never in a crash. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackendUnavailableError, backendInfo, useBackend } from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import '../src/index.js';
import type { HeapBackend } from '../src/heap.js';
import { type Foreign, openForeign } from '../src/native/foreign.js';
import { blasCandidates, locateOnnxRuntime } from '../src/native/locate.js';
import { openOnnxRuntime } from '../src/native/onnxRuntime.js';

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'orth-backend-node-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
}

/** Runs Node to its end; `out` is what it wrote on either stream. */
function run(argv: string[]): Promise<Exit> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, argv, { cwd: join(here, '..') });
    let out = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      out += data;
    });
    child.on('close', (code, signal) => resolve({ code, signal, out: out.trim() }));
  });
}

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('a library that cannot be used', () => {
  const text = join(folder, 'libonnxruntime.so');
  writeFileSync(text, 'this is no library');

  test.each([
    ['is missing', join(folder, 'absent.so')],
    ['is no library', text],
  ])('%s: by name an error, under auto wasm with the reason', async (_, libraryPath) => {
    const error = await failure(useBackend('node', { libraryPath }));
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect(error.message).toContain(`ONNX Runtime could not be loaded from ${libraryPath}`);
    const { name, rejected } = await useBackend('auto', { libraryPath });
    expect(name).toBe('wasm');
    expect(rejected[0]).toMatchObject({ name: 'node' });
    expect(rejected[0]!.reason).toContain(libraryPath);
    expect(rejected[0]!.reason).not.toContain('\n');
    expect(backendInfo().name).toBe('wasm');
  });

  test.runIf(process.platform === 'linux')('is another library', async () => {
    const { message } = await failure(useBackend('node', { libraryPath: 'libm.so.6' }));
    expect(message).toContain('OrtGetApiBase');
    const blas = { library: 'blas', blasPath: 'libm.so.6' } as const;
    expect((await failure(useBackend('node', blas))).message).toContain('cblas_sgemm');
  });

  test('is too old', () => {
    const old: Foreign = {
      load: () => ({ function: () => (() => 4096) as never, optional: () => undefined }),
      addressAt: (address) => address,
      addressOf: () => 0,
      // The base holds GetApi and then GetVersionString.
      functionAt: (address) => (() => (address === 4096 + 8 ? '1.9.0' : 0)) as never,
    };
    expect(() => openOnnxRuntime(old, 'old.so', 1)).toThrow(
      'ONNX Runtime 1.9.0 is too old: 1.16 or later is needed',
    );
  });

  test('is not shipped for a platform', () => {
    expect(() => locateOnnxRuntime('sunos', 'sparc')).toThrow(
      'onnxruntime-node brings no library for sunos-sparc; pass one as libraryPath',
    );
  });

  test('wrong options are the caller’s error', async () => {
    await expect(useBackend('node', { library: 'mkl' as 'blas' })).rejects.toThrow(
      'useBackend: library must be one of "auto", "onnxruntime", "blas", got "mkl"',
    );
    await expect(useBackend('node', { libraryPath: 7 as unknown as string })).rejects.toThrow(
      "useBackend: libraryPath must be a file's path, got 7",
    );
  });
});

describe('where it runs', () => {
  test.each([
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'x64'],
    ['darwin', 'arm64'],
    ['win32', 'x64'],
    ['win32', 'arm64'],
  ])('%s on %s: npm brings a library', (platform, architecture) => {
    expect(locateOnnxRuntime(platform, architecture)).toMatch(/onnxruntime[^/\\]*\.(so|dylib|dll)/);
  });

  test('every platform has names to look for a BLAS under', () => {
    for (const platform of ['linux', 'darwin', 'win32'] as const) {
      expect(blasCandidates(platform).length).toBeGreaterThan(0);
    }
    expect(blasCandidates('aix')).toEqual([]);
  });

  test('is chosen by auto and says what it is', async () => {
    const { name, library, version, device, threads } = await useBackend('auto', { threads: 2 });
    expect({ name, threads }).toEqual({ name: 'node', threads: 2 });
    // Where the system has a BLAS, the faster of the two multiplies: the load of the machine decides.
    expect(library).toMatch(/^(BLAS \(.+\), )?ONNX Runtime$/);
    expect(version).toMatch(/\d+\.\d+\.\d+$/);
    expect(device).toMatch(/^CPU, /);
  });

  test('takes another number of threads while tensors live', async () => {
    // 'auto' might choose another library for another number of threads.
    const library = 'onnxruntime';
    await useBackend('node', { threads: 2, library });
    const x = tf.randomNormal([64, 64], 0, 1, 'float32', 1);
    const before = tf.matMul(x, x, true);
    const { threads } = await useBackend('node', { threads: 1, library });
    expect(threads).toBe(1);
    const after = tf.matMul(x, x, true);
    expect([...after.dataSync()]).toEqual([...before.dataSync()]);
    tf.dispose([x, before, after]);
  });

  test('wasm and node share tensors without a copy, and either may be removed', async () => {
    await useBackend('node');
    const x = tf.tensor1d([1, 2, 3]);
    const heap = tf.backend() as HeapBackend;
    const { memoryOffset } = heap.dataIdMap.get(x.dataId);
    await useBackend('wasm');
    expect([...tf.add(x, 1).dataSync()]).toEqual([2, 3, 4]);
    expect((tf.backend() as HeapBackend).dataIdMap.get(x.dataId).memoryOffset).toBe(memoryOffset);
    tf.removeBackend('node');
    expect([...tf.add(x, 2).dataSync()]).toEqual([3, 4, 5]);
    expect((await useBackend('node')).name).toBe('node');
    expect([...x.dataSync()]).toEqual([1, 2, 3]);
  });
});

describe('memory', () => {
  const MiB = 2 ** 20;

  /** Fills the heap without touching it: pages that nobody writes take no memory. */
  function ballast(backend: HeapBackend, bytes: number): tf.TensorInfo {
    return backend.makeOutput([bytes / 4], 'float32');
  }

  test('the heap grows between the allocation of a product and its address', async () => {
    await useBackend('node');
    const backend = tf.backend() as HeapBackend;
    let grown = 0;
    // Kept alive, so that each round needs new memory.
    const kept: tf.Tensor[] = [];
    for (let round = 0; round < 40 && grown < 3; round++) {
      const a = tf.randomNormal([300, 64], 0, 1, 'float32', round);
      const want = tf.matMul(tf.slice(a, [0, 0], [8, 64]), a, false, true);
      const before = backend.wasm.HEAPU8.buffer;
      // The output, 4 MiB a time when repeated, is what the heap has to grow for.
      const wide = tf.tile(a, [12, 1]);
      const product = tf.matMul(tf.slice(wide, [0, 0], [512, 64]), wide, false, true);
      if (backend.wasm.HEAPU8.buffer !== before) grown++;
      const got = tf.slice(product, [0, 0], [8, 300]);
      expect(tf.max(tf.abs(tf.sub(got, want))).dataSync()[0]).toBeLessThan(1e-4);
      kept.push(a, wide, product);
    }
    expect(grown).toBe(3);
    tf.dispose(kept);
  });

  test('a full heap is an error, and what lies above 2 GiB is computed like the rest', async () => {
    await useBackend('node');
    const backend = tf.backend() as HeapBackend;
    const kept: tf.TensorInfo[] = [];
    while (backend.wasm.HEAPU8.length < 2600 * MiB) kept.push(ballast(backend, 256 * MiB));
    // Too large for any gap below.
    const a = tf.ones([64, 8192]);
    const b = tf.fill([8192, 3000], 0.5);
    expect(backend.dataIdMap.get(b.dataId).memoryOffset).toBeGreaterThan(2 ** 31);
    const sums = tf.matMul(a, b);
    expect(new Set(sums.dataSync())).toEqual(new Set([4096]));

    const count = tf.memory().numTensors;
    const fill = () => {
      for (;;) kept.push(ballast(backend, 256 * MiB));
    };
    expect(fill).toThrow(/^out of memory: 256\.0 MiB cannot be allocated on the WebAssembly heap/);
    const left = tf.ones([40_000, 16]);
    expect(() => tf.matMul(left, left, false, true)).toThrow(/^out of memory: 6103\.5 MiB/);
    left.dispose();
    expect(tf.memory().numTensors).toBe(count);
    for (const { dataId } of kept) backend.disposeData(dataId);
    const again = tf.matMul(a, b);
    expect(new Set(again.dataSync())).toEqual(new Set([4096]));
    tf.dispose([a, b, sums, again]);
  });

  test('memory that the library cannot get is an error, too', async () => {
    const foreign = await openForeign();
    const onnx = openOnnxRuntime(foreign, locateOnnxRuntime(), 1);
    const program = onnx.program('huge', () => ({
      inputs: ['x'],
      outputs: ['y'],
      nodes: [
        { operator: 'Expand', inputs: ['x', 'shape'], outputs: ['huge'] },
        { operator: 'ReduceMax', inputs: ['huge'], outputs: ['y'] },
      ],
      constants: [{ name: 'shape', type: 'int64', dims: [2], data: [2 ** 22, 2 ** 22] }],
    }));
    const buffer = new ArrayBuffer(256);
    const address = foreign.addressOf(buffer);
    const run = () =>
      program([{ address, shape: [1, 1] }], [{ address: address + 64, shape: [1, 1] }]);
    expect(run).toThrow(/^ONNX Runtime: .*(alloc|memory)/is);
    onnx.close();
  });

  // The long run: ORTH_OPERATIONS=1000000 npx vitest run --project node packages/backend-node/test/faults
  const operations = Number(process.env.ORTH_OPERATIONS ?? 60_000);
  test(`${operations} small operations leave nothing behind`, async () => {
    // In a process of its own, whose memory nothing else moves.
    const text = `
      const load = require('node:module').createRequire(${JSON.stringify(`${here}/`)});
      const tf = load('@tensorflow/tfjs-core');
      const { useBackend } = load('@orth/backend');
      load('../dist/index.cjs');
      (async () => {
        await useBackend('node');
        const a = tf.randomNormal([16, 16]);
        const x = tf.randomNormal([2, 12, 12, 8]);
        const filter = tf.randomNormal([3, 3, 8, 8]);
        const bias = tf.zeros([16]);
        const attrs = { strides: 1, pad: 'same', dataFormat: 'NHWC', inputShape: x.shape };
        const work = (count) => {
          for (let i = 0; i < count; i += 10) {
            for (let j = 0; j < 8; j++) tf.matMul(a, a, true).dispose();
            tf.fused.matMul({ a, b: a, bias, activation: 'relu' }).dispose();
            tf.engine().runKernel('Conv2DBackpropInput', { dy: x, filter }, attrs).dispose();
          }
        };
        const state = () => {
          gc();
          return [tf.backend().numDataIds(), tf.memory().numTensors, process.memoryUsage().rss];
        };
        work(40_000);
        const before = state();
        work(${operations});
        console.log(JSON.stringify(state().map((n, i) => n - before[i])));
      })();`;
    const { code, out } = await run(['--expose-gc', '-e', text]);
    expect(code, out).toBe(0);
    const [ids, tensors, bytes] = JSON.parse(out) as [number, number, number];
    expect([ids, tensors]).toEqual([0, 0]);
    // A handle that is not released takes 80 bytes or more, and each operation has three.
    expect(bytes / operations).toBeLessThan(Math.max(40, (4 * MiB) / operations));
  }, 600_000);
});

describe('processes and threads', () => {
  /** Runs a script against the built package; `ready` comes once a worker is busy with native calls. */
  function script(main: string): Promise<Exit> {
    const worker = `
      const { parentPort } = require('node:worker_threads');
      const load = require('node:module').createRequire(${JSON.stringify(`${here}/`)});
      const tf = load('@tensorflow/tfjs-core');
      const { useBackend } = load('@orth/backend');
      load('../dist/index.cjs');
      useBackend('node').then(({ name }) => {
        const a = tf.randomNormal([256, 256], 0, 1, 'float32', 1);
        const work = () => tf.tidy(() => tf.sum(tf.matMul(a, a, true)).dataSync()[0]);
        const want = work();
        parentPort?.postMessage('ready');
        let wrong = 0;
        const end = Date.now() + (globalThis.busyFor ?? 300);
        while (Date.now() < end) if (work() !== want) wrong++;
        (parentPort ?? { postMessage: console.log }).postMessage(name + ' ' + wrong + ' wrong');
      });`;
    const text = `
      const { Worker } = require('node:worker_threads');
      const body = ${JSON.stringify(worker)};
      const start = (milliseconds, onReady = () => {}) =>
        new Promise((resolve) => {
          const worker = new Worker('globalThis.busyFor=' + milliseconds + ';' + body, { eval: true });
          worker.on('message', (message) =>
            message === 'ready' ? onReady(worker) : console.log(message));
          worker.on('exit', resolve);
        });
      ${main}`;
    return run(['-e', text]);
  }

  test('two workers at once have a backend each', async () => {
    const { code, out } = await script('start(300); start(300);');
    expect({ code, out }).toEqual({ code: 0, out: 'node 0 wrong\nnode 0 wrong' });
  });

  test('a worker after a worker, and one that was stopped while busy', async () => {
    const { code, out } = await script(`
      (async () => {
        await start(50);
        await start(60_000, (worker) => setTimeout(() => worker.terminate(), 100));
        await start(50);
      })();`);
    expect({ code, out }).toEqual({ code: 0, out: 'node 0 wrong\nnode 0 wrong' });
  });

  test('the process may end while a worker is busy', async () => {
    const { code, signal } = await script(
      'start(60_000, () => setTimeout(() => process.exit(7), 100));',
    );
    expect({ code, signal }).toEqual({ code: 7, signal: null });
  });

  test('the process may throw while a worker is busy', async () => {
    const { code, out } = await script(
      "start(60_000, () => setTimeout(() => { throw new Error('unrelated'); }, 100));",
    );
    expect(code).toBe(1);
    expect(out).toContain('unrelated');
  });

  test('a forked process has a backend of its own', async () => {
    const { code, out } = await script(`
      const { fork } = require('node:child_process');
      const file = ${JSON.stringify(join(folder, 'forked.cjs'))};
      require('node:fs').writeFileSync(file, body);
      start(300, () => fork(file));`);
    expect(code).toBe(0);
    expect(out).toBe('node 0 wrong\nnode 0 wrong');
  });

  test.each([
    ['koffi', 'koffi could not be loaded'],
    ['onnxruntime-node', 'onnxruntime-node is not installed'],
  ])('without %s, wasm takes over and says why', async (missing, reason) => {
    const { code, out } = await script(`
      const Module = require('node:module');
      const resolve = Module._resolveFilename;
      Module._resolveFilename = function (request, ...rest) {
        if (request.startsWith('${missing}')) throw new Error('Cannot find module');
        return resolve.call(this, request, ...rest);
      };
      const hook = "export const resolve = (name, context, next) => { if (name === '${missing}') " +
        "throw new Error('Cannot find module'); return next(name, context); }";
      Module.register('data:text/javascript,' + encodeURIComponent(hook));
      const load = Module.createRequire(${JSON.stringify(`${here}/`)});
      const { useBackend } = load('@orth/backend');
      load('../dist/index.cjs');
      useBackend().then(({ name, rejected }) => console.log(name + ': ' + rejected[0].reason));`);
    expect(code).toBe(0);
    expect(out).toContain(`wasm: ${reason}`);
    expect(out).toContain(`npm install ${missing}`);
    expect(out).not.toContain('\n');
  });

  test('another user of the library may have come first, without shared threads', async () => {
    const { code, out } = await script(`
      const koffi = require('koffi');
      const path = ${JSON.stringify(locateOnnxRuntime())};
      const library = koffi.load(path);
      const at = (address, index) => koffi.decode(address + BigInt(8 * index), 'uintptr_t');
      const base = BigInt(library.func('OrtGetApiBase', 'uintptr_t', [])());
      const getApi = koffi.decode(BigInt(at(base, 0)), koffi.proto('uintptr_t', ['uint32_t']));
      const createEnv = koffi.decode(BigInt(at(BigInt(getApi(16)), 3)), koffi.proto('uintptr_t', ['int', 'str', 'uintptr_t']));
      const cell = new ArrayBuffer(8);
      if (createEnv(3, 'other', Number(koffi.address(cell))) !== 0) throw new Error('no environment');
      start(100);`);
    expect({ code, out }).toEqual({ code: 0, out: 'node 0 wrong' });
  });
});
