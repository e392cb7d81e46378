/** An entry, linked to those that were set before and after it. */
interface Entry<V> {
  readonly key: string;
  readonly value: V;
  before: Entry<V> | undefined;
  after: Entry<V> | undefined;
}

/**
 * A map that knows its oldest entry in constant time. A plain `Map` walks over the holes that deletions left at its front
 * each time it is asked for its first entry.
 */
export class FifoMap<V> {
  private readonly entries = new Map<string, Entry<V>>();
  private first: Entry<V> | undefined;
  private last: Entry<V> | undefined;

  get size(): number {
    return this.entries.size;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  get(key: string): V | undefined {
    return this.entries.get(key)?.value;
  }

  /** Appends a key that is not there yet. */
  add(key: string, value: V): void {
    const entry: Entry<V> = { key, value, before: this.last, after: undefined };
    if (this.last) this.last.after = entry;
    else this.first = entry;
    this.last = entry;
    this.entries.set(key, entry);
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    if (entry.before) entry.before.after = entry.after;
    else this.first = entry.after;
    if (entry.after) entry.after.before = entry.before;
    else this.last = entry.before;
  }

  /** The oldest key and its value. */
  oldest(): readonly [string, V] | undefined {
    return this.first && [this.first.key, this.first.value];
  }

  /** From the oldest to the newest. */
  *[Symbol.iterator](): Generator<readonly [string, V]> {
    for (let entry = this.first; entry; entry = entry.after) yield [entry.key, entry.value];
  }
}
