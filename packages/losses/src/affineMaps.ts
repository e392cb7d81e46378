import { addRowTimes, multiply } from './hostProduct.js';

/** A map of rows, `v ← v T + t`. */
export interface AffineMap {
  /** `[d, d]` */
  readonly matrix: Float64Array;
  /** `[d]` */
  readonly offset: Float64Array;
}

function compose(d: number, first: AffineMap, second: AffineMap): AffineMap {
  const matrix = new Float64Array(d * d);
  multiply(d, d, d, { data: first.matrix }, { data: second.matrix }, matrix);
  const offset = Float64Array.from(second.offset);
  addRowTimes(d, d, first.offset, 0, second.matrix, offset, 0);
  return { matrix, offset };
}

/**
 * Maps of rows that were closed one after the other, numbered from 0. A row that was last written when `age` of them were
 * closed is brought up to date by those that followed: through compositions of 2, 4, 8, … neighbours, so that it takes
 * O(log n · d²) for n maps, and closing a map O(d³) on average.
 */
export class AffineMaps {
  /** `levels[l][i]` composes the maps i·2ˡ … (i + 1)·2ˡ − 1. */
  private levels: AffineMap[][] = [[]];

  constructor(private readonly d: number) {}

  /** Number of closed maps. */
  get count(): number {
    return this.levels[0]!.length;
  }

  /** Those that were closed, in order. */
  get closed(): readonly AffineMap[] {
    return this.levels[0]!;
  }

  /** Adds the next map, which is kept, not copied. */
  close(map: AffineMap): void {
    this.levels[0]!.push(map);
    for (let level = 1; this.count % 2 ** level === 0; level++) {
      this.levels[level] ??= [];
      const below = this.levels[level - 1]!;
      this.levels[level]!.push(compose(this.d, below.at(-2)!, below.at(-1)!));
    }
  }

  /** Forgets all maps: every row is up to date. */
  clear(): void {
    this.levels = [[]];
  }

  /**
   * Brings a row up to date.
   * @param age - maps that were closed when the row was written
   * @param row - `[d]`, overwritten
   * @param scratch - `[d]`
   */
  apply(age: number, row: Float64Array, scratch: Float64Array): void {
    const { d } = this;
    for (let at = age; at < this.count; ) {
      let level = 0;
      while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= this.count) level++;
      const { matrix, offset } = this.levels[level]![at / 2 ** level]!;
      scratch.set(offset);
      addRowTimes(d, d, row, 0, matrix, scratch, 0);
      row.set(scratch);
      at += 2 ** level;
    }
  }

  /** For every age 0 … count − 1 in turn, from the youngest: the one map that brings its rows up to date. */
  *cumulative(): Generator<{ age: number; map: AffineMap }> {
    let map: AffineMap | undefined;
    for (let age = this.count - 1; age >= 0; age--) {
      map = map ? compose(this.d, this.closed[age]!, map) : this.closed[age]!;
      yield { age, map };
    }
  }
}
