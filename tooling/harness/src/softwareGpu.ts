/**
 * A browser and a software GPU for machines that have neither, out of npm alone: `@sparticuz/chromium` carries a
 * Chromium, the system libraries it needs, a Vulkan loader and SwiftShader, which runs Vulkan on the CPU.
 */
import {
  createReadStream,
  createWriteStream,
  existsSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
import tar from 'tar-fs';

const cache = join(dirname(fileURLToPath(import.meta.url)), '../../../node_modules/.cache/orth');

/** Whether the packaged Chromium and SwiftShader run on this machine: they exist for Linux on x64 only. */
export const softwareGpuAvailable = process.platform === 'linux' && process.arch === 'x64';

/** How to start a Chromium whose WebGPU works, with or without a GPU. */
export interface ChromiumLaunch {
  /** The browser to start; undefined where an installed Chrome is to be used through `channel`. */
  readonly executablePath?: string;
  /** Playwright's name of an installed browser. */
  readonly channel?: 'chrome';
  /** The whole environment of the browser process. */
  readonly env: Record<string, string>;
  readonly args: string[];
}

/**
 * A Chromium for tests: the packaged one on Linux x64, else an installed Chrome.
 * @returns undefined where there is neither; {@link CHROMIUM_MISSING} says what to do
 */
export async function chromium(): Promise<ChromiumLaunch | undefined> {
  const args = ['--enable-unsafe-webgpu', '--disable-background-networking'];
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
  if (!softwareGpuAvailable) {
    return installedChrome() ? { channel: 'chrome', env: inherited, args } : undefined;
  }
  const folder = await unpack();
  const env = { ...inherited, LD_LIBRARY_PATH: join(folder, 'lib'), FONTCONFIG_PATH: folder };
  args.push('--no-sandbox', '--use-webgpu-adapter=swiftshader');
  // The page's canvas must be on SwiftShader too: else a synchronous read, which goes through a canvas, ends the device.
  args.push('--use-angle=swiftshader', '--use-vulkan=swiftshader', '--enable-features=Vulkan');
  return { executablePath: join(folder, 'chromium'), env, args };
}

/** The line to print where {@link chromium} finds nothing. */
export const CHROMIUM_MISSING =
  'skipped: tests in a browser. The packaged Chromium is for Linux x64; here, install Google Chrome and run again.';

/**
 * Lets WebGPU in Node (npm `webgpu`) find SwiftShader, unless the machine has a GPU of its own. Call it on the main
 * thread of a process, before the first adapter is asked for.
 *
 * @returns whether the software GPU is in use now; false also where Metal or Direct3D does the work
 */
export async function useSoftwareGpu(): Promise<boolean> {
  if (!softwareGpuAvailable || !(process.env.ORTH_SOFTWARE_GPU === '1' || !hasGpu())) return false;
  const folder = await unpack();
  // The loader is to stay in the process under its own name, where Dawn looks for it; as it is no Node addon,
  // dlopen says so after loading it.
  const RTLD_NODELETE = 0x1000;
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  const library = join(folder, 'libvulkan.so.1');
  try {
    process.dlopen({ exports: {} }, library, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    if (!String(error).includes('self-register')) throw error;
  }
  process.env.VK_ICD_FILENAMES = join(folder, 'vk_swiftshader_icd.json');
  return true;
}

/** Whether this machine has a GPU that Vulkan may reach. */
function hasGpu(): boolean {
  const devices = existsSync('/dev') ? readdirSync('/dev') : [];
  const nodes = existsSync('/dev/dri') ? readdirSync('/dev/dri') : [];
  return (
    devices.some((name) => /^nvidia\d/.test(name)) ||
    nodes.some((name) => name.startsWith('renderD'))
  );
}

function installedChrome(): boolean {
  const { PROGRAMFILES = '', LOCALAPPDATA = '' } = process.env;
  const places: Partial<Record<NodeJS.Platform, string[]>> = {
    linux: ['/opt/google/chrome/chrome'],
    darwin: ['/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'],
    win32: [PROGRAMFILES, LOCALAPPDATA].map((at) =>
      join(at, 'Google/Chrome/Application/chrome.exe'),
    ),
  };
  return (places[process.platform] ?? []).some(existsSync);
}

/** Unpacks the package's four archives once. Several processes may do so at a time: the first to finish wins. */
async function unpack(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const packaged = join(dirname(entry), '../..');
  const { version } = JSON.parse(readFileSync(join(packaged, 'package.json'), 'utf8'));
  const folder = join(cache, `chromium-${version}`);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const temporary = await mkdtemp(join(cache, 'unpacking-'));
  try {
    const open = (name: string) =>
      [createReadStream(join(packaged, 'bin', name)), createBrotliDecompress()] as const;
    const executable = join(temporary, 'chromium');
    await pipeline(...open('chromium.br'), createWriteStream(executable));
    await chmod(executable, 0o755);
    for (const name of ['swiftshader', 'al2023', 'fonts']) {
      await pipeline(...open(`${name}.tar.br`), tar.extract(temporary));
    }
    // The package's own font list names folders of the cloud it was made for.
    const fonts = `<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>`;
    await writeFile(join(temporary, 'fonts.conf'), fonts);
    await rename(temporary, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return folder;
}
