import {
  type BackendProvider,
  BackendUnavailableError,
  backendInfo,
  registerBackend,
  registerFusedKernel,
  useBackend,
} from '@orth/backend';
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import {
  type GradConfig,
  getBackend,
  getGradient,
  type KernelBackend,
  ones,
  registerGradient,
  registerBackend as registerWithTfjs,
  removeBackend,
  setBackend,
} from '@tensorflow/tfjs-core';
import { afterEach, expect, inject, onTestFinished, test, vi } from 'vitest';
import { providers } from '../src/provider.js';

/** The backend of the project that runs these tests. */
const home = inject('backend' as never) as string;

afterEach(async () => {
  await useBackend(home);
});

interface Fake {
  readonly priority?: number;
  readonly options?: string[];
  readonly start?: BackendProvider['start'];
  /** What tfjs gets when it switches to the backend. */
  readonly factory?: () => KernelBackend | Promise<KernelBackend>;
}

/** Without tfjs's advice on the console, which `useBackend('cpu')` leaves out for the real one. */
const quietCpu = () => Object.assign(new MathBackendCPU(), { firstUse: false });

/** A backend for the length of a test: tfjs's JavaScript backend under another name. */
function fake(name: string, { priority = 1, options, start, factory }: Fake = {}) {
  const started = vi.fn<BackendProvider['start']>(
    start ?? (async () => ({ library: `lib-${name}`, version: '1', device: `device-${name}` })),
  );
  registerWithTfjs(name, factory ?? quietCpu, 0);
  registerBackend({ name, priority, options, start: started });
  onTestFinished(() => {
    providers.delete(name);
    removeBackend(name);
  });
  return started;
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.unreachable('should have failed'),
    (error) => error,
  );

test('a name nobody knows: the error lists those that are known', async () => {
  const error = (await failure(useBackend('gpu9'))) as BackendUnavailableError;
  expect(error).toBeInstanceOf(BackendUnavailableError);
  expect(error.message).toBe(
    "useBackend: backend 'gpu9' cannot be used here (gpu9: no such backend is registered; registered are cpu, wasm)",
  );
  expect(error.rejected).toEqual([{ name: 'gpu9', reason: expect.any(String) }]);
  expect(getBackend()).toBe(home);
});

test.each(['webgpu', 'node'])('%s without its package: how to get it', async (name) => {
  const error = await failure(useBackend(name));
  expect(error.message).toMatch(
    `npm install @orth/backend-${name}, then import '@orth/backend-${name}' before useBackend`,
  );
});

test('a provider that cannot start: its reason, and the former backend goes on', async () => {
  const x = ones([2]);
  fake('broken', {
    start: async () => {
      throw new Error('no such device');
    },
  });
  const error = await failure(useBackend('broken'));
  expect(error.message).toMatch(/\(broken: no such device\)$/);
  expect(getBackend()).toBe(home);
  expect([...x.dataSync()]).toEqual([1, 1]);
  expect(backendInfo().name).toBe(home);
});

test('a backend that fails while tfjs switches to it: the former one is active again', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  onTestFinished(() => warn.mockRestore());
  const promised = async (): Promise<KernelBackend> => {
    throw new Error('out of luck');
  };
  fake('late', { factory: promised });
  expect((await failure(useBackend('late'))).message).toMatch(/could not initialise 'late'/);
  expect(getBackend()).toBe(home);
  expect([...ones([1]).dataSync()]).toEqual([1]);
});

test("'auto' tries the highest priority first, and tells why better ones were not taken", async () => {
  const order: string[] = [];
  const refuse = (name: string) => async () => {
    order.push(name);
    throw new Error(`${name} is not here`);
  };
  fake('second', { priority: 90, start: refuse('second') });
  fake('first', { priority: 100, start: refuse('first') });
  const third = fake('third', { priority: 80 });
  const last = fake('last', { priority: 70 });
  const info = await useBackend('auto', { threads: 3 });
  expect(order).toEqual(['first', 'second']);
  expect(third).toHaveBeenCalledWith({ threads: 3, auto: true });
  expect(last).not.toHaveBeenCalled();
  expect(info).toMatchObject({
    name: 'third',
    library: 'lib-third',
    device: 'device-third',
    reason: 'the fastest that could start here',
    rejected: [
      { name: 'first', reason: 'first is not here' },
      { name: 'second', reason: 'second is not here' },
    ],
  });
  expect(getBackend()).toBe('third');
  expect(backendInfo()).toEqual(info);
});

