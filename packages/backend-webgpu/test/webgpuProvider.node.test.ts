import {
  type BackendUnavailableError,
  backendInfo,
  DeviceLostError,
  useBackend,
} from '@orth/backend';
import { releaseWebgpu } from '@orth/backend-webgpu';
import { add, getBackend, tensor } from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fakeAdapter, fakeDevice, HARDWARE, installFakeGpu, SWIFTSHADER } from './fakeGpu.js';

beforeEach(async () => {
  await useBackend('cpu');
});

afterEach(() => {
  releaseWebgpu();
});

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable('should have failed'),
    (error: BackendUnavailableError) => error,
  );

test('no adapter: the error says what was looked for, and the former backend stays', async () => {
  installFakeGpu(null);
  const error = await failure(useBackend('webgpu'));
  expect(error.name).toBe('BackendUnavailableError');
  expect(error.message).toMatch(/gave no adapter/);
  expect(error.rejected).toHaveLength(1);
  expect(getBackend()).toBe('cpu');
});

test('an adapter: its name is in backendInfo, and the device gets what the adapter has', async () => {
  const { adapter, descriptors } = fakeAdapter();
  const { requests } = installFakeGpu(adapter);
  const info = await useBackend('webgpu', { powerPreference: 'low-power' });
  expect(info).toMatchObject({
    name: 'webgpu',
    library: '@tensorflow/tfjs-backend-webgpu',
    version: '4.22.0',
    device: 'GPU, acme one (Acme One)',
  });
  expect(requests).toEqual([{ powerPreference: 'low-power', forceFallbackAdapter: false }]);
  expect(descriptors[0]!.requiredFeatures).toEqual(['timestamp-query', 'shader-f16']);
  expect(descriptors[0]!.requiredLimits).toMatchObject({ maxBufferSize: 1 << 30 });
});

test("'auto' takes a GPU before wasm and cpu, but not one in software", async () => {
  installFakeGpu(fakeAdapter().adapter);
  expect(await useBackend('auto')).toMatchObject({ name: 'webgpu', rejected: [] });
  releaseWebgpu();

  installFakeGpu(fakeAdapter(SWIFTSHADER).adapter);
  const { name, rejected } = await useBackend('auto');
  expect(name).toBe('wasm');
  expect(rejected).toEqual([
    { name: 'webgpu', reason: expect.stringMatching(/software adapter .* slower than wasm/) },
  ]);
});

test.each([
  { vendor: 'google', architecture: 'swiftshader' },
  { description: 'llvmpipe (LLVM 15.0.6, 256 bits)' },
  { description: 'Microsoft Basic Render Driver' },
  { vendor: 'microsoft', architecture: 'warp' },
  { vendor: 'acme', isFallbackAdapter: true },
])('%o is a software adapter, which a request by name takes', async (info) => {
  installFakeGpu(fakeAdapter(info).adapter);
  expect((await useBackend('auto')).name).toBe('wasm');
  expect((await useBackend('webgpu')).device).toMatch(/^software GPU/);
  expect((await useBackend('auto')).name).toBe('wasm');
});

test('a lost device: the callback hears why, every use throws, the next useBackend starts anew', async () => {
  const { adapter, devices } = fakeAdapter();
  installFakeGpu(adapter);
  const onDeviceLost = vi.fn();
  await useBackend('webgpu', { onDeviceLost });
  const x = tensor([1, 2, 3]);
  await devices[0]!.lose('unknown', 'the driver was reset');

  expect(onDeviceLost.mock.calls).toEqual([
    [{ reason: 'unknown', message: 'the driver was reset' }],
  ]);
  expect(() => tensor([1])).toThrow(DeviceLostError);
  expect(() => add(x, x)).toThrow(/device was lost \(unknown\): the driver was reset/);
  expect(() => x.dataSync()).toThrow(DeviceLostError);
  await expect(x.data()).rejects.toThrow(DeviceLostError);

  await useBackend('webgpu');
  expect(devices).toHaveLength(2);
  expect([...tensor([4]).dataSync()]).toEqual([4]);
  expect(() => add(x, 1), 'a tensor of the lost device').toThrow(DeviceLostError);
  x.dispose();
  expect(x.isDisposed).toBe(true);
});

test('a running device is kept, and another one is refused until it is released', async () => {
  const { adapter, devices } = fakeAdapter();
  installFakeGpu(adapter);
  await useBackend('webgpu', { powerPreference: 'low-power' });
  const x = tensor([1, 2]);
  await useBackend('cpu');
  await useBackend('webgpu', { powerPreference: 'low-power' });
  expect(devices).toHaveLength(1);
  expect([...x.dataSync()]).toEqual([1, 2]);

  const other = { powerPreference: 'high-performance' } as const;
  const error = await failure(useBackend('webgpu', other));
  expect(error.message).toMatch(/a device runs already \(GPU, acme.*releaseWebgpu\(\) first/);
  releaseWebgpu();
  expect(devices[0]!.destroyed).toBe(true);
  await useBackend('webgpu', other);
  expect(devices).toHaveLength(2);
});

test('releasing is silent, and may be done twice', async () => {
  const { adapter } = fakeAdapter();
  installFakeGpu(adapter);
  const onDeviceLost = vi.fn();
  await useBackend('webgpu', { onDeviceLost });
  releaseWebgpu();
  releaseWebgpu();
  await Promise.resolve();
  expect(onDeviceLost).not.toHaveBeenCalled();
  await useBackend('cpu');
  expect(backendInfo().name).toBe('cpu');
});

test("the caller's own adapter and device are used; the device is not destroyed", async () => {
  const asked = installFakeGpu(null).requests;
  const { adapter } = fakeAdapter({ vendor: 'mine' });
  expect((await useBackend('webgpu', { adapter })).device).toBe('GPU, mine');
  releaseWebgpu();
  const device = fakeDevice({ ...HARDWARE, description: 'Mine Two' });
  expect((await useBackend('webgpu', { device })).device).toBe('GPU, acme one (Mine Two)');
  releaseWebgpu();
  expect(device.destroyed).toBe(false);
  expect(asked).toEqual([]);
});

test.each([
  [{ powerPreference: 'fast' }, /powerPreference must be one of .*got "fast"/],
  [{ forceFallbackAdapter: 1 }, /forceFallbackAdapter must be true or false/],
  [{ adapter: {} }, /adapter must be a GPUAdapter/],
  [{ device: null }, /device must be a GPUDevice, got null/],
  [{ onDeviceLost: true }, /onDeviceLost must be a function/],
  [{ dawnFlags: 'backend=vulkan' }, /dawnFlags must be an array of strings/],
])('%o is refused', async (options, message) => {
  installFakeGpu(fakeAdapter().adapter);
  for (const name of ['webgpu', 'auto']) {
    const error = await failure(useBackend(name, options));
    expect(error.name).toMatch(/TypeError|RangeError/);
    expect(error.message).toMatch(message);
  }
  expect(getBackend()).toBe('cpu');
});
