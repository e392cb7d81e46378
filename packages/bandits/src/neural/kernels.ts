/**
 * The loops in which a network on the host spends its time. All numbers are float32 in one heap; arguments are offsets in
 * it. There are two forms, these plain ones and those of `simdKernels.ts`, which agree up to rounding.
 */
export interface Kernels {
  /** `y[j] += Σ_i x[i] · W[i·n + j]`, i < m, j < n. */
  addRows(w: number, x: number, m: number, n: number, y: number): void;
  /** `y[i] = Σ_j W[i·n + j] · x[j]`, i < m, j < n. */
  dotRows(w: number, x: number, m: number, n: number, y: number): void;
  /** `W[i·n + j] ← a + keep (W − a) − rate · x[i] · d[j]`. */
  descend(w: number, x: number, m: number, n: number, d: number, step: Descent): void;
  /** `U[i·n + j] += x[i] · d[j]`, `V = 1/U`. */
  raise(u: number, v: number, x: number, m: number, n: number, d: number): void;
  /** Sets numbers below {@link SMALLEST_WEIGHT} to 0, all but a rest of n modulo 4. */
  flush(x: number, n: number): void;
  /** Whether n numbers are finite. */
  isFinite(x: number, n: number): boolean;
}

/** Weights of dead units decay towards subnormal numbers, with which processors are a hundred times slower. */
export const SMALLEST_WEIGHT = 1e-20;

/** A step of descent with a pull. */
export interface Descent {
  readonly rate: number;
  /** Share of W − a that stays. */
  readonly keep: number;
  /** Whether rows with x = 0 are left alone. */
  readonly skip: boolean;
  /** Offset of a; −1 for a = 0. */
  readonly anchor: number;
}

/** The kernels in JavaScript, over `heap`. */
export function plainKernels(heap: Float32Array): Kernels {
  return {
    addRows(w, x, m, n, y) {
      for (let i = 0; i < m; i++) {
        const v = heap[x + i]!;
        if (v === 0) continue;
        const row = w + i * n;
        for (let j = 0; j < n; j++) heap[y + j]! += v * heap[row + j]!;
      }
    },
    dotRows(w, x, m, n, y) {
      for (let i = 0; i < m; i++) {
        let sum = 0;
        const row = w + i * n;
        for (let j = 0; j < n; j++) sum += heap[row + j]! * heap[x + j]!;
        heap[y + i] = sum;
      }
    },
    descend(w, x, m, n, d, { rate, keep, skip, anchor }) {
      for (let i = 0; i < m; i++) {
        const v = rate * heap[x + i]!;
        if (skip && heap[x + i] === 0) continue;
        const row = w + i * n;
        for (let j = 0; j < n; j++) {
          const a = anchor < 0 ? 0 : heap[anchor + i * n + j]!;
          heap[row + j] = a + keep * (heap[row + j]! - a) - v * heap[d + j]!;
        }
      }
    },
    raise(u, v, x, m, n, d) {
      for (let i = 0; i < m; i++) {
        const s = heap[x + i]!;
        if (s === 0) continue;
        for (let j = 0, k = i * n; j < n; j++, k++) {
          heap[u + k]! += s * heap[d + j]!;
          heap[v + k] = 1 / heap[u + k]!;
        }
      }
    },
    flush(x, n) {
      for (let i = x; i < x + (n & -4); i++) {
        if (Math.abs(heap[i]!) < SMALLEST_WEIGHT) heap[i] = 0;
      }
    },
    isFinite(x, n) {
      for (let i = x; i < x + n; i++) if (!Number.isFinite(heap[i])) return false;
      return true;
    },
  };
}
