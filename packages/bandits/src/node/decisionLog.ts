import { closeSync, fdatasyncSync, fstatSync, fsync, ftruncateSync, openSync } from 'node:fs';
import { checkNumber, checkOptions } from '@orth/backend';
import { writeWhole } from './durable.js';

/** Options of {@link DecisionLog}. */
export interface DecisionLogOptions {
  /**
   * When lines are forced to the disk. They are given to the operating system one by one before anything goes on, so that
   * they outlive this process whatever happens to it; this is about the machine losing power.
   *
   * - `'never'` (default): the operating system decides, typically within 30 s; `await log.sync()` where you need to know;
   * - `'always'`: each before it counts as written, which takes as long as the disk takes (some 0.1 to 10 ms);
   * - a number: at most so many milliseconds after it was written.
   */
  readonly fsync?: 'never' | 'always' | number;
}

/** A file to which lines are appended, each whole or not at all as far as anybody is told. */
export class DecisionLog {
  private file: number | undefined;
  private size: number;
  private broken: Error | undefined;
  private timer: NodeJS.Timeout | undefined;
  private syncing: Promise<void> | undefined;
  private following: Promise<void> | undefined;
  private readonly fsync: 'never' | 'always' | number;

  /**
   * @param path - made if it is not there; to be set anew where the file is renamed, as errors name it
   * @throws TypeError or RangeError for options; what `fs.openSync` throws
   */
  constructor(
    public path: string,
    options: DecisionLogOptions = {},
  ) {
    const caller = 'DecisionLog';
    checkOptions(caller, options, ['fsync']);
    const { fsync: policy = 'never' } = options;
    if (typeof policy === 'number') checkNumber(caller, 'fsync', policy, { min: 0 });
    else if (policy !== 'never' && policy !== 'always') {
      throw new RangeError(
        `${caller}: fsync must be "never", "always" or milliseconds, got ${String(policy)}`,
      );
    }
    this.fsync = policy;
    this.file = openSync(path, 'a');
    this.size = fstatSync(this.file).size;
  }

  /** Bytes in the file. */
  get bytes(): number {
    return this.size;
  }

  /**
   * Appends a line and its end. When this returns, the line outlives this process; with `fsync: 'always'` the machine's
   * power as well.
   *
   * @throws what writing throws (no space, say): the file is then cut back to the line before
   */
  readonly append = (line: string): void => {
    if (this.file === undefined) throw new Error(`DecisionLog.append: ${this.path} must be open`);
    if (this.broken) throw this.broken;
    const bytes = Buffer.from(`${line}\n`);
    try {
      writeWhole(this.file, bytes);
      if (this.fsync === 'always') fdatasyncSync(this.file);
    } catch (error) {
      this.cutBack(error);
      throw error;
    }
    this.size += bytes.length;
    if (typeof this.fsync !== 'number' || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.sync().catch((cause) => {
        // A disk reports a failure once: nobody waits for this sync, so that the next append must tell.
        this.broken = new Error(
          `DecisionLog.append: ${this.path} could not be forced to the disk; open it anew`,
          { cause },
        );
      });
    }, this.fsync);
    this.timer.unref();
  };

  /** Removes half a line; where that fails too, nothing may be appended to it. */
  private cutBack(cause: unknown): void {
    try {
      ftruncateSync(this.file!, this.size);
    } catch {
      this.broken = new Error(
        `DecisionLog.append: ${this.path} ends in a torn line after ${this.size} bytes; open it anew`,
        { cause },
      );
    }
  }

  /**
   * Forces everything that was appended so far to the disk. Calls at the same time share the disk's work: hundreds of
   * requests cost two syncs.
   */
  sync(): Promise<void> {
    if (this.file === undefined) {
      return Promise.reject(new Error(`DecisionLog.sync: ${this.path} must be open`));
    }
    if (!this.syncing) {
      this.syncing = this.force().finally(() => {
        this.syncing = undefined;
      });
      return this.syncing;
    }
    // The sync under way may have begun before the last line was appended: one more follows, for all who wait.
    this.following ??= this.syncing
      .catch(() => {})
      .then(() => {
        this.following = undefined;
        return this.sync();
      });
    return this.following;
  }

  private force(): Promise<void> {
    return new Promise((resolve, reject) => {
      fsync(this.file!, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Forces everything to the disk and closes the file; waits for a sync under way. Closing twice does nothing. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    while (this.syncing || this.following) await (this.following ?? this.syncing)?.catch(() => {});
    if (this.file === undefined) return;
    const file = this.file;
    this.file = undefined;
    try {
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
