/**
 * Sums of `softplus(t − s)` and of its derivative over all pairs of many t and s, without looking at pairs: O(n) for n
 * numbers. Derived here, after the one-dimensional fast multipole method (Greengard and Rokhlin 1987).
 *
 * Numbers go into cells of width 1, each of which keeps its Chebyshev moments `Σ T_k(2u)`, u ∈ [−½, ½] the place in the
 * cell. For cells up to NEAR apart softplus is a polynomial in both places to ρ^−DEGREE with `ρ = 2π + √(4π² + 1) ≈ 12.6`,
 * since its nearest poles are at distance π. Further apart it is `t − s` or `e^(t − s)` to e^−NEAR, and the sums of these
 * follow from the moments too. So the relative error is below 1e−9, also of sums that are tiny.
 */

import { sigmoid, softplus } from './sphericalLoss.js';

/** Cells up to this far apart interact through polynomials. */
const NEAR = 24;
/** Terms of these polynomials. */
export const DEGREE = 10;

/** Numbers summed up cell by cell. */
export interface CellTable {
  /** Floor of each cell's numbers, rising, no two equal. */
  readonly index: Float64Array;
  /** `[cells, DEGREE]`: sums of `T_k(2u)` */
  readonly moments: Float64Array;
  /** Position of the cell of a number with this floor; there must be one. */
  find(index: number): number;
}

/** Calls back for each of many finite numbers, the same ones in the same order each time. */
export type NumberSource = (visit: (x: number) => void) => void;

/** Over ranges of up to this many cells a number's cell is found through an array (8 MB), beyond through a hash table. */
const DENSE = 2 ** 21;

/** Cells of a source, which is gone through three times; O(1) for each number. */
export function tabulate(source: NumberSource): CellTable {
  let [lowest, highest] = [Infinity, -Infinity];
  source((x) => {
    if (x < lowest) lowest = x;
    if (x > highest) highest = x;
  });
  const base = Math.floor(lowest);
  const range = Math.max(0, Math.floor(highest) - base + 1);
  return range <= DENSE ? tabulateDense(source, base, range) : tabulateSparse(source);
}

function tabulateDense(source: NumberSource, base: number, range: number): CellTable {
  const slots = new Int32Array(range);
  source((x) => {
    slots[Math.floor(x) - base] = 1;
  });
  let cells = 0;
  for (let i = 0; i < range; i++) if (slots[i] === 1) slots[i] = cells++;
  const index = new Float64Array(cells);
  const moments = new Float64Array(cells * DEGREE);
  source((x) => {
    const i = Math.floor(x);
    const slot = slots[i - base]!;
    index[slot] = i;
    addMoments(x, i, moments, slot * DEGREE);
  });
  return { index, moments, find: (i) => slots[i - base]! };
}

function tabulateSparse(source: NumberSource): CellTable {
  const seen = new Set<number>();
  source((x) => {
    seen.add(Math.floor(x));
  });
  const index = Float64Array.from(seen).sort();
  const slots = new Map<number, number>();
  for (let slot = 0; slot < index.length; slot++) slots.set(index[slot]!, slot);
  const moments = new Float64Array(index.length * DEGREE);
  source((x) => addMoments(x, Math.floor(x), moments, slots.get(Math.floor(x))! * DEGREE));
  return { index, moments, find: (i) => slots.get(i)! };
}

function addMoments(x: number, index: number, moments: Float64Array, at: number): void {
  const z = 2 * (x - index) - 1;
  let previous = 1;
  let now = z;
  moments[at] = moments[at]! + 1;
  for (let k = 1; k < DEGREE; k++) {
    moments[at + k] = moments[at + k]! + now;
    const next = 2 * z * now - previous;
    previous = now;
    now = next;
  }
}

/** A polynomial for each cell of a table, `[cells, DEGREE]`: coefficients of `T_k(2u)`. */
export type CellPolynomials = Float64Array;

