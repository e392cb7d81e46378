/**
 * The iteration itself, as a fused operation: the place where a backend may put one kernel for the whole chain.
 *
 * `newton-schulz/iterate`
 * - inputs: `[X]` or `[X, gram]`. `X [b, m, n]` float32, already normalised; `gram [b, k, k]` with `k = min(m, n)` is
 *   the Gram matrix of the short side, passed when the normalisation computed it. A kernel may ignore it.
 * - attributes: {@link IterateAttributes}
 * - output: `[b, m, n]`, `U diag(p(σ)) Vᵀ` for `X = U diag(σ) Vᵀ` and `p` the composition of the steps
 *
 * A kernel needs no gradient: it belongs to the operation. `newton-schulz/orthogonalize` encloses this operation and the
 * normalisation; a backend that can do both in one call registers that one.
 */
import { defineFusedOp } from '@orth/backend';
import {
  add,
  eye,
  matMul,
  mul,
  type Tensor,
  tidy,
  transpose,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { countFlops } from './flops.js';
import { shortGram, shortProduct } from './normalize.js';
import type { CoefficientRow } from './schedules.js';

/** Which matrices the iteration runs on; see {@link OrthogonalizeOptions.form}. */
export type Form = 'auto' | 'standard' | 'gram';

/** Attributes of `newton-schulz/iterate`. */
export interface IterateAttributes {
  /** One row `[a, b, c]` or `[a, b]` a step; at least one. */
  readonly coefficients: readonly CoefficientRow[];
  /** `'auto'` leaves the choice to whoever runs the operation; the two forms are equal in exact arithmetic. */
  readonly form: Form;
  /** Steps before which the Gram form computes the Gram matrix afresh, increasing in [1, steps − 1]. */
  readonly restarts: readonly number[];
}

/** `a I` and, for a quintic, `b I`. */
interface Multiples {
  readonly row: CoefficientRow;
  readonly aI: Tensor;
  readonly bI?: Tensor;
}

/** Multiples of the identity of `X`'s short side, made once for equal rows that follow each other. */
function multiplesOf(X: Tensor): (row: CoefficientRow) => Multiples {
  const [m, n] = X.shape.slice(-2) as [number, number];
  const identity = eye(Math.min(m, n));
  let last: Multiples | undefined;
  return (row) => {
    if (last?.row === row) return last;
    last?.aI.dispose();
    last?.bI?.dispose();
    const [a = 0, b = 0, c = 0] = row;
    last = { row, aI: mul(identity, a), ...(c !== 0 && { bI: mul(identity, b) }) };
    return last;
  };
}

/** `a I + b A + c A²` by Horner's rule: all scaling and adding happens on the short side. */
function polynomial(A: Tensor, { row: [, b = 0, c = 0], aI, bI }: Multiples): Tensor {
  return tidy(() => add(bI ? matMul(A, add(mul(A, c), bI)) : mul(A, b), aI));
}

/** `P X` for a wide matrix, `X P` for a tall one: `P` is symmetric and acts on the short side. */
function apply(P: Tensor, X: Tensor): Tensor {
  const [m, n] = X.shape.slice(-2) as [number, number];
  return m > n ? matMul(X, P) : matMul(P, X);
}

/** `X ← (a I + b A + c A²) X` with `A = X Xᵀ`. */
function standardForm(X0: Tensor, gram: Tensor | undefined, { coefficients }: IterateAttributes) {
  const multiples = multiplesOf(X0);
  return coefficients.reduce((X, row, t) => {
    const terms = multiples(row);
    const next = tidy(() => apply(polynomial((t === 0 && gram) || shortGram(X), terms), X));
    if (t > 0) X.dispose();
    return next;
  }, X0);
}

/**
 * The same on the small matrix `R = X Xᵀ`: with `P = a I + b R + c R²` a step is `Q ← P Q`, `R ← P R P`, and
 * `X = Q X₀` once at the end, since all these matrices commute. Rounding in `R` grows with every step; a restart
 * computes `X` and `R` afresh.
 */
function gramForm(
  X0: Tensor,
  gram: Tensor | undefined,
  { coefficients, restarts }: IterateAttributes,
) {
  const bounds = [0, ...restarts, coefficients.length];
  return bounds.slice(1).reduce((X, end, run) => {
    const rows = coefficients.slice(bounds[run], end);
    const next = tidy(() => apply(gramFactor((run === 0 && gram) || shortGram(X), rows), X));
    if (run > 0) X.dispose();
    return next;
  }, X0);
}

/** The product `Q` of all steps' polynomials, from the Gram matrix of the run's start. */
function gramFactor(R0: Tensor, rows: readonly CoefficientRow[]): Tensor {
  const multiples = multiplesOf(R0);
  let R = R0;
  let Q: Tensor | undefined;
  rows.forEach((row, t) => {
    const P = polynomial(R, multiples(row));
    const last = t === rows.length - 1;
    const nextQ = Q ? matMul(P, Q) : P;
    const nextR = last ? R : tidy(() => matMul(P, matMul(R, P)));
    // The tape of a gradient holds clones, so these may go; a tidy alone would keep them to the end.
    if (Q) {
      Q.dispose();
      P.dispose();
    }
    if (t > 0 && !last) R.dispose();
    [Q, R] = [nextQ, nextR];
  });
  return Q!;
}

/** The form with fewer operations, for kernels that gain nothing from symmetry. */
function cheaperForm(
  X: Tensor,
  coefficients: readonly CoefficientRow[],
  restarts: readonly number[],
) {
  const [m, n] = X.shape.slice(-2) as [number, number];
  const counted = {
    steps: coefficients.length,
    quintics: coefficients.filter(([, , c = 0]) => c !== 0).length,
    restarts,
    symmetric: false,
  };
  const gram = countFlops(m, n, { ...counted, form: 'gram' });
  return gram < countFlops(m, n, { ...counted, form: 'standard' }) ? 'gram' : 'standard';
}

/**
 * The derivative of the iteration in the direction `E`, carried along step by step: with `A = X Xᵀ`,
 * `dA = E Xᵀ + X Eᵀ`, `dP = b dA + c (A dA + dA A)`, it is `E ← dP X + P E`.
 *
 * This is the gradient too, since the map is self-adjoint: in the bases of `X` it multiplies symmetric parts of `E` by
 * divided differences of `p`, antisymmetric parts by `(p(s) + p(r)) / (s + r)`, and the rest by `p(s) / s`. Unlike
 * differentiating backwards it keeps no step's matrices, at about the same number of products.
 */
export function derivative(
  X0: Tensor,
  E0: Tensor,
  coefficients: readonly CoefficientRow[],
): Tensor {
  const multiples = multiplesOf(X0);
  let [X, E] = [X0, E0];
  coefficients.forEach((row, t) => {
    const [, b = 0, c = 0] = row;
    const terms = multiples(row);
    const next = tidy(() => {
      const A = shortGram(X);
      const dA = symmetric(shortProduct(E, X));
      const linear = mul(dA, b);
      const dP = c === 0 ? linear : add(linear, mul(symmetric(matMul(A, dA)), c));
      const P = polynomial(A, terms);
      return { X: apply(P, X), E: add(apply(dP, X), apply(P, E)) };
    });
    if (t > 0) {
      X.dispose();
      E.dispose();
    }
    ({ X, E } = next);
  });
  return E;
}

/** `M + Mᵀ` */
const symmetric = (M: Tensor) => add(M, transpose(M, [0, 2, 1]));

/** The fused operation `newton-schulz/iterate`; see the head of this file for backend authors. */
export const iterate = defineFusedOp<IterateAttributes>({
  name: 'newton-schulz/iterate',
  reference: ([X, gram], attributes) => {
    const { coefficients, restarts } = attributes;
    const form =
      attributes.form === 'auto' ? cheaperForm(X!, coefficients, restarts) : attributes.form;
    return form === 'gram' ? gramForm(X!, gram, attributes) : standardForm(X!, gram, attributes);
  },
  // The Gram matrix is a function of X: all of the gradient goes to X.
  gradient: (dy, { inputs: [X, gram] }, { coefficients }) => {
    const dX = tidy(() => derivative(X!, dy, coefficients));
    return gram ? [dX, zerosLike(gram)] : [dX];
  },
});
