import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

/** Whether this machine has an NVIDIA GPU that its driver has opened to programs. */
export const nvidiaGpu =
  process.platform === 'win32'
    ? existsSync('C:/Windows/System32/nvcuda.dll')
    : existsSync('/dev') && readdirSync('/dev').some((name) => /^nvidia\d+$/.test(name));

const compiles = () =>
  ['g++', 'c++', 'clang++'].some((name) => spawnSync(name, ['--version']).status === 0);

/** Why CUDA's kernels run nowhere here: no GPU, and nothing to compile them for the CPU with. Undefined where they do. */
export const CUDA_MISSING: string | undefined =
  nvidiaGpu || (process.platform === 'linux' && compiles())
    ? undefined
    : 'skipped: CUDA kernels. Here is no NVIDIA GPU, nor Linux with a C++ compiler that emulates one; install g++ and run again.';
