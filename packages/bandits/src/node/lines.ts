/** Lines of files that may be larger than memory. */
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';

const CHUNK = 1 << 20;
const NEWLINE = 10;

/**
 * Lines of a text file in UTF-8, as a stream, without their ends. What follows the last end of a line, such as a torn
 * line, is left out.
 */
export async function* readLines(path: string): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) {
    const { lines, tail } = split(rest, chunk as Buffer);
    rest = tail;
    yield* lines;
  }
}

/** What was found after the last end of a line. */
export interface FileEnd {
  /** Bytes up to the last end of a line. */
  whole: number;
  /** Bytes after it. */
  torn: number;
}

/** The same, at once; `end` tells what followed the last line. */
export function* readLinesSync(path: string, end: FileEnd): Generator<string> {
  const file = openSync(path, 'r');
  try {
    let rest: Buffer = Buffer.alloc(0);
    let total = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const count = readSync(file, chunk, 0, CHUNK, null);
      total += count;
      if (count === 0) break;
      const { lines, tail } = split(rest, chunk.subarray(0, count));
      rest = tail;
      yield* lines;
    }
    end.whole = total - rest.length;
    end.torn = rest.length;
  } finally {
    closeSync(file);
  }
}

/** Splits at bytes, not at characters: a chunk may end inside one. */
function split(rest: Buffer, chunk: Buffer): { lines: string[]; tail: Buffer } {
  const lines: string[] = [];
  let start = 0;
  for (;;) {
    const end = chunk.indexOf(NEWLINE, start);
    if (end < 0) break;
    const piece = chunk.subarray(start, end);
    lines.push((rest.length > 0 ? Buffer.concat([rest, piece]) : piece).toString('utf8'));
    rest = Buffer.alloc(0);
    start = end + 1;
  }
  const left = chunk.subarray(start);
  return { lines, tail: rest.length > 0 ? Buffer.concat([rest, left]) : left };
}
