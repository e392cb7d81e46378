/** Two clouds of points in the unit square with uniform masses, squared distances: the problem of the transport bench. */
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Random } from '@orth/backend';
import { type Contestant, isAbsent, type Peer } from '../harness/contestant.js';
import type { HostTensor, PythonPeers } from '../harness/pythonPeers.js';

/** Costs between n and n points, `[n, n]`, float32 so that everyone computes with the same numbers. */
export function cloudCost(random: Random, n: number): HostTensor {
  const points = () => Array.from({ length: n }, () => [random.uniform(), random.uniform()]);
  const [x, y] = [points(), points()];
  const data = new Float32Array(n * n);
  x.forEach(([x0, x1], i) => {
    y.forEach(([y0, y1], j) => {
      data[i * n + j] = (x0! - y0!) ** 2 + (x1! - y1!) ** 2;
    });
  });
  return { shape: [n, n], data };
}

/** ‖T1 − a‖₁ + ‖Tᵀ1 − b‖₁ of a dense plan for uniform masses. */
export function marginalError(plan: Float64Array, n: number): number {
  const rows = new Float64Array(n).fill(-1 / n);
  const columns = new Float64Array(n).fill(-1 / n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      rows[i]! += plan[i * n + j]!;
      columns[j]! += plan[i * n + j]!;
    }
  }
  return [...rows, ...columns].reduce((total, error) => total + Math.abs(error), 0);
}

/**
 * A solver of `peers/transport.py` on one thread: with SciPy's and POT's loops none of these uses more.
 * @param label - as the table shows it
 */
export async function pythonTransport(
  python: PythonPeers,
  label: string,
  cost: HostTensor,
  params: Readonly<Record<string, unknown>>,
): Promise<Peer> {
  const inputs = { cost };
  const [peer] = await python.torch({
    script: 'transport',
    label,
    params,
    inputs,
    accuracy: { params: { ...params, report: 'error' }, inputs },
    error: ([error]) => error!.data[0]!,
  });
  if (!peer || isAbsent(peer) || cost.shape[0]! < TIMED_ONCE) return peer!;
  return timedOnce(peer);
}

/** From this size on a solve in Python takes a minute or more. */
const TIMED_ONCE = 2000;

/** A contestant whose first time stands for all. */
function timedOnce(contestant: Contestant): Contestant {
  let first: number | undefined;
  return {
    ...contestant,
    name: `${contestant.name}, timed once`,
    async time(runs) {
      first ??= await contestant.time(1);
      return first * runs;
    },
  };
}

/** Peak memory of a solver of `peers/transport.py` beyond its inputs, MB; undefined where it cannot run. */
export async function pythonPeakMemory(
  python: PythonPeers,
  cost: HostTensor,
  params: Readonly<Record<string, unknown>>,
): Promise<number | undefined> {
  const [peer] = await python.torch({
    script: 'transport',
    params: { ...params, report: 'memory' },
    inputs: { cost },
    error: ([peak]) => peak!.data[0]!,
  });
  if (!peer || 'absent' in peer) return undefined;
  return peer.error();
}

const statusField = (field: string) =>
  Number(
    new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))![1],
  ) / 1024;

/** Peak resident memory of this process while `work` runs beyond what is there before, MB; undefined but on Linux. */
export function peakMemory(work: () => void): number | undefined {
  // What others left behind would otherwise be reused, and not show.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const ballast = useUpFreeMemory();
  try {
    // Resets the kernel's record of the peak.
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    return undefined;
  }
  const before = statusField('VmRSS');
  work();
  const peak = statusField('VmHWM') - before;
  return ballast.length > 0 ? peak : undefined;
}

/** Allocates what the allocator keeps free, until it has to ask the system for every new piece. */
function useUpFreeMemory(): Uint8Array[] {
  const size = 4;
  const ballast: Uint8Array[] = [];
  for (let fresh = 0; fresh < 16; ) {
    const before = statusField('VmRSS');
    ballast.push(new Uint8Array(size * 2 ** 20).fill(1));
    fresh = statusField('VmRSS') - before > 0.9 * size ? fresh + 1 : 0;
  }
  return ballast;
}
