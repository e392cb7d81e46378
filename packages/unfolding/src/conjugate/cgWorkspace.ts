import type { CheckedOperator } from './operator.js';
import { addScaled, dot, norm } from './vectors.js';

/** The vectors of conjugate gradients and the passes over them. */
export interface CgWorkspace {
  readonly x: Float64Array;
  readonly r: Float64Array;
  readonly p: Float64Array;
  readonly Ap: Float64Array;
  /** r = b − A x; gives its norm. */
  trueResidual(): number;
  /** p = z + β p */
  turn(z: Float64Array, beta: number): void;
  /** Ap = A p; gives pᵀAp. */
  multiplyDirection(): number;
  /** x += α p, r −= α Ap; gives ‖r‖. */
  advance(alpha: number): number;
}

/** Vectors for a system, in plain loops. */
export function cgWorkspace({ n, multiply }: CheckedOperator, b: Float64Array): CgWorkspace {
  const [x, r, p, Ap] = [0, 0, 0, 0].map(() => new Float64Array(n)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  return {
    x,
    r,
    p,
    Ap,
    trueResidual() {
      multiply(x, r);
      for (let i = 0; i < n; i++) r[i] = b[i]! - r[i]!;
      return norm(r);
    },
    turn(z, beta) {
      for (let i = 0; i < n; i++) p[i] = z[i]! + beta * p[i]!;
    },
    multiplyDirection() {
      multiply(p, Ap);
      return dot(p, Ap);
    },
    advance(alpha) {
      addScaled(x, alpha, p);
      addScaled(r, -alpha, Ap);
      return norm(r);
    },
  };
}
