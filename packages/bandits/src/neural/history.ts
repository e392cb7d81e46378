/** What a network trains on: the observations so far, the newest `capacity` of them. */
import { CheckpointError } from '@orth/backend';
import type { Json } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';

/** A ring of samples that grows until its capacity. */
export class History {
  /** Features, row-major `[size, dim]`. */
  x: Float64Array;
  /** Targets. */
  y: Float64Array;
  /** Importance weights. */
  weight: Float64Array;
  /** Which block of the input layer the features fill. */
  block: Int32Array;
  size = 0;
  private next = 0;

  constructor(
    readonly dim: number,
    readonly capacity: number,
  ) {
    const room = Math.min(capacity, 64);
    this.x = new Float64Array(room * dim);
    this.y = new Float64Array(room);
    this.weight = new Float64Array(room);
    this.block = new Int32Array(room);
  }

  /** Copies the first `dim` numbers of `x`. */
  add(x: Float64Array, y: number, weight: number, block: number): void {
    if (this.next === this.y.length && this.y.length < this.capacity) {
      this.grow(Math.min(this.capacity, 2 * this.y.length));
    }
    if (this.next === this.capacity) this.next = 0;
    const { dim } = this;
    const at = this.next * dim;
    for (let i = 0; i < dim; i++) this.x[at + i] = x[i]!;
    this.y[this.next] = y;
    this.weight[this.next] = weight;
    this.block[this.next] = block;
    this.next++;
    this.size = Math.max(this.size, this.next);
  }

  private grow(room: number): void {
    const { x, y, weight, block } = this;
    this.x = new Float64Array(room * this.dim);
    this.y = new Float64Array(room);
    this.weight = new Float64Array(room);
    this.block = new Int32Array(room);
    this.x.set(x);
    this.y.set(y);
    this.weight.set(weight);
    this.block.set(block);
  }

  /** A point to return to with {@link undo}, if the next {@link add} is regretted. */
  mark(): HistoryMark {
    const at = this.next === this.capacity ? 0 : this.next;
    const held = at < this.y.length;
    return {
      next: this.next,
      size: this.size,
      at,
      x: held ? this.x.slice(at * this.dim, (at + 1) * this.dim) : new Float64Array(this.dim),
      y: this.y[at] ?? 0,
      weight: this.weight[at] ?? 0,
      block: this.block[at] ?? 0,
    };
  }

  /** Takes back the one sample that was added since. */
  undo(mark: HistoryMark): void {
    this.next = mark.next;
    this.size = mark.size;
    this.x.set(mark.x, mark.at * this.dim);
    this.y[mark.at] = mark.y;
    this.weight[mark.at] = mark.weight;
    this.block[mark.at] = mark.block;
  }

  save(): { [key: string]: Json } {
    const { size, dim } = this;
    return {
      next: this.next,
      x: encodeNumbers(this.x.subarray(0, size * dim)),
      y: encodeNumbers(this.y.subarray(0, size)),
      weight: encodeNumbers(this.weight.subarray(0, size)),
      block: encodeNumbers(Float64Array.from(this.block.subarray(0, size))),
    };
  }

  load(data: SavedData, blocks: number): void {
    const y = data.numbers('y');
    const size = y.length;
    const next = data.count('next');
    const x = data.numbers('x', size * this.dim);
    const weight = data.numbers('weight', size);
    const block = data.numbers('block', size);
    const inOrder = size < this.capacity ? next === size : next >= 1 && next <= size;
    const valid = size <= this.capacity && (size === 0 ? next === 0 : inOrder);
    if (!valid || !block.every((b) => Number.isInteger(b) && b >= 0 && b < blocks)) {
      throw new CheckpointError('policyFromJSON: data.history must be samples of this policy');
    }
    if (size > this.y.length) this.grow(Math.min(this.capacity, Math.max(64, size)));
    this.x.set(x);
    this.y.set(y);
    this.weight.set(weight);
    this.block.set(block);
    this.size = size;
    this.next = next;
  }
}

/** See {@link History.mark}. */
export interface HistoryMark {
  readonly next: number;
  readonly size: number;
  readonly at: number;
  readonly x: Float64Array;
  readonly y: number;
  readonly weight: number;
  readonly block: number;
}
