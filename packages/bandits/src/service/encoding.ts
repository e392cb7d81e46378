/**
 * From a context and actions to the rows of numbers that policies learn from: by place, the context's features and the
 * action's side by side; or hashed, for features by name, of which there may be any number.
 */
import { checkBoolean, checkInteger, checkOneOf } from '@orth/backend';
import {
  type ActionInput,
  checkFeatures,
  type Features,
  featuresOf,
  isVector,
} from './features.js';

/** How features become rows. */
export interface EncodingOptions {
  /**
   * `'dense'`: rows are `[context, action]`. `'hashed'`: every feature, by name or by place, is added with a sign of its
   * own to one of the policy's `dim` buckets (Weinberger et al. 2009); names need no list beforehand, and collisions
   * only add noise. Default `'dense'`
   */
  readonly encoding?: 'dense' | 'hashed';
  /**
   * Adds the products of every context feature with every action feature, without which a model that is shared by all
   * actions cannot let the context change their order. Dense rows are `[context, action, products]` then, the products
   * row-major with one row a context feature. Only for policies without `actionCount`. Default false
   */
  readonly interactions?: boolean;
  /** Of the hash. Default 0 */
  readonly hashSeed?: number;
}

/** Names of {@link EncodingOptions}. */
export const ENCODING_OPTIONS = ['encoding', 'interactions', 'hashSeed'] as const;

/** Rows of a round, and how many actions it has. */
export interface EncodedRound {
  /** `[K, dim]`, or `[dim]` for a policy with `actionCount`. */
  readonly rows: Float64Array;
  readonly count: number;
  /** Features that a dense context has beside those of the action; undefined where it does not matter. */
  readonly contextLength?: number;
}

/** MurmurHash3's last step (Appleby). */
function avalanche(h: number): number {
  let k = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  k = Math.imul(k ^ (k >>> 13), 0xc2b2ae35);
  return k ^ (k >>> 16);
}

/** FNV-1a over the two bytes of each UTF-16 unit. */
function hashText(text: string, seed: number): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    h = Math.imul(h ^ (unit & 255), 0x01000193);
    h = Math.imul(h ^ (unit >>> 8), 0x01000193);
  }
  return avalanche(h);
}

/** A feature by its hash. */
type Hashed = readonly [hash: number, value: number];

/** Turns contexts and actions into rows of `dim` numbers. */
export class Encoding {
  private readonly hashed: boolean;
  private readonly interactions: boolean;
  private readonly seed: number;

  constructor(
    caller: string,
    private readonly dim: number,
    private readonly actionCount: number | undefined,
    options: EncodingOptions,
  ) {
    const { encoding = 'dense', interactions = false, hashSeed = 0 } = options;
    checkOneOf(caller, 'encoding', encoding, ['dense', 'hashed']);
    checkBoolean(caller, 'interactions', interactions);
    checkInteger(caller, 'hashSeed', hashSeed);
    if (interactions && actionCount !== undefined) {
      throw new RangeError(
        `${caller}: interactions must be false for a policy with actionCount, got true`,
      );
    }
    this.hashed = encoding === 'hashed';
    this.interactions = interactions;
    this.seed = hashSeed;
  }

  /** The options, defaults filled in. */
  get options(): Required<EncodingOptions> {
    const encoding = this.hashed ? 'hashed' : 'dense';
    return { encoding, interactions: this.interactions, hashSeed: this.seed };
  }

  /**
   * Checks and encodes a round.
   *
   * @param contextLength - features that dense contexts have had so far; undefined before the first
   * @throws TypeError or RangeError that names the argument
   */
  encode(
    caller: string,
    context: Features | undefined,
    actions: readonly ActionInput[] | undefined,
    contextLength: number | undefined,
  ): EncodedRound {
    const { actionCount } = this;
    if (actions !== undefined && !Array.isArray(actions)) {
      throw new TypeError(`${caller}: actions must be an array, got ${typeof actions}`);
    }
    const count = actions?.length ?? actionCount ?? 0;
    if (count === 0) throw new RangeError(`${caller}: actions must hold an action, got none`);
    if (actionCount !== undefined && count !== actionCount) {
      throw new RangeError(`${caller}: actions must be ${actionCount}, got ${count}`);
    }
    if (context !== undefined) checkFeatures(caller, 'context', context);
    if (actionCount !== undefined) return { rows: this.shared(caller, context), count };
    const parts = actions!.map((action, k) => {
      const features = featuresOf(action);
      if (features === undefined) {
        if (this.hashed) return { action: String(action) };
        throw new TypeError(`${caller}: actions[${k}] must have features, got ${String(action)}`);
      }
      checkFeatures(caller, `actions[${k}]`, features);
      return features;
    });
    const rows = new Float64Array(count * this.dim);
    if (this.hashed) {
      this.fillHashed(rows, context, parts);
      return { rows, count };
    }
    const shared = context === undefined ? [] : this.vector(caller, 'context', context);
    if (contextLength !== undefined && shared.length !== contextLength) {
      throw new RangeError(
        `${caller}: context must have length ${contextLength} as before, got ${shared.length}`,
      );
    }
    this.fillDense(caller, rows, shared, parts);
    return { rows, count, contextLength: shared.length };
  }

