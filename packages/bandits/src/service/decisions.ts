import { FifoMap } from './fifoMap.js';

/** A decision that waits for its reward. */
export interface PendingDecision {
  /** When it was made, in milliseconds. */
  readonly time: number;
  /** Index of the action. */
  readonly action: number;
  readonly probability: number;
  /** `[dim]`: what will be learnt from. */
  readonly row: Float64Array;
  /** The whole round, for policies that learn from it. */
  readonly round?: { readonly rows: Float64Array; readonly mask?: Uint8Array };
}

/** How a decision was settled. */
export type Settled = 'learned' | 'expired';

/** Decisions that wait, and the last that no longer do: both bounded, the oldest leaving first. */
export class DecisionStore {
  readonly pending = new FifoMap<PendingDecision>();
  readonly settled = new FifoMap<Settled>();

  constructor(
    private readonly maxPending: number,
    private readonly maxAge: number,
    private readonly maxSettled: number,
  ) {}

  /** Whether an id is taken: it waits, or is remembered. */
  knows(id: string): boolean {
    return this.pending.has(id) || this.settled.has(id);
  }

  /** Remembers how a decision ended; it waits no longer. */
  settle(id: string, how: Settled): void {
    this.pending.delete(id);
    this.settled.add(id, how);
    while (this.settled.size > this.maxSettled) this.settled.delete(this.settled.oldest()![0]);
  }

  /** The oldest decision, where it is too old or where more wait than may; it is still there. */
  due(time: number): readonly [string, PendingDecision] | undefined {
    const oldest = this.pending.oldest();
    if (!oldest) return undefined;
    const late = time - oldest[1].time > this.maxAge;
    return late || this.pending.size > this.maxPending ? oldest : undefined;
  }
}
