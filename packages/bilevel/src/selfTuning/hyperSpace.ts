import { checkBoolean, checkNumber, checkOneOf, checkOptions, type Random } from '@orth/backend';
import { freeValue, hyperValue, inverseSoftplus, type Range } from './transforms.js';

/** One hyperparameter of a {@link hyperSpace}. */
export interface Hyperparameter {
  /** [low, high] with low < high; either may be infinite. */
  readonly range: Range;
  /** Value to start from, inside the range. */
  readonly init: number;
  /** Standard deviation σ > 0 of the perturbation, in free units. Default 0.5 */
  readonly scale?: number;
  /**
   * Whether the value is floored to an integer where it is used; the upper end is then not reached, and an integer `init`
   * begins in the middle of its bin. Default false
   */
  readonly discrete?: boolean;
  /** Whether all examples of a batch share one draw of the noise. Default false */
  readonly sharedInBatch?: boolean;
  /** Where random search draws from. Default `range`, which must then be finite */
  readonly search?: readonly [number, number];
  /** Whether random search draws uniformly or log-uniformly. Default `'linear'` */
  readonly searchScale?: 'linear' | 'log';
}

/** Hyperparameters by name, in a fixed order. Made by {@link hyperSpace}; immutable. */
export interface HyperSpace {
  readonly names: readonly string[];
  /** Number of hyperparameters, H. */
  readonly size: number;
  readonly entries: readonly Required<Hyperparameter>[];
  /** Free numbers of the initial values. */
  initialFree(): Float32Array;
  /** Raw scales: softplus of them is σ. */
  initialScales(): Float32Array;
  /** Values by name of free numbers; discrete ones floored. */
  valuesOf(free: ArrayLike<number>): Record<string, number>;
  /** Position of a name. @throws RangeError if there is none */
  indexOf(name: string): number;
  /** The same space with other initial values. @throws RangeError for unknown names or values outside their ranges */
  withInit(values: Readonly<Record<string, number>>): HyperSpace;
  /** Random values for a search. */
  sample(random: Random): Record<string, number>;
}

const ENTRY_OPTIONS = [
  ...['range', 'init', 'scale', 'discrete', 'sharedInBatch', 'search', 'searchScale'],
] as const;

function parse(name: string, entry: Hyperparameter): Required<Hyperparameter> {
  const caller = `hyperSpace: ${name}`;
  checkOptions(caller, entry, ENTRY_OPTIONS);
  const { range, init, scale = 0.5, discrete = false, sharedInBatch = false } = entry;
  const isPair = (x: unknown): x is Range =>
    Array.isArray(x) && x.length === 2 && x.every((end) => typeof end === 'number');
  if (!isPair(range) || !(range[0] < range[1])) {
    throw new RangeError(`${caller}: range must be [low, high] with low < high, got [${range}]`);
  }
  checkNumber(caller, 'init', init);
  const [low, high] = range;
  // An end itself is allowed in a finite range only: without one its free number would be infinite.
  const closed = Number.isFinite(low) && Number.isFinite(high);
  if (closed ? init < low || init > high : init <= low || init >= high) {
    throw new RangeError(`${caller}: init must lie in the range [${low}, ${high}], got ${init}`);
  }
  checkNumber(caller, 'scale', scale, { above: 0 });
  checkBoolean(caller, 'discrete', discrete);
  checkBoolean(caller, 'sharedInBatch', sharedInBatch);
  const { search = range, searchScale = 'linear' } = entry;
  checkOneOf(caller, 'searchScale', searchScale, ['linear', 'log']);
  if (!isPair(search) || !(search[0] < search[1]) || search[0] < low || search[1] > high) {
    throw new RangeError(`${caller}: search must be a part of the range, got [${search}]`);
  }
  if (searchScale === 'log' && !(search[0] > 0)) {
    throw new RangeError(
      `${caller}: search must be positive for searchScale 'log', got [${search}]`,
    );
  }
  return { range, init, scale, discrete, sharedInBatch, search, searchScale };
}

/**
 * The hyperparameters that are tuned.
 *
 * @throws TypeError or RangeError if there is none, low ≥ high, an initial value lies outside its range, or a scale is ≤ 0
 * @example
 * const space = hyperSpace({
 *   dropout: { range: [0, 0.9], init: 0.05 },
 *   l2: { range: [0, Infinity], init: 1e-4, sharedInBatch: true, search: [1e-6, 1e-1], searchScale: 'log' },
 *   holes: { range: [0, 4], init: 1, discrete: true },
 * });
 */
export function hyperSpace(entries: Readonly<Record<string, Hyperparameter>>): HyperSpace {
  const caller = 'hyperSpace';
  if (typeof entries !== 'object' || entries === null || Object.keys(entries).length === 0) {
    throw new TypeError(`${caller}: entries must name at least one hyperparameter`);
  }
  const names = Object.keys(entries);
  const parsed = names.map((name) => parse(name, entries[name]!));
  const indexOf = (name: string) => {
    const index = names.indexOf(name);
    if (index >= 0) return index;
    throw new RangeError(
      `hyperSpace: unknown hyperparameter "${name}"; known are ${names.join(', ')}`,
    );
  };
  return {
    names,
    size: names.length,
    entries: parsed,
    indexOf,
    initialFree: () =>
      Float32Array.from(parsed, ({ init, range, discrete }) => {
        // An integer on the edge of its bin would be floored to the one below by rounding: its middle stands for it.
        const inBin = discrete && Number.isInteger(init) ? Math.min(init + 0.5, range[1]) : init;
        return freeValue(inBin, range);
      }),
    initialScales: () => Float32Array.from(parsed, ({ scale }) => inverseSoftplus(scale)),
    valuesOf: (free) =>
      Object.fromEntries(
        parsed.map(({ range, discrete }, i) => {
          const value = hyperValue(free[i]!, range);
          return [names[i]!, discrete ? Math.floor(value) : value];
        }),
      ),
    withInit(values) {
      for (const name of Object.keys(values)) indexOf(name);
      return hyperSpace(
        Object.fromEntries(
          names.map((name, i) => [name, { ...parsed[i]!, init: values[name] ?? parsed[i]!.init }]),
        ),
      );
    },
    sample(random) {
      return Object.fromEntries(
        parsed.map(({ search, searchScale, discrete }, i) => {
          const [low, high] = search;
          if (!Number.isFinite(low) || !Number.isFinite(high)) {
            throw new RangeError(
              `hyperSpace: ${names[i]}: search must be finite to draw from it, got [${search}]`,
            );
          }
          const u = random.uniform();
          const value = searchScale === 'log' ? low * (high / low) ** u : low + (high - low) * u;
          return [names[i]!, discrete ? Math.floor(value) : value];
        }),
      );
    },
  };
}
