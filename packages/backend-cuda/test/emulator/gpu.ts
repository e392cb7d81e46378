import { existsSync, readdirSync } from 'node:fs';

/** Whether this machine has an NVIDIA GPU that its driver has opened to programs. */
export function hasGpu(): boolean {
  if (process.platform === 'win32') return existsSync('C:/Windows/System32/nvcuda.dll');
  return existsSync('/dev') && readdirSync('/dev').some((name) => /^nvidia\d+$/.test(name));
}