/** Its value at a number of the cell that lies at `position` in the table and has this index (Clenshaw). */
export function evaluate(
  polynomials: CellPolynomials,
  position: number,
  index: number,
  x: number,
): number {
  const z = 2 * (x - index) - 1;
  const at = position * DEGREE;
  let after = 0;
  let now = 0;
  for (let k = DEGREE - 1; k > 0; k--) {
    const before = polynomials[at + k]! + 2 * z * now - after;
    after = now;
    now = before;
  }
  return polynomials[at]! + z * now - after;
}

const ANGLES = Array.from({ length: DEGREE }, (_, j) => ((2 * j + 1) * Math.PI) / (2 * DEGREE));
const COSINES = Array.from({ length: DEGREE }, (_, k) =>
  ANGLES.map((angle) => Math.cos(k * angle)),
);

/** Coefficients of `T_k(2u)` for a function of u ∈ [−½, ½]. */
function expand(f: (u: number) => number): Float64Array {
  return expandSamples(ANGLES.map((angle) => f(Math.cos(angle) / 2)));
}

/** Coefficients of `T_k(2u) T_l(2v)` at `k · DEGREE + l` for `f(distance + u − v)`. */
function expandBoth(f: (x: number) => number, distance: number): Float64Array {
  const rows = ANGLES.map((angle) => expand((v) => f(distance + Math.cos(angle) / 2 - v)));
  const out = new Float64Array(DEGREE * DEGREE);
  for (let l = 0; l < DEGREE; l++) {
    const column = expandSamples(rows.map((row) => row[l]!));
    for (let k = 0; k < DEGREE; k++) out[k * DEGREE + l] = column[k]!;
  }
  return out;
}

const expandSamples = (samples: readonly number[]): Float64Array =>
  Float64Array.from(COSINES, (row, k) => {
    const sum = row.reduce((total, cosine, j) => total + cosine * samples[j]!, 0);
    return (sum * (k === 0 ? 1 : 2)) / DEGREE;
  });

/** Both functions between cells, by the distance of t's cell from s's, and e^u and e^−u within one. */
interface Tables {
  readonly softplus: readonly Float64Array[];
  readonly logistic: readonly Float64Array[];
  readonly rising: Float64Array;
  readonly falling: Float64Array;
}

let tables: Tables | undefined;

function getTables(): Tables {
  const distances = Array.from({ length: 2 * NEAR + 1 }, (_, i) => i - NEAR);
  tables ??= {
    softplus: distances.map((distance) => expandBoth(softplus, distance)),
    logistic: distances.map((distance) => expandBoth(sigmoid, distance)),
    rising: expand(Math.exp),
    falling: expand((u) => Math.exp(-u)),
  };
  return tables;
}

const dot = (a: Float64Array, b: Float64Array, at: number): number => {
  let sum = 0;
  for (let k = 0; k < DEGREE; k++) sum += a[k]! * b[at + k]!;
  return sum;
};

/**
 * Goes through the cells of `s` from the lowest, with the cells of `t` that lie near, and sums over those that lie
 * further to the left and to the right.
 */
function sweep(
  t: CellTable,
  s: CellTable,
  visit: (i: number, near: readonly [number, number], left: number, right: Beyond) => void,
): void {
  const { rising } = getTables();
  const cells = t.index.length;
  // Counts and sums of all cells from each on, the sums less the first index for the sake of digits.
  const base = t.index[0] ?? 0;
  const counts = new Float64Array(cells + 1);
  const sums = new Float64Array(cells + 1);
  for (let j = cells - 1; j >= 0; j--) {
    const count = t.moments[j * DEGREE]!;
    counts[j] = counts[j + 1]! + count;
    const within = t.moments[j * DEGREE + 1]! / 2;
    sums[j] = sums[j + 1]! + count * (t.index[j]! - base + 0.5) + within;
  }
  let from = 0;
  let to = 0;
  let left = 0;
  for (let i = 0; i < s.index.length; i++) {
    const here = s.index[i]!;
    if (i > 0) left *= Math.exp(s.index[i - 1]! - here);
    while (from < cells && t.index[from]! < here - NEAR) {
      left += Math.exp(t.index[from]! - here) * dot(rising, t.moments, from * DEGREE);
      from++;
    }
    to = Math.max(to, from);
    while (to < cells && t.index[to]! <= here + NEAR) to++;
    visit(i, [from, to], left, { count: counts[to]!, sum: sums[to]!, base });
  }
}

