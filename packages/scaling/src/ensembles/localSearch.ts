import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { checkFunction, checkNumbers } from '../checks.js';

/** A point of a grid: a value for each axis. */
export type GridPoint<A extends string> = Readonly<Record<A, number>>;

/** A point that was evaluated. */
export interface Evaluation<A extends string> {
  readonly point: GridPoint<A>;
  /** Its place on each axis, from 0. */
  readonly indices: GridPoint<A>;
  /** Infinity for a run that diverged. */
  readonly loss: number;
}

/** Options of {@link localSearch}. */
export interface LocalSearchOptions<A extends string> {
  /** Evaluations to stop after, integer >= 1; the result is then not certified. Default: no limit */
  readonly maxEvaluations?: number;
  /** Evaluations of an earlier search, which are not repeated. */
  readonly known?: readonly { readonly point: GridPoint<A>; readonly loss: number }[];
  /** Called after each new evaluation. */
  onEvaluation?(evaluation: Evaluation<A>): void;
  /** Stops before the next evaluation. */
  readonly signal?: AbortSignal;
}

/** What {@link localSearch} finds. */
export interface LocalSearchResult<A extends string> {
  readonly best: Evaluation<A>;
  /** From the start to the best. */
  readonly path: readonly Evaluation<A>[];
  /** All that was evaluated or known, in order. */
  readonly evaluations: readonly Evaluation<A>[];
  /** Whether every neighbour of the best was evaluated and none is better. */
  readonly certified: boolean;
}

/** Checks the grids and finds the start on them. */
function indicesOf<A extends string>(
  caller: string,
  argument: string,
  axes: readonly A[],
  grids: Readonly<Record<A, readonly number[]>>,
  point: GridPoint<A>,
): GridPoint<A> {
  checkOptions(`${caller}: ${argument}`, point, axes);
  const entries = axes.map((axis) => {
    const index = grids[axis].indexOf(point[axis]);
    if (index < 0) {
      throw new RangeError(
        `${caller}: ${argument}.${axis} must be one of [${grids[axis].join(', ')}], got ${point[axis]}`,
      );
    }
    return [axis, index] as const;
  });
  return Object.fromEntries(entries) as GridPoint<A>;
}

/**
 * Searches a grid by its neighbours: from the start, evaluates the neighbours along each axis (lower, then upper), moves to
 * the best of them while it is strictly better, and stops with a certificate when none is. Nothing is evaluated twice.
 *
 * @param evaluate - loss at a point, such as the validation loss of a training run; Infinity for one that diverged
 * @param grids - values along each axis, increasing; neighbours are tried in the order of the axes
 * @param options - `start` (a point of the grids) and {@link LocalSearchOptions}
 * @throws TypeError or RangeError for grids that do not increase, a start that is not on them, or a loss that is NaN
 * @example
 * const { best, certified } = await localSearch(
 *   ({ epochs, learningRate, weightDecay }) => validationLoss(epochs, learningRate, weightDecay),
 *   SEARCH_GRIDS,
 *   { start: { epochs: 8, learningRate: 1e-3, weightDecay: 0.1 } },
 * );
 * @see Kim et al. 2025, "Pre-training under infinite compute": locally optimal hyperparameters by coordinate descent
 */
