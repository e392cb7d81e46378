import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UsageError } from './errors.js';

/**
 * Loads every module of a folder, so that adding a bench or a reproduction is adding one file.
 *
 * @param folder - file URL of the folder
 * @param member - the export to take from each module
 * @returns the exports in order of file name
 * @throws Error if a module lacks the export
 */
export async function discover<T>(folder: URL, member: string): Promise<T[]> {
  const path = fileURLToPath(folder);
  const files = (await readdir(path)).filter((file) => /(?<!\.d)\.[jt]s$/.test(file)).sort();
  return Promise.all(
    files.map(async (file) => {
      const url = pathToFileURL(join(path, file)).href;
      const module = (await import(/* @vite-ignore */ url)) as Record<string, T | undefined>;
      const value = module[member];
      if (value === undefined) throw new Error(`discover: ${file} must export '${member}'`);
      return value;
    }),
  );
}

/**
 * The entries asked for by name, in the order asked; all of them when none is named.
 * @throws UsageError naming those that do not exist and those that do
 */
export function select<T>(
  entries: readonly T[],
  names: readonly string[],
  nameOf: (entry: T) => string,
  noun: string,
): T[] {
  if (names.length === 0) return [...entries];
  const unknown = names.filter((name) => !entries.some((entry) => nameOf(entry) === name));
  if (unknown.length > 0) {
    const known = entries.map(nameOf).join(', ');
    throw new UsageError(`unknown ${noun} ${unknown.join(', ')}; known are ${known}`);
  }
  return [...new Set(names)].map((name) => entries.find((entry) => nameOf(entry) === name)!);
}
