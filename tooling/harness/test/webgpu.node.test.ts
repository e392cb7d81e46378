/** What needs a device of its own to break: Dawn in this process, and plain Node in others. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DeviceLostError, useBackend } from '@orth/backend';
import { releaseWebgpu, runWgsl } from '@orth/backend-webgpu';
import { add, backend, mul, ones, type Tensor } from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { useSoftwareGpu } from '../src/softwareGpu.js';

const here = dirname(fileURLToPath(import.meta.url));
const device = () => (backend() as unknown as { device: GPUDevice }).device;
/** On the device: tfjs computes fewer than 1000 numbers on the host. */
const onDevice = (): Tensor => mul(ones([40, 40]), 2);

beforeAll(async () => {
  await useSoftwareGpu();
});

beforeEach(() => {
  releaseWebgpu();
});

test('a device lost during a read: the read rejects with the cause', async () => {
  const onDeviceLost = vi.fn();
  await useBackend('webgpu', { onDeviceLost });
  const x = onDevice();
  const read = x.data();
  device().destroy();
  await expect(read).rejects.toThrow(DeviceLostError);
  expect(onDeviceLost).toHaveBeenCalledTimes(1);
  expect(() => add(x, 1)).toThrow(/device was lost \(destroyed\)/);

  await useBackend('webgpu');
  expect((await onDevice().data())[0]).toBe(2);
});

test('a shader that does not compile: the next read rejects with the message, once', async () => {
  await useBackend('webgpu');
  const x = onDevice();
  const program = { name: 'test/broken', inputs: { x }, outputShape: [1600] };
  const broken = runWgsl({ ...program, code: 'fn main(index : i32) { result[index] = nothing; }' });
  await expect(broken.data()).rejects.toThrow(/command was refused.*(nothing|pipeline|shader)/is);
  expect((await onDevice().data())[0]).toBe(2);
});

test('Dawn starts once a process, and a released device is not in the way of the next', async () => {
  const first = await useBackend('webgpu');
  const { gpu } = navigator;
  releaseWebgpu();
  const second = await useBackend('webgpu');
  expect(navigator.gpu).toBe(gpu);
  expect(second.device).toBe(first.device);
  expect((await onDevice().data())[0]).toBe(2);
});

test.each(['', 'releaseWebgpu();'])(
  'plain Node ends by itself and prints nothing; at the end %o',
  async (end) => {
    const script = `
    import { useSoftwareGpu } from '@orth/harness/softwareGpu';
    import { useBackend } from '@orth/backend';
    import { releaseWebgpu } from '@orth/backend-webgpu';
    import { ones, mul, grad, sum } from '@tensorflow/tfjs-core';
    await useSoftwareGpu();
    await useBackend('webgpu');
    const dx = grad((x) => sum(mul(x, x)))(ones([40, 40]));
    console.log((await dx.data())[0]);
    ${end}`;
    // The compiled packages, as an application has them; tsx reads only the harness.
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', script],
      { cwd: join(here, '..'), timeout: 50_000 },
    );
    expect({ stdout, stderr }).toEqual({ stdout: '2\n', stderr: '' });
  },
);
