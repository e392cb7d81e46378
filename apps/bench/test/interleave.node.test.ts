import { describe, expect, it } from 'vitest';
import type { Contestant } from '../src/harness/contestant.js';
import { inProcess } from '../src/harness/contestant.js';
import { interleave, QUICK, type TimingPolicy } from '../src/harness/interleave.js';

const POLICY: TimingPolicy = {
  warmUpRuns: 2,
  warmUpTime: 5,
  minSamples: 4,
  minTime: 0,
  maxTime: 1e9,
  fewestSamples: 3,
  sampleTime: 0,
  pause: 0,
};

/** A contestant with made-up times, which writes its name into a log. */
function scripted(name: string, log: string[], times: number[]): Contestant {
  let call = 0;
  return {
    name,
    time(runs) {
      log.push(`${name}${runs}`);
      return runs * times[call++ % times.length]!;
    },
    error: () => 0,
  };
}

describe('interleave', () => {
  it('warms both up, then samples in turn', async () => {
    const log: string[] = [];
    await interleave(scripted('a', log, [3]), scripted('b', log, [4]), POLICY);
    expect(log.slice(0, 4)).toEqual(['a1', 'a1', 'b1', 'b1']);
    expect(log.slice(4)).toEqual(['a1', 'b1', 'a1', 'b1', 'a1', 'b1', 'a1', 'b1']);
  });

  it('warms up only once what takes as long as the whole warm-up', async () => {
    const log: string[] = [];
    await interleave(scripted('a', log, [5]), scripted('b', log, [1]), POLICY);
    expect(log.slice(0, 7)).toEqual(['a1', 'b1', 'b1', 'b1', 'b1', 'b1', 'a1']);
  });

  it('gives the median and the least of the samples, without the warm-up', async () => {
    const log: string[] = [];
    const times = [4, 4, 5, 1, 3, 100];
    const [a] = await interleave(scripted('a', log, times), scripted('b', log, [1]), POLICY);
    expect(a.samples).toEqual([5, 1, 3, 100]);
    expect(a.median).toBe(4);
    expect(a.min).toBe(1);
  });

  it('repeats what is short until a sample is long enough, and reports the time of one', async () => {
    const log: string[] = [];
    const policy = { ...POLICY, sampleTime: 5 };
    const [a, b] = await interleave(scripted('a', log, [0.5]), scripted('b', log, [20]), policy);
    expect(log.at(-2)).toBe('a10');
    expect(log.at(-1)).toBe('b1');
    expect([a.median, b.median]).toEqual([0.5, 20]);
  });

  it('pauses between samples where asked to', async () => {
    const start = performance.now();
    const policy = { ...POLICY, pause: 10 };
    await interleave(scripted('a', [], [1]), scripted('b', [], [1]), policy);
    expect(performance.now() - start).toBeGreaterThan(70);
  });

  it('samples until both were measured long enough', async () => {
    const log: string[] = [];
    const policy = { ...POLICY, minTime: 100 };
    const [a] = await interleave(scripted('a', log, [10]), scripted('b', log, [50]), policy);
    expect(a.samples).toHaveLength(10);
  });

  it('stops early when both are slow, but not before the fewest samples', async () => {
    const log: string[] = [];
    const policy = { ...POLICY, minSamples: 50, maxTime: 10 };
    const [a] = await interleave(scripted('a', log, [100]), scripted('b', log, [100]), policy);
    expect(a.samples).toHaveLength(3);
  });

  it('refuses a time that cannot be', async () => {
    const bad = scripted('odd', [], [Number.NaN]);
    await expect(interleave(bad, scripted('b', [], [1]), POLICY)).rejects.toThrow(
      'interleave: odd reported NaN ms',
    );
  });

  it('measures real work: twice the work takes about twice as long', async () => {
    const work = (count: number) => () => {
      let x = 1;
      for (let i = 0; i < count; i++) x = Math.sqrt(x + i);
      return x;
    };
    const one = inProcess('one', work(200_000), () => 0);
    const two = inProcess('two', work(400_000), () => 0);
    const [a, b] = await interleave(one, two, { ...QUICK, pause: 0 });
    expect(b.min / a.min).toBeGreaterThan(1.5);
    expect(b.min / a.min).toBeLessThan(2.7);
  });

  it('waits for asynchronous work', async () => {
    const slow = inProcess(
      'slow',
      () => new Promise((resolve) => setTimeout(resolve, 5)),
      () => 0,
    );
    expect(await slow.time(2)).toBeGreaterThan(9);
  });
});
