import { checkInteger, checkOptions, seededRandom } from '@orth/backend';
import type { HyperSpace } from './hyperSpace.js';

/** One run of a {@link randomSearch}. */
export interface SearchTrial {
  /** 0, 1, … */
  readonly trial: number;
  readonly values: Readonly<Record<string, number>>;
  /** What the run gave; Infinity if that was not a number. */
  readonly loss: number;
}

/** Options of {@link randomSearch}. */
export interface RandomSearchOptions {
  /** Runs, ≥ 1. */
  readonly trials: number;
  /** Default 0 */
  readonly seed?: number;
  /** Called after each run. */
  readonly onTrial?: (trial: SearchTrial) => void | Promise<void>;
  /** Ends the search before the next run. */
  readonly signal?: AbortSignal;
}

/**
 * Random search over a {@link HyperSpace}: the baseline of {@link SelfTuning}, over the same space and, with the variant
 * `'fixed'`, the same models.
 *
 * @param run - trains with the initial values of the space it is given (and its trial number as a seed), and gives a
 *   validation loss
 * @returns all trials and the best; `best` is absent if the signal aborted before the first
 * @throws TypeError or RangeError for bad options or a space without a finite range to draw from; what `run` throws
 * @example
 * const { best } = await randomSearch(async (space, trial) => {
 *   const run = new SelfTuning(makeModel(trial), space, { variant: 'fixed', seed: trial });
 *   const { best } = await run.fit({ train, valid, epochs: 20 });
 *   run.dispose();
 *   return best.validLoss;
 * }, space, { trials: 8 });
 */
export async function randomSearch(
  run: (space: HyperSpace, trial: number) => number | Promise<number>,
  space: HyperSpace,
  options: RandomSearchOptions,
): Promise<{ readonly trials: readonly SearchTrial[]; readonly best: SearchTrial | undefined }> {
  const caller = 'randomSearch';
  checkOptions(caller, options, ['trials', 'seed', 'onTrial', 'signal']);
  const { trials: total, seed = 0, onTrial, signal } = options;
  if (typeof run !== 'function') {
    throw new TypeError(`${caller}: run must be a function, got ${typeof run}`);
  }
  checkInteger(caller, 'trials', total, { min: 1 });
  const random = seededRandom(seed);
  // All are drawn first: a space that cannot be drawn from is refused before the first run.
  const drawn = Array.from({ length: total }, () => space.sample(random));
  const trials: SearchTrial[] = [];
  for (const [trial, values] of drawn.entries()) {
    if (signal?.aborted) break;
    const given = await run(space.withInit(values), trial);
    const loss = Number.isFinite(given) ? given : Number.POSITIVE_INFINITY;
    trials.push({ trial, values, loss });
    await onTrial?.(trials[trial]!);
  }
  const best = trials.reduce<SearchTrial | undefined>(
    (least, trial) => (!least || trial.loss < least.loss ? trial : least),
    undefined,
  );
  return { trials, best };
}
