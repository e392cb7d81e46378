/** Words for the case that there is no WebGPU: what was looked for, and what to install or switch on. */

/** What the explanation depends on; {@link surroundings} reads it from the process or page. */
export interface Surroundings {
  readonly runtime: 'node' | 'browser';
  /** Node's `process.platform`. */
  readonly platform?: string;
  /** Whether the page is served from https or localhost. */
  readonly secure?: boolean;
  /** `VK_ICD_FILENAMES` or `VK_DRIVER_FILES`, which replace the system's list of Vulkan drivers. */
  readonly vulkanDrivers?: string;
  /** Vulkan driver manifests of the system. */
  readonly manifests?: readonly string[];
}

/** What is read of Node; its types are not asked of a browser's program. */
interface NodeProcess {
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly versions?: { readonly node?: string };
  getBuiltinModule?(name: 'node:fs'): {
    existsSync(path: string): boolean;
    readdirSync(path: string): string[];
  };
}

const nodeProcess = () => (globalThis as { process?: NodeProcess }).process;

/** Reads {@link Surroundings} from the running process or page. */
export function surroundings(): Surroundings {
  const process = nodeProcess();
  if (!process || !isNode()) return { runtime: 'browser', secure: globalThis.isSecureContext };
  const { platform, env } = process;
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = env;
  // Not an import: a bundler for browsers would try to resolve it.
  const files = process.getBuiltinModule?.('node:fs');
  const folders = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
  const manifests = folders
    .filter((folder) => files?.existsSync(folder))
    .flatMap((folder) => files!.readdirSync(folder).map((name) => `${folder}/${name}`));
  return {
    runtime: 'node',
    platform,
    vulkanDrivers: VK_DRIVER_FILES ?? VK_ICD_FILENAMES,
    manifests,
  };
}

/** Whether this is Node and not a page (also not a page of Electron, which has both). */
export function isNode(): boolean {
  return typeof window === 'undefined' && !!nodeProcess()?.versions?.node;
}

/** Why `navigator.gpu` is missing in a page. */
export function explainNoNavigatorGpu({ secure }: Surroundings): string {
  return secure === false
    ? 'navigator.gpu is missing because the page is not secure: serve it from https:// or http://localhost'
    : 'this browser has no navigator.gpu: WebGPU is in Chrome and Edge 113, Safari 26 and Firefox 141 or later' +
        ' (Linux: start Chrome with --enable-unsafe-webgpu)';
}

/** Why the npm package `webgpu` did not load in Node. */
export function explainNoDawn(cause: unknown): string {
  const { code, message = String(cause) } = (cause ?? {}) as { code?: string; message?: string };
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  return missing && message.includes("'webgpu'")
    ? "there is no navigator.gpu, and the package 'webgpu', which brings WebGPU to Node, is not installed: npm install webgpu"
    : `the package 'webgpu' did not load (it has binaries for Linux x64 and arm64, macOS and Windows): ${message}`;
}

/** Why there is WebGPU but no adapter. */
export function explainNoAdapter({ runtime, platform, ...vulkan }: Surroundings): string {
  if (runtime === 'browser') {
    return (
      'navigator.gpu is there but gave no adapter: hardware acceleration is off, or the driver is blocked' +
      ' (chrome://gpu and about:support say why)'
    );
  }
  const found = "npm 'webgpu' is loaded but gave no adapter";
  if (platform === 'darwin') return `${found}: it needs a GPU that Metal can use`;
  if (platform === 'win32') {
    return `${found}: it needs a driver for Direct3D 12 or Vulkan; update the graphics driver`;
  }
  const { vulkanDrivers, manifests = [] } = vulkan;
  const drivers = vulkanDrivers
    ? `the driver list in VK_DRIVER_FILES or VK_ICD_FILENAMES (${vulkanDrivers})`
    : manifests.length > 0
      ? `Vulkan drivers (${manifests.join(', ')})`
      : 'Vulkan drivers (none in /usr/share/vulkan/icd.d or /etc/vulkan/icd.d)';
  return (
    `${found}: it looked for the Vulkan loader libvulkan.so.1 and ${drivers}. Install the loader and your GPU's driver` +
    ' (Debian and Ubuntu: apt install libvulkan1, and mesa-vulkan-drivers for AMD and Intel or the NVIDIA driver)'
  );
}
