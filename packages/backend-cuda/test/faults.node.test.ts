/** The whole backend on an emulated GPU whose functions are made to fail: no crash, nothing lost, an error with a name. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BackendUnavailableError,
  backendInfo,
  DeviceLostError,
  fusedKernel,
  registerBackend,
  useBackend,
} from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CudaBackend } from '../src/cudaBackend.js';
import { createCudaProvider, cudaProvider } from '../src/cudaProvider.js';
import { CudaError, cudaMemory, releaseCuda } from '../src/index.js';
import { normal } from './cases.js';
import { EMULATOR_MISSING, type Emulator, openEmulator } from './emulator/emulator.js';

const MiB = 2 ** 20;

async function failure(work: () => unknown): Promise<Error & Partial<CudaError>> {
  try {
    await work();
  } catch (error) {
    return error as CudaError;
  }
  throw new Error('nothing was thrown');
}

if (EMULATOR_MISSING !== undefined) test.skip(EMULATOR_MISSING, () => {});
else suite(openEmulator());

function suite(gpu: Emulator): void {
  const start = (options: object = {}) => useBackend('cuda', { ...gpu.options, ...options });
  const folder = mkdtempSync(join(tmpdir(), 'orth-backend-cuda-'));
  const backend = () => tf.backend() as CudaBackend;
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(() => gpu.reset());
  afterEach(() => {
    gpu.reset();
    releaseCuda();
    expect(gpu.used(), 'device memory that was not given back').toBe(0);
  });

  describe('starting', () => {
    test('tells what runs, and comes before the other backends', async () => {
      const info = await useBackend('auto', { ...gpu.options, memoryLimit: 2 ** 30 });
      expect(info).toMatchObject({
        name: 'cuda',
        reason: 'the fastest that could start here',
        library: 'NVIDIA driver, cuBLAS, NVRTC',
        version: '13.0, 13.0.0, 13.0',
        device: 'Emulated GPU, compute capability 8.0, 8.0 GiB, at most 1.0 GiB in use',
        fusedOps: ['newton-schulz/iterate', 'newton-schulz/orthogonalize'],
      });
      expect(gpu.compilerOptions()).toContain('--gpu-architecture=sm_80');
      // The same again costs nothing; a choice that would lose tensors is refused.
      expect((await useBackend('cuda', gpu.options)).device).toBe(info.device);
      const other = await failure(() => start({ tf32: true }));
      expect(other.message).toContain('the GPU runs already');
      expect(other.message).toContain('with another tf32');
      expect(backendInfo().name).toBe('cuda');
    });

    test('where no GPU is: by name an error, under auto the next backend with the reason', async () => {
      gpu.set('devices', 0);
      const error = await failure(() => start());
      expect(error).toBeInstanceOf(BackendUnavailableError);
      expect(error.message).toContain('the NVIDIA driver runs, but finds no GPU');
      const { name, rejected } = await useBackend('auto', { ...gpu.options });
      expect(name).toBe('wasm');
      expect(rejected).toEqual([
        { name: 'cuda', reason: 'the NVIDIA driver runs, but finds no GPU' },
      ]);
    });

    test('an old driver, a format that the GPU lacks, a product that is wrong', async () => {
      gpu.set('driver', 10_010);
      expect((await failure(() => start())).message).toContain('too old: it supports CUDA 10.1');
      gpu.reset();
      gpu.set('capability', 75);
      expect((await failure(() => start({ tf32: true }))).message).toContain(
        'tf32 needs compute capability 8.0, and Emulated GPU has 7.5',
      );
      expect(
        (await failure(() => start({ orthogonalizePrecision: 'bfloat16' }))).message,
      ).toContain('bfloat16 needs compute capability 8.0');
      gpu.reset();
      gpu.fail('nvrtcCompileProgram', 6);
      expect((await failure(() => start())).message).toContain('could not be compiled');
      await start();
      expect(backendInfo().name).toBe('cuda');
    });

    test('a GPU that is newer than the compiler', async () => {
      gpu.set('newestArchitecture', 75);
      await start();
      expect(gpu.compilerOptions()).toContain('--gpu-architecture=compute_75');
    });

    test.each([
      [{ provider: 'cuda' }, 'useBackend: provider must be one of "auto", "driver"'],
      [{ device: -1 }, 'useBackend: device must be an integer >= 0, got -1'],
      [{ memoryLimit: 0 }, 'useBackend: memoryLimit must be a finite number > 0, got 0'],
      [{ tf32: 1 }, 'useBackend: tf32 must be true or false, got 1'],
      [{ orthogonalizePrecision: 'float16' }, 'useBackend: orthogonalizePrecision must be one of'],
      [{ cacheFolder: '' }, 'useBackend: cacheFolder must be a path, got ""'],
      [{ cudaPath: 7 }, 'useBackend: cudaPath must be a path, got 7'],
      [{ gpu: 0 }, 'useBackend'],
    ])('wrong options are the caller’s error: %o', async (options, message) => {
      const error = await failure(() => start(options));
      expect(error).not.toBeInstanceOf(BackendUnavailableError);
      expect(error.message).toContain(message);
    });

    test('nothing to release, nothing to tell', () => {
      releaseCuda();
      expect(() => cudaMemory()).toThrow('cudaMemory: CUDA does not run here');
    });
  });

  describe('tfjs-node-gpu', () => {
    /** Stands for the package: loading it registers a backend and makes it the active one. */
    const loading = (isUsingGpuDevice: boolean) => async () => {
      const cpu = tf.findBackend('cpu');
      if (!tf.findBackendFactory('tensorflow')) {
        const object = Object.create(cpu, { isUsingGpuDevice: { value: isUsingGpuDevice } });
        tf.registerBackend('tensorflow', () => object, 3);
        tf.copyRegisteredKernels('cpu', 'tensorflow');
      }
      await tf.setBackend('tensorflow');
      return { version: { 'tfjs-node': '4.22.0' } };
    };
    const missing = async () => {
      const message = "Cannot find package '@tensorflow/tfjs-node-gpu' imported from here";
      throw Object.assign(new Error(message), { code: 'ERR_MODULE_NOT_FOUND' });
    };
    const broken = async () => {
      throw new Error('libtensorflow.so.2: cannot open shared object file\nmore');
    };
    const nativeDriver = async () => {
      throw new Error('no driver here');
    };
    beforeEach(async () => {
      await useBackend('cpu');
    });
    afterEach(() => {
      releaseCuda();
      if (tf.findBackendFactory('tensorflow')) tf.removeBackend('tensorflow');
      for (const { kernelName } of tf.getKernelsForBackend('tensorflow')) {
        tf.unregisterKernel(kernelName, 'tensorflow');
      }
      registerBackend(cudaProvider);
    });
    const register = (importTfjsNodeGpu: () => Promise<unknown>) =>
      registerBackend(createCudaProvider({ openDriver: nativeDriver, importTfjsNodeGpu }));

    test('runs under our name where it is installed', async () => {
      register(loading(true));
      const { name, library, version, device } = await useBackend('cuda');
      expect({ name, library, version, device }).toEqual({
        name: 'cuda',
        library: '@tensorflow/tfjs-node-gpu',
        version: '4.22.0',
        device: 'NVIDIA GPU, through TensorFlow',
      });
      const y = tf.add(tf.tensor1d([1, 2]), 1);
      expect([...y.dataSync()]).toEqual([2, 3]);
      y.dispose();
      expect(() => cudaMemory()).toThrow("provider: 'driver'");
    });

    test.each([
      [loading(false), 'runs on the CPU: it finds no GPU'],
      [missing, '@tensorflow/tfjs-node-gpu is not installed'],
      [broken, 'is installed, but does not load: libtensorflow.so.2: cannot open shared object'],
    ])('says why it does not run, and leaves the active backend', async (load, message) => {
      register(load);
      const asked = await failure(() => useBackend('cuda', { provider: 'tfjs-node-gpu' }));
      expect(asked.message).toContain(message);
      expect(tf.getBackend()).toBe('cpu');
      const auto = await failure(() => useBackend('cuda'));
      expect(auto.message).toContain('no driver here; ');
      expect(auto.message).toContain(message);
      expect(tf.getBackend()).toBe('cpu');
    });

    test('is not here: the driver is taken', async () => {
      const { provider: _, ...paths } = gpu.options;
      registerBackend(cudaProvider);
      expect((await useBackend('cuda', paths)).library).toBe('NVIDIA driver, cuBLAS, NVRTC');
    });
  });

  describe('memory', () => {
    test('a limit is kept, what is unused goes first, and nothing is lost', async () => {
      await start({ memoryLimit: 8 * MiB });
      const a = tf.ones([512, 1024]);
      tf.ones([768, 1024]).dispose();
      const before = tf.memory().numTensors;
      // The block that is kept has another size: it is given back to make room.
      const b = tf.ones([1000, 1024]);
      expect(cudaMemory()).toMatchObject({ limit: 8 * MiB, total: 8192 * MiB });
      expect(cudaMemory().reserved).toBeLessThanOrEqual(8 * MiB);
      const error = await failure(() => tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D, true, false));
      expect(error.message).toContain('inner dimensions');
      const full = await failure(() => tf.ones([900, 1024]));
      expect(full).toBeInstanceOf(CudaError);
      expect(full).toMatchObject({ codeName: 'CUDA_ERROR_OUT_OF_MEMORY' });
      expect(full.message).toMatch(
        /^cuda: out of memory: 3\.8 MiB cannot be allocated, 6\.0 MiB are in use by tensors \(memoryLimit is 8\.0 MiB\)/,
      );
      expect(tf.memory().numTensors).toBe(before + 1);
      b.dispose();
      const again = tf.ones([900, 1024]);
      expect((await again.data())[5]).toBe(1);
      tf.dispose([a, again]);
    });

    test('the device is full: what is kept is given back, and then an error', async () => {
      await start();
      gpu.set('mebibytes', 16);
      tf.ones([1024, 2048]).dispose();
      const a = tf.ones([1024, 2560]);
      const blocks = backend().numDataIds();
      const error = await failure(() => tf.concat([a, a]));
      expect(error.message).toMatch(
        /^cuda: out of memory: 20\.0 MiB .* CUDA_ERROR_OUT_OF_MEMORY \(out of memory\)\)/,
      );
      expect(backend().numDataIds()).toBe(blocks);
      expect([...(await tf.slice(a, [0, 0], [1, 2]).data())]).toEqual([1, 1]);
      a.dispose();
    });

    test('temporary tensors of a kernel that fails go', async () => {
      await start();
      const x = normal([2, 6, 5, 4]) as tf.Tensor4D;
      const w = normal([3, 3, 4, 3], 2) as tf.Tensor4D;
      tf.conv2d(x, w, 1, 'same').dispose();
      const [blocks, { used }] = [backend().numDataIds(), cudaMemory()];
      for (const name of ['cuLaunchKernel', 'cublasGemmEx']) {
        gpu.fail(name, name === 'cuLaunchKernel' ? 701 : 13);
        const error = await failure(() => tf.conv2d(x, w, 1, 'same'));
        expect(error).toBeInstanceOf(CudaError);
        expect(error.kernel).toBe(name === 'cuLaunchKernel' ? 'imageToColumns' : 'Conv2D');
        expect(backend().numDataIds()).toBe(blocks);
        expect(cudaMemory().used).toBe(used);
      }
      tf.dispose([x, w]);
    });

    test('small operations leave nothing behind', async () => {
      await start();
      const count = Number(process.env.ORTH_OPERATIONS ?? 3000);
      const work = (steps: number) => {
        for (let i = 0; i < steps; i++) {
          tf.tidy(() => tf.sum(tf.mul(tf.add(x, i), 0.5))).dispose();
        }
      };
      const x = normal([40]);
      work(10);
      const [before, { reserved }, tensors] = [gpu.used(), cudaMemory(), tf.memory().numTensors];
      work(count);
      expect(gpu.used()).toBe(before);
      expect(cudaMemory().reserved).toBe(reserved);
      expect(tf.memory()).toMatchObject({ numTensors: tensors, unreliable: false });
      x.dispose();
    });
  });

  describe('kernels that fail', () => {
    test('a launch is named, and the next one works', async () => {
      await start();
      const x = normal([40]);
      const blocks = backend().numDataIds();
      gpu.fail('cuLaunchKernel', 701);
      const error = await failure(() => tf.exp(x));
      expect(error.message).toBe(
        "cuda: kernel 'Exp_f32_f32' failed: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (too many resources requested for launch)",
      );
      expect(backend().numDataIds()).toBe(blocks);
      const y = tf.exp(x);
      expect((await y.data())[0]).toBeCloseTo(Math.exp((await x.data())[0]!), 5);
      tf.dispose([x, y]);
    });

    test('the device is lost: every use says so, and a new start works', async () => {
      await start();
      const x = normal([40]);
      gpu.fail('cuMemcpyDtoH_v2', 700);
      const y = tf.exp(x);
      const error = await failure(() => y.data());
      expect(error).toBeInstanceOf(DeviceLostError);
      expect(error.message).toContain("after kernel 'Exp_f32_f32': CUDA_ERROR_ILLEGAL_ADDRESS");
      expect(error.message).toContain("await useBackend('cuda') starts anew");
      expect(await failure(() => tf.exp(x))).toBe(error);
      expect(await failure(() => x.dataSync())).toBe(error);
      tf.dispose([x, y]);
      await start();
      const z = tf.exp(normal([40]));
      expect((await z.data()).length).toBe(40);
      z.dispose();
    });

    test('synchronous reads and writes', async () => {
      await start();
      gpu.fail('cuMemcpyHtoDAsync_v2', 1);
      expect((await failure(() => normal([40]))).message).toBe(
        'cuda: writing a tensor failed: CUDA_ERROR_INVALID_VALUE (invalid argument)',
      );
      const x = normal([40]);
      gpu.fail('cuMemcpyDtoH_v2', 1);
      expect((await failure(() => x.dataSync())).message).toContain('reading a tensor failed');
      expect(x.dataSync().length).toBe(40);
      x.dispose();
    });
  });

  describe('reading', () => {
    test('does not hold the program up, and outlives the tensor', async () => {
      await start();
      const x = normal([40]);
      const want = x.dataSync();
      gpu.set('busy', 250);
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      const reading = x.data();
      x.dispose();
      expect([...(await reading)]).toEqual([...want]);
      clearInterval(timer);
      expect(turns).toBeGreaterThan(10);
      expect(gpu.calls('cuEventQuery')).toBe(251);
    });

    test('numbers that the host gave need no device', async () => {
      await start();
      gpu.reset();
      const s = tf.scalar(2.5);
      expect([...s.dataSync(), ...(await s.data())]).toEqual([2.5, 2.5]);
      const x = normal([40]);
      const y = tf.mul(x, s);
      expect(gpu.launched()).toEqual(['Multiply_f32_f32s_f32']);
      expect(gpu.calls('cuMemcpyHtoDAsync_v2')).toBe(1);
      expect(gpu.calls('cuMemcpyDtoH_v2')).toBe(0);
      tf.dispose([s, x, y]);
    });
  });

  describe('compiled kernels on disk', () => {
    test('are used by the next start; damaged and foreign ones are replaced', async () => {
      const cacheFolder = join(folder, 'new/kernels');
      const compile = async () => {
        await start({ cacheFolder });
        const x = normal([40]);
        const y = tf.exp(x);
        const sum = ((await y.data()) as Float32Array).reduce((total, v) => total + v, 0);
        tf.dispose([x, y]);
        const { counts } = backend().kernels;
        releaseCuda();
        return { ...counts, sum };
      };
      const first = await compile();
      expect(first).toMatchObject({ fromDisk: 0 });
      expect(first.compiled).toBeGreaterThanOrEqual(2);
      const files = readdirSync(cacheFolder);
      expect(files.length).toBe(first.compiled);
      expect(await compile()).toEqual({ compiled: 0, fromDisk: first.compiled, sum: first.sum });
      const exp = join(cacheFolder, files.find((name) => name.startsWith('Exp_'))!);
      const whole = readFileSync(exp);
      writeFileSync(exp, whole.subarray(0, whole.length - 3));
      expect(await compile()).toMatchObject({ compiled: 1, sum: first.sum });
      expect(readFileSync(exp)).toEqual(whole);
      // The driver refuses the image of another version: it is compiled anew.
      gpu.fail('cuModuleLoadData', 200);
      expect(await compile()).toMatchObject({ compiled: 1, sum: first.sum });
      // For another architecture it is another file.
      gpu.set('newestArchitecture', 75);
      expect(await compile()).toMatchObject({ fromDisk: 0, sum: first.sum });
    });
  });

  describe('orthogonalisation', () => {
    const attributes = {
      coefficients: Array.from({ length: 5 }, () => [3.4445, -4.775, 2.0315]),
      form: 'auto',
      restarts: [4],
      normalization: 'frobenius',
      safety: 1,
      epsilon: 1e-7,
      epsilonMode: 'relative',
    };
    const run = (x: tf.Tensor) =>
      fusedKernel<object>('newton-schulz/orthogonalize', 'cuda')!([x], attributes);

    test('is queued in one go: nothing is read back, and a batch is one product at a time', async () => {
      await start();
      const x = normal([3, 8, 12]);
      run(x).dispose();
      gpu.reset();
      const y = run(x);
      expect(gpu.calls('cuMemcpyDtoH_v2') + gpu.calls('cuCtxSynchronize')).toBe(0);
      expect(gpu.calls('cuMemcpyHtoDAsync_v2')).toBe(0);
      expect(gpu.calls('cublasGemmEx')).toBe(0);
      // Five steps of a Gram matrix, its square, and the product with X.
      expect(gpu.calls('cublasGemmStridedBatchedEx')).toBe(15);
      tf.dispose([x, y]);
    });

    test('tf32 and bfloat16 come near float32, each as near as its digits', async () => {
      const results: Record<string, Float32Array> = {};
      for (const orthogonalizePrecision of ['float32', 'tf32', 'bfloat16']) {
        for (const form of ['standard', 'gram']) {
          await start({ orthogonalizePrecision });
          const x = normal([2, 6, 20]);
          const kernel = fusedKernel<object>('newton-schulz/orthogonalize', 'cuda')!;
          const y = kernel([x], { ...attributes, form, restarts: form === 'gram' ? [2] : [] });
          results[`${orthogonalizePrecision} ${form}`] = (await y.data()) as Float32Array;
          tf.dispose([x, y]);
          releaseCuda();
        }
      }
      const distance = (name: string) =>
        Math.max(
          ...results[name]!.map((value, i) => Math.abs(value - results['float32 standard']![i]!)),
        );
      expect(distance('float32 gram')).toBeLessThan(1e-4);
      for (const form of ['standard', 'gram']) {
        expect(distance(`tf32 ${form}`)).toBeGreaterThan(1e-6);
        expect(distance(`tf32 ${form}`)).toBeLessThan(5e-3);
        expect(distance(`bfloat16 ${form}`)).toBeGreaterThan(1e-4);
        expect(distance(`bfloat16 ${form}`)).toBeLessThan(5e-2);
      }
    });

    test('tf32 for all products', async () => {
      await start({ tf32: true });
      const a = normal([5, 30]) as tf.Tensor2D;
      const rounded = await tf.matMul(a, a, false, true).data();
      releaseCuda();
      await start();
      const b = normal([5, 30]) as tf.Tensor2D;
      const exact = await tf.matMul(b, b, false, true).data();
      const error = Math.max(...exact.map((value, i) => Math.abs(value - rounded[i]!)));
      expect(error).toBeGreaterThan(1e-5);
      expect(error).toBeLessThan(3e-2);
    });
  });
}
