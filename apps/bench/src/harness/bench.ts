import type { Random } from '@orth/backend';
import type { Contestant, Peer } from './contestant.js';
import type { TimingPolicy } from './interleave.js';
import type { PythonPeers } from './pythonPeers.js';

/** What a bench is given. */
export interface BenchContext {
  /** Fewer and smaller cases. */
  readonly quick: boolean;
  /** Active tfjs backend. */
  readonly backend: string;
  /** Threads of the backend. */
  readonly threads: number;
  readonly policy: TimingPolicy;
  /** Peers in PyTorch. */
  readonly python: PythonPeers;
  /** Random numbers that depend on `key` alone: the same inputs in every run. */
  random(key: number): Random;
}

/** A case made ready: inputs are on the device, references computed. */
export interface PreparedCase {
  readonly ours: Contestant;
  readonly peers: readonly Peer[];
  dispose?(): void;
}

/** One size of one thing; a row for each of its peers. */
export interface BenchCase {
  /** `<bench>/<what>`. */
  readonly name: string;
  /** `256x1024`, `12x(64x768)`. */
  readonly size: string;
  /** What the two error columns hold. */
  readonly errorMeasure: string;
  /** Makes inputs and contestants; called just before the case is timed, so that one case is in memory at a time. */
  prepare(): PreparedCase | Promise<PreparedCase>;
}

/** A number without a peer: a rate, a latency, memory; with the bound that it is to keep, if there is one. */
export interface Figure {
  /** `decisions/s`, `p99`. */
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** A case whose figures stand for themselves; a row for each of them. */
export interface FigureCase {
  /** `<bench>/<what>`. */
  readonly name: string;
  readonly size: string;
  measure(): readonly Figure[] | Promise<readonly Figure[]>;
}

/** A measured figure; whether it keeps its bound is computed, and absent where it has none. */
export interface FigureRow extends Figure {
  readonly name: string;
  readonly size: string;
  readonly holds?: boolean;
}

/** A bench: what a file in `benches/` exports as `bench`. */
export interface Bench {
  readonly name: string;
  /** One line for `--list`. */
  readonly description: string;
  cases(context: BenchContext): readonly BenchCase[];
  /** Measured after the cases. Default: none */
  figures?(context: BenchContext): readonly FigureCase[];
}

/** A measured row. */
export interface BenchRow {
  readonly name: string;
  readonly size: string;
  readonly backend: string;
  readonly ours_ms: number;
  readonly peer: string;
  readonly peer_ms: number;
  /** peer_ms / ours_ms: above 1 = ours is faster. */
  readonly ratio: number;
  readonly error_ours: number;
  readonly error_peer: number;
  /** What exactly was ours. */
  readonly ours: string;
  readonly error_measure: string;
  /** Fastest sample of each, and samples of each: what a busy machine did to the medians shows here. */
  readonly ours_min_ms: number;
  readonly peer_min_ms: number;
  /** peer_min_ms / ours_min_ms: what is left of the ratio when interruptions by other programs are not counted. */
  readonly ratio_min: number;
  readonly samples: number;
}

/** A peer that was not measured, and why. */
export interface AbsentRow {
  readonly name: string;
  readonly size: string;
  readonly peer: string;
  readonly reason: string;
}

/** A case, or one of its peers, that threw. */
export interface FailedRow {
  readonly name: string;
  readonly size: string;
  readonly peer?: string;
  readonly message: string;
}

/** Everything that benches gave. */
export interface BenchResult {
  readonly rows: BenchRow[];
  readonly figures: FigureRow[];
  readonly absent: AbsentRow[];
  readonly failed: FailedRow[];
}
