import { setTimeout as sleep } from 'node:timers/promises';
import { median, min } from 'simple-statistics';
import type { Contestant } from './contestant.js';

/** How long to measure. All times in milliseconds. */
export interface TimingPolicy {
  /** Executions before timing: at least so many, unless {@link warmUpTime} is over after the first. */
  readonly warmUpRuns: number;
  /** Warm-up goes on for at least this long. */
  readonly warmUpTime: number;
  /** Samples of each contestant, at least. */
  readonly minSamples: number;
  /** Sampling goes on until each contestant was measured this long, whichever comes later. */
  readonly minTime: number;
  /** Once both together took this long, {@link fewestSamples} are enough. */
  readonly maxTime: number;
  /** What even the slowest contestant is measured. */
  readonly fewestSamples: number;
  /** A sample repeats its execution until it takes about this long, so that the clock's grain does not show. */
  readonly sampleTime: number;
  /**
   * Wait after each sample, where somebody has several threads: thread pools spin for some 25 ms after their work, and
   * would take processor time from whoever is measured next.
   */
  readonly pause: number;
}

/** For results worth keeping. */
export const FULL: TimingPolicy = {
  warmUpRuns: 3,
  warmUpTime: 200,
  minSamples: 15,
  minTime: 1000,
  maxTime: 20_000,
  fewestSamples: 3,
  sampleTime: 10,
  pause: 40,
};

/** For a look: the same procedure with fewer samples. */
export const QUICK: TimingPolicy = {
  ...FULL,
  warmUpTime: 50,
  minSamples: 5,
  minTime: 150,
  maxTime: 4000,
};

/** What a contestant took, in milliseconds an execution. */
export interface Timing {
  readonly median: number;
  readonly min: number;
  readonly samples: readonly number[];
}

const summarize = (samples: number[]): Timing => ({
  median: median(samples),
  min: min(samples),
  samples,
});

async function timeOf(contestant: Contestant, runs: number): Promise<number> {
  const time = await contestant.time(runs);
  if (time >= 0) return time;
  throw new RangeError(`interleave: ${contestant.name} reported ${time} ms`);
}

/**
 * Warms a contestant up and finds how many executions a sample needs. Ever more at a time: tiny ones would otherwise take
 * ten times longer around the clock than within it.
 */
async function warmUp(contestant: Contestant, policy: TimingPolicy): Promise<number> {
  const { warmUpTime, warmUpRuns, sampleTime } = policy;
  let spent = 0;
  let done = 0;
  for (let runs = 1; ; ) {
    const time = await timeOf(contestant, runs);
    spent += time;
    done += runs;
    const warm = spent >= warmUpTime && done >= warmUpRuns;
    if (warm || time >= warmUpTime) return Math.max(1, Math.round((sampleTime * runs) / time));
    if (time < sampleTime) runs *= 2;
  }
}

/**
 * Times two contestants in turn, A B A B …, so that a machine that slows down or speeds up meanwhile does so for both.
 *
 * @returns medians over equally many samples of each
 * @throws RangeError if a contestant reports a time that is no number
 */
export async function interleave(
  a: Contestant,
  b: Contestant,
  policy: TimingPolicy,
): Promise<readonly [Timing, Timing]> {
  const contestants = [a, b] as const;
  const runs = [await warmUp(a, policy), await warmUp(b, policy)];
  const samples: [number[], number[]] = [[], []];
  const spent = [0, 0];
  const enough = () => {
    const taken = samples[0].length;
    if (spent[0]! + spent[1]! >= policy.maxTime) return taken >= policy.fewestSamples;
    return taken >= policy.minSamples && Math.min(...spent) >= policy.minTime;
  };
  while (!enough()) {
    for (const [i, contestant] of contestants.entries()) {
      const time = await timeOf(contestant, runs[i]!);
      spent[i]! += time;
      samples[i]!.push(time / runs[i]!);
      if (policy.pause > 0) await sleep(policy.pause);
    }
  }
  return [summarize(samples[0]), summarize(samples[1])];
}
