import type { CliStreams } from './cli.js';

/** Progress for a human on stderr, so that stdout holds results alone: one line rewritten on a terminal. */
export interface Progress {
  update(done: number, total: number, what: string): void;
  /** Ends the line. */
  finish(): void;
}

type ProgressStream = CliStreams['stderr'];

/** Progress on a stream; where that is no terminal, a line for each new `what`. */
export function createProgress(stream: ProgressStream, start = performance.now()): Progress {
  let last = '';
  return {
    update(done, total, what) {
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      const line = `[${done}/${total} ${seconds}s] ${what}`;
      if (what === last) return;
      last = what;
      if (!stream.isTTY) {
        stream.write(`${line}\n`);
        return;
      }
      // Cut to the terminal's width: a wrapped line could not be rewritten.
      stream.write(`\r\x1b[2K${line.slice(0, (stream.columns || 80) - 1)}`);
    },
    finish() {
      if (stream.isTTY) stream.write('\r\x1b[2K');
    },
  };
}
