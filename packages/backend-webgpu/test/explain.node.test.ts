import { expect, test } from 'vitest';
import { explainNoAdapter, explainNoDawn, explainNoNavigatorGpu } from '../src/explain.js';

const browser = { runtime: 'browser' } as const;
const node = { runtime: 'node' } as const;

test('a page without navigator.gpu: insecure, or an old browser', () => {
  expect(explainNoNavigatorGpu({ ...browser, secure: false })).toMatch(/https.*localhost/);
  expect(explainNoNavigatorGpu({ ...browser, secure: true })).toMatch(/Chrome and Edge 113/);
});

test('no adapter in a page: where to look', () => {
  expect(explainNoAdapter(browser)).toMatch(/chrome:\/\/gpu/);
});

test('Node without the package, and with one that does not load', async () => {
  const name = 'webgpu-that-is-not-there';
  const cause: Error = await import(name).catch((error) => error);
  const missing = Object.assign(new Error("Cannot find package 'webgpu' imported from /a.js"), {
    code: 'ERR_MODULE_NOT_FOUND',
  });
  expect(explainNoDawn(missing)).toMatch(/npm install webgpu/);
  expect(explainNoDawn(cause), 'another package is missing').not.toMatch(/npm install/);
  const old = new Error("libc.so.6: version `GLIBC_2.34' not found");
  expect(explainNoDawn(old)).toMatch(/Linux x64 and arm64, macOS and Windows.*GLIBC_2.34/);
  expect(explainNoDawn('text')).toMatch(/text/);
});

test('no adapter in Node: what was looked for on each platform', () => {
  expect(explainNoAdapter({ ...node, platform: 'darwin' })).toMatch(/Metal/);
  expect(explainNoAdapter({ ...node, platform: 'win32' })).toMatch(/Direct3D 12 or Vulkan/);
  const linux = { ...node, platform: 'linux' };
  expect(explainNoAdapter(linux)).toMatch(/libvulkan\.so\.1.*none in.*apt install libvulkan1/);
  expect(explainNoAdapter({ ...linux, manifests: ['/a/intel.json'] })).toMatch(/\/a\/intel\.json/);
  expect(explainNoAdapter({ ...linux, vulkanDrivers: '/b.json' })).toMatch(/ICD.*\/b\.json/);
});
