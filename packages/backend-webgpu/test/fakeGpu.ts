/** A WebGPU that computes nothing: enough for tfjs to start a backend on, and to lose its device at will. */

/** What a fake adapter says of itself. */
export type FakeInfo = Partial<
  Record<'vendor' | 'architecture' | 'device' | 'description', string> & {
    isFallbackAdapter: boolean;
  }
>;

/** A fake device, with a way to lose it. */
export interface FakeDevice extends GPUDevice {
  lose(reason: string, message: string): Promise<void>;
  destroyed: boolean;
}

export const HARDWARE: FakeInfo = { vendor: 'acme', architecture: 'one', description: 'Acme One' };
export const SWIFTSHADER: FakeInfo = { vendor: 'google', architecture: 'swiftshader' };

export function fakeDevice(adapterInfo: FakeInfo = HARDWARE): FakeDevice {
  let lose: (loss: { reason: string; message: string }) => void = () => {};
  const lost = new Promise((done) => {
    lose = done;
  });
  const device = {
    lost,
    adapterInfo,
    queue: {},
    features: new Set<string>(),
    limits: { maxComputeWorkgroupsPerDimension: 65535 },
    destroyed: false,
    addEventListener() {},
    createComputePipeline() {},
    destroy() {
      device.destroyed = true;
      lose({ reason: 'destroyed', message: 'device was destroyed' });
    },
    async lose(reason: string, message: string) {
      lose({ reason, message });
      await lost;
      await Promise.resolve();
    },
  };
  return device as unknown as FakeDevice;
}

/** A fake adapter and the devices it made. */
export function fakeAdapter(info: FakeInfo = HARDWARE) {
  const devices: FakeDevice[] = [];
  const descriptors: GPUDeviceDescriptor[] = [];
  const adapter = {
    info,
    features: new Set(['timestamp-query', 'shader-f16', 'texture-compression-bc']),
    limits: { maxBufferSize: 1 << 30, maxComputeInvocationsPerWorkgroup: 1024 },
    async requestDevice(descriptor: GPUDeviceDescriptor) {
      descriptors.push(descriptor);
      const device = fakeDevice(info);
      devices.push(device);
      return device;
    },
  } as unknown as GPUAdapter;
  return { adapter, devices, descriptors };
}

/** Puts `navigator.gpu` in place; it answers with `adapter`, and records what was asked. */
export function installFakeGpu(adapter: GPUAdapter | null): {
  requests: GPURequestAdapterOptions[];
} {
  const requests: GPURequestAdapterOptions[] = [];
  const gpu = {
    async requestAdapter(options: GPURequestAdapterOptions) {
      requests.push(options);
      return adapter;
    },
  };
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  return { requests };
}
