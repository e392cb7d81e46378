import type {
  Bench,
  BenchCase,
  BenchContext,
  BenchResult,
  BenchRow,
  Figure,
  FigureCase,
} from './bench.js';
import { type Contestant, isAbsent } from './contestant.js';
import { messageOf } from './errors.js';
import { interleave } from './interleave.js';

async function measure(
  { name, size, errorMeasure }: BenchCase,
  context: BenchContext,
  ours: Contestant,
  errorOurs: number,
  peer: Contestant,
): Promise<BenchRow> {
  const errorPeer = await peer.error();
  const threads = Math.max(context.threads, ours.threads ?? 1, peer.threads ?? 1);
  const pause = threads > 1 ? context.policy.pause : 0;
  const [a, b] = await interleave(ours, peer, { ...context.policy, pause });
  return {
    name,
    size,
    backend: context.backend,
    ours_ms: a.median,
    peer: peer.name,
    peer_ms: b.median,
    ratio: b.median / a.median,
    error_ours: errorOurs,
    error_peer: errorPeer,
    ours: ours.name,
    error_measure: errorMeasure,
    ours_min_ms: a.min,
    peer_min_ms: b.min,
    ratio_min: b.min / a.min,
    samples: a.samples.length,
  };
}

/** Whether a figure keeps its bound. */
function judge({ value, atLeast, atMost }: Figure): { holds?: boolean } {
  if (atLeast === undefined && atMost === undefined) return {};
  return { holds: value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity) };
}

/**
 * Runs benches one case after the other. A case or peer that throws is recorded as failed and the others go on.
 *
 * @param onProgress - told what runs now: position, number of cases, and the case in words
 */
export async function runBenches(
  benches: readonly Bench[],
  context: BenchContext,
  onProgress: (done: number, total: number, what: string) => void = () => {},
): Promise<BenchResult> {
  const result: BenchResult = { rows: [], figures: [], absent: [], failed: [] };
  const cases: BenchCase[] = [];
  const figures: FigureCase[] = [];
  for (const bench of benches) {
    try {
      cases.push(...bench.cases(context));
      figures.push(...(bench.figures?.(context) ?? []));
    } catch (error) {
      result.failed.push({ name: bench.name, size: '', message: messageOf(error) });
    }
  }
  const total = cases.length + figures.length;
  for (const [done, benchCase] of cases.entries()) {
    const { name, size } = benchCase;
    onProgress(done, total, `${name} ${size}`);
    try {
      const { ours, peers, dispose } = await benchCase.prepare();
      try {
        const errorOurs = await ours.error();
        for (const peer of peers) {
          if (isAbsent(peer)) {
            result.absent.push({ name, size, peer: peer.name, reason: peer.absent });
            continue;
          }
          onProgress(done, total, `${name} ${size} against ${peer.name}`);
          try {
            result.rows.push(await measure(benchCase, context, ours, errorOurs, peer));
          } catch (error) {
            result.failed.push({ name, size, peer: peer.name, message: messageOf(error) });
          }
          await peer.dispose?.();
        }
      } finally {
        await ours.dispose?.();
        dispose?.();
      }
    } catch (error) {
      result.failed.push({ name, size, message: messageOf(error) });
    }
  }
  for (const [i, { name, size, measure }] of figures.entries()) {
    onProgress(cases.length + i, total, `${name} ${size}`);
    try {
      for (const figure of await measure()) {
        result.figures.push({ name, size, ...figure, ...judge(figure) });
      }
    } catch (error) {
      result.failed.push({ name, size, message: messageOf(error) });
    }
  }
  onProgress(total, total, 'done');
  return result;
}
