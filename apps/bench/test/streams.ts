import type { CliStreams } from '../src/harness/cli.js';

/** Streams that keep what is written. */
export function captureStreams(): CliStreams & { out(): string; err(): string } {
  const written = { out: '', err: '' };
  const into = (key: 'out' | 'err') => ({
    write(text: string | Uint8Array) {
      written[key] += text;
      return true;
    },
  });
  return {
    stdout: into('out'),
    stderr: into('err'),
    out: () => written.out,
    err: () => written.err,
  };
}
