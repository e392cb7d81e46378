import { mean, sampleStandardDeviation } from 'simple-statistics';
import { messageOf } from './errors.js';
import type {
  Claim,
  Expectation,
  Repro,
  ReproContext,
  ReproRow,
  SeedResult,
  Summary,
} from './repro.js';

/** Fewer seeds show nothing about the spread. */
export const FEWEST_SEEDS = 3;

const summarize = (what: string, values: number[]): Summary => ({
  what,
  mean: mean(values),
  spread: sampleStandardDeviation(values),
  values,
});

/** Whether effects meet an expectation. NaN meets none. */
export function meets(effects: readonly number[], expectation: Expectation): boolean {
  const { of, atMost = Infinity, atLeast = -Infinity, below = Infinity } = expectation;
  const numbers = of === 'mean' ? [mean([...effects])] : effects;
  return numbers.every((x) => x <= atMost && x >= atLeast && x < below);
}

/**
 * The row of a claim.
 * @throws RangeError for fewer than three different seeds, or an expectation without a bound
 */
export function toRow(system: string, claim: Claim): ReproRow {
  const { results, expectation, effect } = claim;
  const seeds = results.map(({ seed }) => seed);
  if (new Set(seeds).size !== seeds.length || seeds.length < FEWEST_SEEDS) {
    throw new RangeError(
      `toRow: results must be of ${FEWEST_SEEDS} or more different seeds, got [${seeds}]`,
    );
  }
  const { atMost, atLeast, below } = expectation;
  if ([atMost, atLeast, below].every((bound) => bound === undefined)) {
    throw new RangeError('toRow: expectation must have atMost, atLeast or below');
  }
  const effectOf = ({ baseline, ours }: SeedResult) =>
    effect === 'ratio' ? ours / baseline : ours - baseline;
  const effects = results.map(effectOf);
  const name = effect === 'ratio' ? 'ours / baseline' : 'ours − baseline';
  return {
    system,
    claim: claim.claim,
    setting: claim.setting,
    baseline: summarize(
      claim.baseline,
      results.map(({ baseline }) => baseline),
    ),
    ours: summarize(
      claim.ours,
      results.map(({ ours }) => ours),
    ),
    effect: summarize(name, effects),
    holds: meets(effects, expectation),
    expectation,
    seeds,
  };
}

/** A system whose reproduction threw. */
export interface FailedRepro {
  readonly system: string;
  readonly message: string;
}

/** Everything that reproductions gave. */
export interface ReproResult {
  readonly rows: ReproRow[];
  readonly failed: FailedRepro[];
}

/** Runs reproductions one after the other; one that throws keeps the rows it had, and the others go on. */
export async function runRepros(
  repros: readonly Repro[],
  context: Omit<ReproContext, 'onProgress'>,
  onProgress: (done: number, total: number, what: string) => void = () => {},
): Promise<ReproResult> {
  const result: ReproResult = { rows: [], failed: [] };
  for (const [done, repro] of repros.entries()) {
    const { system } = repro;
    const tell = (what: string) => onProgress(done, repros.length, `${system}: ${what}`);
    tell('starts');
    try {
      for await (const claim of repro.claims({ ...context, onProgress: tell })) {
        result.rows.push(toRow(system, claim));
      }
    } catch (error) {
      result.failed.push({ system, message: messageOf(error) });
    }
  }
  onProgress(repros.length, repros.length, 'done');
  return result;
}