export async function localSearch<A extends string>(
  evaluate: (point: GridPoint<A>) => number | Promise<number>,
  grids: Readonly<Record<A, readonly number[]>>,
  options: LocalSearchOptions<A> & { readonly start: GridPoint<A> },
): Promise<LocalSearchResult<A>> {
  const caller = 'localSearch';
  checkFunction(caller, 'evaluate', evaluate);
  const names = ['start', 'maxEvaluations', 'known', 'onEvaluation', 'signal'];
  checkOptions(caller, options, names);
  const { start, maxEvaluations, known = [], onEvaluation, signal } = options;
  if (maxEvaluations !== undefined) {
    checkInteger(caller, 'maxEvaluations', maxEvaluations, { min: 1 });
  }
  const axes = Object.keys(grids) as A[];
  if (axes.length === 0) throw new RangeError(`${caller}: grids must have an axis, got none`);
  for (const axis of axes) {
    const grid = grids[axis];
    checkNumbers(caller, `grids.${axis}`, grid);
    grid.forEach((value, i) => {
      if (i > 0) checkNumber(caller, `grids.${axis}[${i}]`, value, { above: grid[i - 1]! });
    });
  }
  const first = indicesOf(caller, 'start', axes, grids, start);
  const cache = new Map<string, Evaluation<A>>();
  const keyOf = (indices: GridPoint<A>) => axes.map((axis) => indices[axis]).join();
  const pointOf = (indices: GridPoint<A>) =>
    Object.fromEntries(axes.map((axis) => [axis, grids[axis][indices[axis]]])) as GridPoint<A>;
  const checkLoss = (loss: number) => {
    if (loss !== Infinity) checkNumber(caller, 'loss', loss);
  };
  for (const { point, loss } of known) {
    checkLoss(loss);
    const indices = indicesOf(caller, 'known', axes, grids, point);
    cache.set(keyOf(indices), { point, indices, loss });
  }
  let spent = 0;
  const at = async (indices: GridPoint<A>): Promise<Evaluation<A> | undefined> => {
    const found = cache.get(keyOf(indices));
    if (found) return found;
    if (spent === maxEvaluations) return undefined;
    signal?.throwIfAborted();
    const point = pointOf(indices);
    const loss = await evaluate(point);
    checkLoss(loss);
    spent++;
    const evaluation = { point, indices, loss };
    cache.set(keyOf(indices), evaluation);
    onEvaluation?.(evaluation);
    return evaluation;
  };
  const path = [(await at(first))!];
  for (;;) {
    const here = path.at(-1)!;
    let better: Evaluation<A> | undefined;
    let complete = true;
    for (const axis of axes) {
      for (const step of [-1, 1]) {
        const index = here.indices[axis] + step;
        if (index < 0 || index >= grids[axis].length) continue;
        const neighbour = await at({ ...here.indices, [axis]: index });
        if (!neighbour) complete = false;
        else if (neighbour.loss < (better ?? here).loss) better = neighbour;
      }
    }
    if (better) path.push(better);
    else return { best: here, path, evaluations: [...cache.values()], certified: complete };
  }
}

/** Grids of the paper's search, in the order in which it tries neighbours. */
export const SEARCH_GRIDS = {
  epochs: [1, 2, 4, 8, 16, 32, 64],
  learningRate: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
  weightDecay: [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4],
} as const;

/** Options of {@link tuneWeightDecay}. */
export interface TuneWeightDecayOptions extends LocalSearchOptions<'weightDecay'> {
  /** Values to choose from, increasing. Default those of {@link SEARCH_GRIDS} */
  readonly weightDecays?: readonly number[];
  /** Where to start; one of them. Default 0.1, or the middle one where that is not among them */
  readonly start?: number;
}

/**
 * The best weight decay of a grid, by {@link localSearch} along that axis.
 * @param evaluate - validation loss of a run with a weight decay
 * @throws as {@link localSearch}
 */
export async function tuneWeightDecay(
  evaluate: (weightDecay: number) => number | Promise<number>,
  options: TuneWeightDecayOptions = {},
): Promise<LocalSearchResult<'weightDecay'> & { readonly weightDecay: number }> {
  checkFunction('tuneWeightDecay', 'evaluate', evaluate);
  const { weightDecays = SEARCH_GRIDS.weightDecay, start, ...rest } = options;
  checkNumbers('tuneWeightDecay', 'weightDecays', weightDecays, { min: 0 });
  const middle = weightDecays[weightDecays.length >> 1]!;
  const from = start ?? (weightDecays.includes(0.1) ? 0.1 : middle);
  const found = await localSearch(
    ({ weightDecay }) => evaluate(weightDecay),
    { weightDecay: weightDecays },
    { ...rest, start: { weightDecay: from } },
  );
  return { ...found, weightDecay: found.best.point.weightDecay };
}
