import type { Random } from '@orth/backend';

/** Where a batch cursor stands: plain data. */
export interface CursorState {
  readonly order: readonly number[];
  readonly at: number;
}

/** Batches of row numbers in a random order, epoch after epoch; its place can be saved. */
export class BatchCursor {
  private order: readonly number[] = [];
  private at = 0;

  constructor(
    readonly count: number,
    private readonly size: number,
  ) {}

  /** Whether an epoch has ended, or none has begun. */
  get atEnd(): boolean {
    return this.at >= this.order.length;
  }

  /** The next batch; begins a new epoch where one has ended. The last batch of an epoch may be smaller. */
  next(random: Random): readonly number[] {
    if (this.atEnd) {
      this.order = random.shuffle(Array.from({ length: this.count }, (_, i) => i));
      this.at = 0;
    }
    const batch = this.order.slice(this.at, this.at + this.size);
    this.at += batch.length;
    return batch;
  }

  get state(): CursorState {
    return { order: [...this.order], at: this.at };
  }

  set state({ order, at }: CursorState) {
    this.order = [...order];
    this.at = at;
  }
}
