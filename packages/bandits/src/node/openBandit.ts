import { existsSync, linkSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
import { checkOptions } from '@orth/backend';
import type { ReplayOptions, ReplayResult } from '../logs/replay.js';
import type { ContextualBandit } from '../service/contextualBandit.js';
import { DecisionLog, type DecisionLogOptions } from './decisionLog.js';
import { syncFolder, writeDurable } from './durable.js';
import { type FileEnd, readLinesSync } from './lines.js';

/** Options of {@link openBandit}. */
export interface OpenBanditOptions extends DecisionLogOptions, Pick<ReplayOptions, 'verify'> {}

/** What {@link openBandit} found in the file. */
export interface Recovery extends Omit<ReplayResult, 'torn'> {
  /** Bytes of a torn last line that were cut off. */
  readonly tornBytes: number;
}

/** A bandit whose every change is in a file. */
export interface OpenedBandit {
  readonly bandit: ContextualBandit;
  /** What was in the file; undefined for a new one. */
  readonly recovered: Recovery | undefined;
  /**
   * Forces everything to the disk; see {@link DecisionLogOptions.fsync}.
   * @throws (rejects) what the disk says
   */
  sync(): Promise<void>;
  /**
   * Begins a new file with the present state, so that the next start need not replay all that was. The file so far keeps
   * its lines under the name `archive`, for off-policy evaluation. At any moment `path` is one of the two.
   *
   * @throws Error if `archive` exists; the log then goes on as before
   */
  rotate(archive: string): Promise<void>;
  /** Forces everything to the disk and closes the file; the bandit must not be used then. */
  close(): Promise<void>;
}

const isEmpty = (path: string) => !existsSync(path) || statSync(path).size === 0;

function recover(path: string, bandit: ContextualBandit, end: FileEnd, verify: boolean): Recovery {
  try {
    const { torn: _, ...result } = bandit.replay(readLinesSync(path, end), { verify });
    return { ...result, tornBytes: end.torn };
  } catch (error) {
    if (error instanceof Error) error.message = `openBandit: ${path}: ${error.message}`;
    throw error;
  }
}

/**
 * Opens the decision log at `path` and brings back the bandit that wrote it; a new log begins where there is none. A torn
 * last line, which a crash in the middle of a write leaves, is cut off: nobody was told that it was written.
 *
 * One process a log: two would interleave their lines, which the next start recognises by their numbers and refuses.
 *
 * @param path - the log; `path.next` beside it is used for a moment by `rotate`
 * @param create - makes the bandit of a new log; for an old one, its options must be the log's
 * @throws LogLineError that names the line which is damaged, missing, repeated, or of a bandit with other options; the
 *   file is not changed then
 * @example
 * const { bandit } = openBandit('decisions.jsonl', () => new ContextualBandit(linUCB({ dim: 3 })));
 */
export function openBandit(
  path: string,
  create: () => ContextualBandit,
  options: OpenBanditOptions = {},
): OpenedBandit {
  checkOptions('openBandit', options, ['fsync', 'verify']);
  const { verify = false, ...logOptions } = options;
  const bandit = create();
  let recovered: Recovery | undefined;
  let fresh = isEmpty(path);
  if (!fresh) {
    const end: FileEnd = { whole: 0, torn: 0 };
    // Only a first line that is torn: the process ended before anything was answered.
    const first = readLinesSync(path, end).next();
    if (first.done && end.whole === 0) fresh = true;
    else {
      recovered = recover(path, bandit, end, verify);
    }
    if (end.torn > 0) truncateSync(path, end.whole);
  }
  let log = new DecisionLog(path, logOptions);
  if (fresh) {
    bandit.startLog(log.append);
    syncFolder(path);
  } else bandit.resumeLog(log.append);

  /** Begins the next file; until it has its name, all is as before. */
  const rotateTo = (archive: string): DecisionLog => {
    const next = `${path}.next`;
    const old = log;
    linkSync(path, archive);
    try {
      let append = (line: string) => {
        writeDurable(next, `${line}\n`);
        const begun = new DecisionLog(next, logOptions);
        renameSync(next, path);
        begun.path = path;
        append = begun.append;
        log = begun;
      };
      bandit.startLog((line) => append(line));
    } catch (error) {
      rmSync(next, { force: true });
      rmSync(archive);
      throw error;
    }
    syncFolder(path);
    return old;
  };

  return {
    bandit,
    recovered,
    sync: () => log.sync(),
    rotate: async (archive) => rotateTo(archive).close(),
    close: () => log.close(),
  };
}
