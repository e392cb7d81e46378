import { type AffineMap, AffineMaps } from './affineMaps.js';
import { multiply, setIdentity, sumOfSquares } from './hostProduct.js';

/** The d × d part of {@link FactoredWeights}, float64. */
export interface SmallFactors {
  /** U, `[d, d]` */
  readonly U: Float64Array;
  /** U⁻ᵀ, `[d, d]` */
  readonly inverse: Float64Array;
  /** ω, `[d]` */
  readonly omega: Float64Array;
  /** Q = WᵀW, `[d, d]` */
  readonly Q: Float64Array;
  /** w̄ = Wᵀ1, `[d]` */
  readonly columnSums: Float64Array;
}

const smallFactors = (d: number): SmallFactors => ({
  U: new Float64Array(d * d),
  inverse: new Float64Array(d * d),
  omega: new Float64Array(d),
  Q: new Float64Array(d * d),
  columnSums: new Float64Array(d),
});

/** Whether U and its inverse are within `limit` of the identity, in condition and in scale. */
export function isNear(d: number, { U, inverse }: SmallFactors, limit: number): boolean {
  const scale = Math.sqrt(sumOfSquares(U) / d);
  const inverseScale = Math.sqrt(sumOfSquares(inverse) / d);
  // Written so that NaN is not near.
  return Math.max(scale, inverseScale, scale * inverseScale) <= limit;
}

/** Rows of V that are worked on together: their float64 copies stay in cache. */
const BLOCK = 128;
const LEAST_MAPS = 16;

/**
 * A matrix W `[D, d]` as `W = V U + 1ωᵀ`, with V `[D, d]` in float32 and everything d × d in float64.
 *
 * Renormalising multiplies U and ω into V, which would cost O(D d²). Here it is put off: U becomes a map that rows
 * written before it still have to pass ({@link AffineMaps}), each row keeps how many it has passed, and passes the others
 * when it is next read. So a renormalisation costs O(d³), and all D rows are visited only when the maps would take as
 * much memory as V: once in D / 4d renormalisations.
 */
export class FactoredWeights {
  readonly V: Float32Array;
  /** How many maps each row has passed. */
  readonly ages: Int32Array;
  readonly maps: AffineMaps;
  /** The factors in force. */
  current: SmallFactors;
  /** Written by a step, then exchanged with `current`. */
  next: SmallFactors;
  /** Renormalisations so far. */
  renormalizations = 0;
  private readonly row: Float64Array;
  private readonly scratch: Float64Array;

  constructor(
    readonly D: number,
    readonly d: number,
    V?: Float32Array,
  ) {
    this.V = V ?? new Float32Array(D * d);
    this.ages = new Int32Array(D);
    this.maps = new AffineMaps(d);
    this.current = smallFactors(d);
    this.next = smallFactors(d);
    this.row = new Float64Array(d);
    this.scratch = new Float64Array(d);
    setIdentity(d, this.current.U);
    setIdentity(d, this.current.inverse);
  }

  /** Recomputes Q and w̄ from V, which must be W: O(D d²), float64. */
  summarize(): void {
    const { D, d, V } = this;
    const { Q, columnSums } = this.current;
    Q.fill(0);
    columnSums.fill(0);
    const block = new Float64Array(BLOCK * d);
    for (let start = 0; start < D; start += BLOCK) {
      const rows = Math.min(BLOCK, D - start);
      for (let r = 0; r < rows; r++) {
        const at = (start + r) * d;
        for (let j = 0; j < d; j++) {
          const value = V[at + j]!;
          block[r * d + j] = value;
          columnSums[j] = columnSums[j]! + value;
        }
      }
      multiply(d, d, rows, { data: block, transposed: true }, { data: block }, Q, 1);
    }
  }

  /** Row c of V, having passed all maps: W's row is this times U plus ω. Written to `out` at `at`. */
  readRow(c: number, out: Float64Array, at: number): void {
    const { d, V, row } = this;
    const start = c * d;
    for (let j = 0; j < d; j++) row[j] = V[start + j]!;
    this.maps.apply(this.ages[c]!, row, this.scratch);
    out.set(row, at);
  }

