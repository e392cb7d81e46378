import { readFileSync } from 'node:fs';
import { CheckpointError } from '@orth/backend';
import { openLine, sealLine } from '../logs/events.js';
import { replaceFile } from './durable.js';

/**
 * Writes what an object's `toJSON` gives (a bandit's or a policy's), with a checksum. The file at `path` is replaced at
 * once: whenever the machine stops, it is the old one or the new one.
 */
export function saveState(path: string, source: { toJSON(): object }): void {
  replaceFile(path, `${sealLine({ state: source.toJSON() })}\n`);
}

/**
 * Reads what {@link saveState} wrote, for `ContextualBandit.fromJSON` or `policyFromJSON`.
 * @throws CheckpointError if the file is damaged; what `fs.readFileSync` throws if it cannot be read
 */
export function loadState(path: string): unknown {
  const text = readFileSync(path, 'utf8');
  const opened = openLine(text.endsWith('\n') ? text.slice(0, -1) : text);
  if ('problem' in opened) {
    throw new CheckpointError(`loadState: ${path} ${opened.problem}`);
  }
  return opened.value.state;
}
