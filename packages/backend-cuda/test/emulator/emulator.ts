/**
 * A GPU for tests on machines that have none but have a C++ compiler: `cuda.cpp` stands for NVIDIA's libraries, and runs
 * the very sources that NVRTC would be given on the CPU. The package is not told: it loads other files.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import type { CudaOptions } from '../../src/index.js';

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, '../../../../node_modules/.cache/orth/cuda-emulator');
const header = join(here, 'kernel.h');

/** Numbers of the emulated machine that tests may set. */
export type EmulatorSetting =
  | 'driver'
  | 'devices'
  | 'capability'
  | 'newestArchitecture'
  | 'oldestArchitecture'
  | 'mebibytes'
  | 'busy';

/** The emulated machine. */
export interface Emulator {
  /** Options of `useBackend` that lead to it. */
  readonly options: CudaOptions;
  /** Back to a machine that works. */
  reset(): void;
  /** Lets a function of the libraries fail: once, after `skip` calls, or for ever. */
  fail(name: string, code: number, options?: { skip?: number; forever?: boolean }): void;
  set(name: EmulatorSetting, value: number): void;
  /** Calls of a function since the last reset. */
  calls(name: string): number;
  /** Names of the kernels that were launched since the last reset. */
  launched(): string[];
  /** Options of the last compilation. */
  compilerOptions(): string[];
  /** Bytes of device memory that are taken. */
  used(): number;
}

function findCompiler(): string | undefined {
  for (const name of ['g++', 'c++', 'clang++']) {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      return name;
    } catch {
      // Not here: the next one.
    }
  }
  return undefined;
}

/** Where NVIDIA's own header may be, which then checks the emulator's signatures. */
const INCLUDES = ['/usr/local/cuda/include'].filter((path) => existsSync(path));

function build(compiler: string): string {
  const source = join(here, 'cuda.cpp');
  const flags = ['-O3', '-std=c++17', '-shared', '-fPIC', '-fvisibility=hidden', '-w'];
  const includes = INCLUDES.map((path) => `-I${path}`);
  const hash = createHash('sha256');
  for (const part of [readFileSync(source), compiler, ...flags, ...includes]) hash.update(part);
  const library = join(folder, `emulator-${hash.digest('hex').slice(0, 16)}.so`);
  if (existsSync(library)) return library;
  mkdirSync(folder, { recursive: true });
  const temporary = `${library}.${process.pid}`;
  execFileSync(compiler, [...flags, ...includes, '-o', temporary, source, '-ldl']);
  renameSync(temporary, library);
  return library;
}

/** Why there is no emulator here; undefined where there is one. */
export const EMULATOR_MISSING: string | undefined =
  process.platform !== 'linux'
    ? 'skipped: CUDA kernels on the CPU. The emulator is for Linux.'
    : findCompiler() === undefined
      ? 'skipped: CUDA kernels on the CPU. No C++ compiler is here; install g++ and run again.'
      : undefined;

/**
 * Compiles the emulator, if it has not been, and loads it.
 * @throws Error where {@link EMULATOR_MISSING} says why
 */
export function openEmulator(): Emulator {
  const compiler = findCompiler();
  if (EMULATOR_MISSING !== undefined || compiler === undefined) throw new Error(EMULATOR_MISSING);
  const path = build(compiler);
  const library = koffi.load(path);
  const setup = library.func('emulator_setup', 'void', ['str', 'str', 'str']);
  // Kernels of another header are other kernels.
  const version = createHash('sha256').update(readFileSync(header)).digest('hex').slice(0, 16);
  const kernels = join(folder, version);
  mkdirSync(kernels, { recursive: true });
  setup(kernels, compiler, header);
  const fail = library.func('emulator_fail', 'void', ['str', 'int', 'int', 'int']);
  const reset = library.func('emulator_reset', 'void', []);
  const set = library.func('emulator_set', 'void', ['str', 'int']);
  const calls = library.func('emulator_calls', 'int', ['str']);
  const launched = library.func('emulator_launched', 'str', []);
  const compilerOptions = library.func('emulator_options', 'str', []);
  const used = library.func('emulator_used', 'uint64_t', []);
  const lines = (text: unknown) => String(text).split('\n').filter(Boolean);
  return {
    options: { provider: 'driver', cudaPath: path, nvrtcPath: path, cublasPath: path },
    reset: () => reset(),
    fail: (name, code, { skip = 0, forever = false } = {}) =>
      fail(name, code, skip, Number(forever)),
    set: (name, value) => set(name, value),
    calls: (name) => Number(calls(name)),
    launched: () => lines(launched()),
    compilerOptions: () => lines(compilerOptions()),
    used: () => Number(used()),
  };
}