test("'auto' without further packages is wasm, and is the default", async () => {
  expect((await useBackend()).name).toBe('wasm');
});

test('a provider is told when it was asked for by name', async () => {
  const started = fake('named', { options: ['speed'] });
  await useBackend('named', { speed: 7 });
  expect(started).toHaveBeenCalledWith({ speed: 7, auto: false });
});

test('calls at one time take turns: the last one wins, and none sees a half-made switch', async () => {
  const log: string[] = [];
  for (const name of ['slow', 'quick']) {
    fake(name, {
      start: async () => {
        log.push(`${name} starts`);
        for (let i = 0; i < (name === 'slow' ? 20 : 1); i++) await Promise.resolve();
        log.push(`${name} ready`);
        return { library: name, version: '1', device: name };
      },
    });
  }
  const [slow, unknown, quick] = await Promise.allSettled([
    useBackend('slow'),
    useBackend('unknown'),
    useBackend('quick'),
  ]);
  expect(log).toEqual(['slow starts', 'slow ready', 'quick starts', 'quick ready']);
  expect(slow).toMatchObject({ status: 'fulfilled', value: { name: 'slow' } });
  expect(unknown.status).toBe('rejected');
  expect(quick).toMatchObject({ status: 'fulfilled', value: { name: 'quick' } });
  expect(getBackend()).toBe('quick');
});

test('backendInfo after a switch through tfjs says so, and counts live tensors', async () => {
  fake('other');
  await setBackend('other');
  const before = backendInfo();
  expect(before).toMatchObject({
    name: 'other',
    reason: 'set through tfjs, not through useBackend',
    rejected: [],
  });
  const x = ones([3]);
  const { memory } = backendInfo();
  expect(memory.tensors - before.memory.tensors).toBe(1);
  expect(memory.bytes - before.memory.bytes).toBe(12);
  x.dispose();
  await setBackend(home);
  expect(backendInfo().reason).toBe('asked for by name');
});

test('backendInfo lists the fused operations that the backend has kernels for', () => {
  onTestFinished(registerFusedKernel('test/listed', home, ([x]) => x!));
  expect(backendInfo().fusedOps).toEqual(['test/listed']);
});

test('a backend that only tfjs knows can be asked for', async () => {
  fake('plain');
  providers.delete('plain');
  const { name, library } = await useBackend('plain');
  expect([name, library]).toEqual(['plain', 'a backend registered with tfjs']);
});

test('bad options are refused before anything is switched', async () => {
  fake('picky', { options: ['speed'] });
  const messageOf = async (name: unknown, options?: unknown) =>
    (await failure(useBackend(name as string, options as Record<string, unknown>))).message;
  expect(await messageOf(3)).toBe('useBackend: name must be a string, got number');
  expect(await messageOf('cpu', { threads: 0 })).toMatch(/threads must be an integer >= 1, got 0/);
  expect(await messageOf('cpu', { thread: 1 })).toMatch(/unknown option "thread"/);
  expect(await messageOf('cpu', { speed: 1 }), "another backend's").toMatch(/unknown option/);
  expect(await messageOf('auto', { spede: 1 })).toMatch(/unknown option .* known are .*speed/);
  expect(await messageOf('cpu', null)).toMatch(/options must be an object/);
  expect(await messageOf('wasm', { wasmPaths: 3 })).toMatch(/wasmPaths must be a folder/);
  expect(getBackend()).toBe(home);
});

test('wasm and cpu tell their library, version and device', async () => {
  expect(await useBackend('cpu')).toMatchObject({
    library: '@tensorflow/tfjs-backend-cpu',
    version: '4.22.0',
    device: 'CPU, plain JavaScript',
  });
  expect(await useBackend('wasm')).toMatchObject({
    library: '@tensorflow/tfjs-backend-wasm',
    version: '4.22.0',
    device: 'CPU, WebAssembly SIMD, one thread (tfjs has no threads in Node)',
    threads: 1,
  });
});

test("puts our gradients back when tfjs's own were registered over them", async () => {
  const ours = getGradient('Multiply');
  const tfjs: GradConfig = {
    ...ours,
    gradFunc: (dy, saved, attrs) => ours.gradFunc(dy, saved, attrs),
  };
  registerGradient(tfjs);
  await useBackend(home);
  const back = getGradient('Multiply');
  expect(back).not.toBe(tfjs);
  await useBackend(home);
  expect(getGradient('Multiply')).toBe(back);
});