  /** The context alone, for policies that know their actions. */
  private shared(caller: string, context: Features | undefined): Float64Array {
    if (context === undefined) {
      throw new TypeError(`${caller}: context must be given to a policy with actionCount`);
    }
    const row = new Float64Array(this.dim);
    if (this.hashed) {
      this.scatter(row, 0, this.hash(context, 'c'));
      return row;
    }
    const vector = this.vector(caller, 'context', context);
    if (vector.length !== this.dim) {
      throw new RangeError(`${caller}: context must have length ${this.dim}, got ${vector.length}`);
    }
    for (let i = 0; i < row.length; i++) row[i] = vector[i]! + 0;
    return row;
  }

  private vector(caller: string, argument: string, features: Features): ArrayLike<number> {
    if (isVector(features)) return features;
    throw new TypeError(
      `${caller}: ${argument} must be an array of numbers; features by name need encoding 'hashed'`,
    );
  }

  private fillDense(
    caller: string,
    rows: Float64Array,
    shared: ArrayLike<number>,
    actions: readonly Features[],
  ): void {
    const { dim, interactions } = this;
    const C = shared.length;
    for (const [k, features] of actions.entries()) {
      const own = this.vector(caller, `actions[${k}]`, features);
      const A = own.length;
      const length = interactions ? C + A + C * A : C + A;
      if (length !== dim) {
        const sum = interactions ? `${C} + ${A} + ${C}·${A}` : `${C} + ${A}`;
        throw new RangeError(
          `${caller}: context and actions[${k}] must have ${dim} features together, got ${sum}`,
        );
      }
      // Adding 0 makes 0 of −0, which JSON would lose.
      let at = k * dim;
      for (let i = 0; i < C; i++) rows[at++] = shared[i]! + 0;
      for (let j = 0; j < A; j++) rows[at++] = own[j]! + 0;
      if (!interactions) continue;
      for (let i = 0; i < C; i++) {
        for (let j = 0; j < A; j++) rows[at++] = shared[i]! * own[j]! + 0;
      }
    }
  }

  private hash(features: Features, side: string): Hashed[] {
    const hashes: Hashed[] = [];
    const take = (name: string, value: number) => {
      if (value !== 0) hashes.push([hashText(side + name, this.seed), value]);
    };
    if (isVector(features)) {
      for (let i = 0; i < features.length; i++) take(String(i), features[i]!);
    } else {
      for (const [name, value] of Object.entries(features)) {
        if (typeof value === 'string') take(`${name}=${value}`, 1);
        else take(name, Number(value));
      }
    }
    return hashes;
  }

  /** The low bits choose the bucket, the highest the sign. */
  private scatter(rows: Float64Array, start: number, hashes: readonly Hashed[]): void {
    for (const [hash, value] of hashes) {
      rows[start + ((hash & 0x7fffffff) % this.dim)]! += hash < 0 ? -value : value;
    }
  }

  private fillHashed(
    rows: Float64Array,
    context: Features | undefined,
    actions: readonly Features[],
  ): void {
    const shared = context === undefined ? [] : this.hash(context, 'c');
    for (const [k, features] of actions.entries()) {
      const own = this.hash(features, 'a');
      const start = k * this.dim;
      this.scatter(rows, start, shared);
      this.scatter(rows, start, own);
      if (!this.interactions) continue;
      for (const [a, x] of shared) {
        const crossed = own.map(
          ([b, y]): Hashed => [avalanche(Math.imul(a, 0x9e3779b1) ^ b), x * y],
        );
        this.scatter(rows, start, crossed);
      }
    }
  }
}