  /** Replaces row c of V by one that has passed all maps. */
  writeRow(c: number, from: Float64Array, at: number): void {
    const start = c * this.d;
    for (let j = 0; j < this.d; j++) this.V[start + j] = from[at + j]!;
    this.ages[c] = this.maps.count;
  }

  /** Puts the factors that a step has written into force. */
  exchange(): void {
    [this.current, this.next] = [this.next, this.current];
  }

  /** `‖U‖ ‖U⁻¹‖ / d` (Frobenius): 1 for U = I, and grows as rows of V lose digits. */
  get condition(): number {
    const { U, inverse } = this.current;
    return Math.sqrt(sumOfSquares(U)) * (Math.sqrt(sumOfSquares(inverse)) / this.d);
  }

  /** Starts with U = I and ω = 0 again, W unchanged. O(d³), see the class. */
  renormalize(): void {
    const { d } = this;
    const { U, inverse, omega } = this.current;
    this.maps.close({ matrix: Float64Array.from(U), offset: Float64Array.from(omega) });
    setIdentity(d, U);
    setIdentity(d, inverse);
    omega.fill(0);
    this.renormalizations++;
    if (this.maps.count >= Math.max(LEAST_MAPS, this.D / (4 * d))) this.passAll();
  }

  /** Brings every row of V through all maps, and forgets them: O(D d²). */
  passAll(): void {
    const { D, d, V, ages, maps } = this;
    const count = maps.count;
    if (count === 0) return;
    // Rows by age, so that each map is composed once.
    const ends = new Int32Array(count + 1);
    for (let c = 0; c < D; c++) ends[ages[c]!] = ends[ages[c]!]! + 1;
    for (let age = 1; age <= count; age++) ends[age] = ends[age]! + ends[age - 1]!;
    const order = new Int32Array(D);
    const fill = Int32Array.from(ends);
    for (let c = D - 1; c >= 0; c--) {
      const age = ages[c]!;
      fill[age] = fill[age]! - 1;
      order[fill[age]!] = c;
    }
    const before = new Float64Array(BLOCK * d);
    const after = new Float64Array(BLOCK * d);
    for (const { age, map } of maps.cumulative()) {
      for (let start = age > 0 ? ends[age - 1]! : 0; start < ends[age]!; start += BLOCK) {
        const rows = Math.min(BLOCK, ends[age]! - start);
        for (let r = 0; r < rows; r++) {
          const from = order[start + r]! * d;
          for (let j = 0; j < d; j++) before[r * d + j] = V[from + j]!;
        }
        multiply(rows, d, d, { data: before }, { data: map.matrix }, after);
        for (let r = 0; r < rows; r++) {
          const to = order[start + r]! * d;
          for (let j = 0; j < d; j++) V[to + j] = after[r * d + j]! + map.offset[j]!;
        }
      }
    }
    maps.clear();
    ages.fill(0);
  }

  /** W ← factor × W, factor > 0. */
  scale(factor: number, conditionLimit: number): void {
    const { U, inverse, omega, Q, columnSums } = this.current;
    for (const x of [U, omega, columnSums])
      for (let i = 0; i < x.length; i++) x[i] = x[i]! * factor;
    for (let i = 0; i < inverse.length; i++) inverse[i] = inverse[i]! / factor;
    for (let i = 0; i < Q.length; i++) Q[i] = Q[i]! * factor * factor;
    if (!isNear(this.d, this.current, conditionLimit)) this.renormalize();
  }

  /** An independent copy; of the maps, which never change, only the list is copied. */
  clone(): FactoredWeights {
    const copy = new FactoredWeights(this.D, this.d, this.V.slice());
    copy.ages.set(this.ages);
    for (const map of this.maps.closed) copy.maps.close(map);
    for (const [key, values] of Object.entries(this.current)) {
      copy.current[key as keyof SmallFactors].set(values);
    }
    return copy;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    const { D, d, maps } = this;
    // Composed maps are as many again as the maps themselves.
    return 4 * D * d + 4 * D + 8 * (d * d + d) * (2 * maps.count + 6);
  }

  /** The closed maps followed by the one in force, in order: W's rows are V's through all that they have not passed. */
  allMaps(): AffineMap[] {
    const { U, omega } = this.current;
    return [...this.maps.closed, { matrix: U, offset: omega }];
  }
}
