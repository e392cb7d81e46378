/** Something that can be timed: one of our functions, another library's, or a program in another process. */
export interface Contestant {
  /** As tables show it, with version: `tfjs 4.22.0`, `torch 1.13.0, 1 thread`. */
  readonly name: string;
  /** Threads it computes with. Default: those of the active backend */
  readonly threads?: number;
  /** Executes `runs` times in a row and says how many milliseconds that took, without waiting or transfer around it. */
  time(runs: number): number | Promise<number>;
  /** Error of one execution's result against float64, in the measure that the case states. Taken outside the timing. */
  error(): number | Promise<number>;
  /** Frees what it holds; called once, after its last row. */
  dispose?(): void | Promise<void>;
}

/** A peer that cannot be measured here. It is listed with its reason, never guessed. */
export interface AbsentPeer {
  readonly name: string;
  readonly absent: string;
}

/** A peer: measured, or absent. */
export type Peer = Contestant | AbsentPeer;

/** Whether a peer cannot be measured here. */
export const isAbsent = (peer: Peer): peer is AbsentPeer => 'absent' in peer;

/**
 * A contestant in this process.
 *
 * @param run - one execution, everything it made disposed; a promise where the work is over only once that resolves
 * @param error - see {@link Contestant.error}
 */
export function inProcess(
  name: string,
  run: () => unknown | Promise<unknown>,
  error: () => number | Promise<number>,
): Contestant {
  return {
    name,
    async time(runs) {
      const start = performance.now();
      for (let i = 0; i < runs; i++) {
        const pending = run();
        // Awaiting what is not a promise would add a turn of the event loop to every execution.
        if (pending instanceof Promise) await pending;
      }
      return performance.now() - start;
    },
    error,
  };
}
