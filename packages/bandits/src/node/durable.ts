/** Files that are either as before or as wanted, whenever the machine stops. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Writes all of it, however many calls that takes. */
export function writeWhole(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

/** Makes the entries of a folder durable; where a folder cannot be opened (Windows), its file system does so itself. */
export function syncFolder(path: string): void {
  let folder: number;
  try {
    folder = openSync(dirname(path), 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** A new file with this text, on the disk when this returns. */
export function writeDurable(path: string, text: string): void {
  const file = openSync(path, 'w');
  try {
    writeWhole(file, Buffer.from(text));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Replaces a file: at no moment is it missing or half written. */
export function replaceFile(path: string, text: string): void {
  const next = `${path}.next`;
  writeDurable(next, text);
  renameSync(next, path);
  syncFolder(path);
}
