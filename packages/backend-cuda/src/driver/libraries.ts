import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Foreign, ForeignLibrary } from './foreign.js';

/** The libraries: NVIDIA's driver, and two of CUDA's that no driver brings. */
export type LibraryName = 'cuda' | 'nvrtc' | 'cublas';

/** A machine, as far as it matters where libraries lie. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Major versions of CUDA's libraries that this package calls rightly, newest first. */
const MAJORS = [13, 12, 11];

/** File names by platform; CUDA 11's NVRTC is named after its minor version 2. */
function fileNames(library: LibraryName, platform: NodeJS.Platform, major: number): string[] {
  const windows = platform === 'win32';
  if (library === 'cuda') return windows ? ['nvcuda.dll'] : ['libcuda.so.1', 'libcuda.so'];
  if (library === 'nvrtc') {
    if (windows) return [major === 11 ? 'nvrtc64_112_0.dll' : `nvrtc64_${major}0_0.dll`];
    return [major === 11 ? 'libnvrtc.so.11.2' : `libnvrtc.so.${major}`];
  }
  return windows ? [`cublas64_${major}.dll`] : [`libcublas.so.${major}`];
}

/** Folders beside those that the system's loader searches: the toolkit's. */
function folders({ platform, env }: Machine): string[] {
  const roots = [env.CUDA_HOME, env.CUDA_PATH].filter((root) => root !== undefined);
  if (platform === 'win32')
    return roots.flatMap((root) => [join(root, 'bin'), join(root, 'bin/x64')]);
  const local = '/usr/local';
  const installed = existsSync(local)
    ? readdirSync(local)
        .filter((name) => name.startsWith('cuda'))
        .map((name) => join(local, name))
    : [];
  return [...roots, ...installed].map((root) => join(root, 'lib64'));
}

/**
 * Where a library may lie, best first.
 * @param newest - the driver's CUDA major version: it runs libraries of its own or an older one
 */
export function libraryCandidates(
  library: LibraryName,
  newest: number,
  machine: Machine = { platform: process.platform, env: process.env },
): string[] {
  const { platform } = machine;
  if (platform === 'darwin') return [];
  const majors = library === 'cuda' ? [newest] : MAJORS.filter((major) => major <= newest);
  const places = folders(machine);
  return majors.flatMap((major) =>
    fileNames(library, platform, major).flatMap((name) => [
      name,
      ...places.map((folder) => join(folder, name)).filter((path) => existsSync(path)),
    ]),
  );
}

const HOW_TO_GET: Record<LibraryName, string> = {
  cuda: "NVIDIA's driver is not installed, or this container was started without its GPUs",
  nvrtc: "CUDA's runtime compiler (NVRTC) is not installed; it comes with the CUDA toolkit",
  cublas: "CUDA's cuBLAS is not installed; it comes with the CUDA toolkit",
};

/**
 * Loads a library from `path`, or from the first place where it is.
 * @throws Error that says what is missing, where it was looked for and how to get it
 */
export function loadLibrary(
  foreign: Foreign,
  library: LibraryName,
  path: string | undefined,
  newest: number,
): { readonly library: ForeignLibrary; readonly path: string } {
  if (path !== undefined) {
    try {
      return { library: foreign.load(path), path };
    } catch (error) {
      const cause = (error as Error).message.split('\n')[0];
      throw new Error(`${library} could not be loaded from ${path}: ${cause}`);
    }
  }
  const candidates = libraryCandidates(library, newest);
  if (candidates.length === 0) throw new Error(`CUDA is not there for ${process.platform}`);
  for (const candidate of candidates) {
    try {
      return { library: foreign.load(candidate), path: candidate };
    } catch {
      // Not here: the next place.
    }
  }
  const option = `or pass its path as ${library}Path`;
  throw new Error(`${HOW_TO_GET[library]} (looked for ${candidates.join(', ')}), ${option}`);
}