/** Numbers beyond a cell's neighbourhood: how many, and the sum of what they exceed `base` by. */
interface Beyond {
  readonly count: number;
  readonly sum: number;
  readonly base: number;
}

/** `Σ_t Σ_s softplus(t − s)`. */
export function sumSoftplus(t: CellTable, s: CellTable): number {
  const { softplus: kernel, falling } = getTables();
  let total = 0;
  sweep(t, s, (i, [from, to], left, right) => {
    const at = i * DEGREE;
    for (let j = from; j < to; j++) {
      const table = kernel[t.index[j]! - s.index[i]! + NEAR]!;
      for (let k = 0; k < DEGREE; k++) {
        let sum = 0;
        for (let l = 0; l < DEGREE; l++) sum += table[k * DEGREE + l]! * s.moments[at + l]!;
        total += sum * t.moments[j * DEGREE + k]!;
      }
    }
    total += left * dot(falling, s.moments, at);
    const count = s.moments[at]!;
    const sum = count * (s.index[i]! - right.base + 0.5) + s.moments[at + 1]! / 2;
    total += right.sum * count - right.count * sum;
  });
  return total;
}

/** `Σ_t σ(t − s)` as a function of s, in the cells of s. */
export function slopesAtS(t: CellTable, s: CellTable): CellPolynomials {
  const { logistic: kernel, falling } = getTables();
  const out = new Float64Array(s.index.length * DEGREE);
  sweep(t, s, (i, [from, to], left, right) => {
    const at = i * DEGREE;
    for (let j = from; j < to; j++) {
      const table = kernel[t.index[j]! - s.index[i]! + NEAR]!;
      for (let k = 0; k < DEGREE; k++) {
        const moment = t.moments[j * DEGREE + k]!;
        for (let l = 0; l < DEGREE; l++) {
          out[at + l] = out[at + l]! + table[k * DEGREE + l]! * moment;
        }
      }
    }
    for (let l = 0; l < DEGREE; l++) out[at + l] = out[at + l]! + left * falling[l]!;
    out[at] = out[at]! + right.count;
  });
  return out;
}

/** `Σ_s σ(t − s)` as a function of t, in the cells of t. */
export function slopesAtT(t: CellTable, s: CellTable): CellPolynomials {
  // t − s = (−s) − (−t): the same with both mirrored, which turns odd moments and coefficients round.
  const out = slopesAtS(mirror(s), mirror(t));
  const cells = t.index.length;
  const back = new Float64Array(out.length);
  for (let j = 0; j < cells; j++) {
    for (let k = 0; k < DEGREE; k++) {
      back[j * DEGREE + k] = (k % 2 === 0 ? 1 : -1) * out[(cells - 1 - j) * DEGREE + k]!;
    }
  }
  return back;
}

/** Cells of the numbers' negatives; cell [i, i + 1) becomes [−i − 1, −i). */
function mirror({ index, moments }: CellTable): CellTable {
  const cells = index.length;
  const mirrored = new Float64Array(moments.length);
  for (let j = 0; j < cells; j++) {
    for (let k = 0; k < DEGREE; k++) {
      mirrored[j * DEGREE + k] = (k % 2 === 0 ? 1 : -1) * moments[(cells - 1 - j) * DEGREE + k]!;
    }
  }
  return {
    index: Float64Array.from({ length: cells }, (_, j) => -index[cells - 1 - j]! - 1),
    moments: mirrored,
    find: () => -1,
  };
}
