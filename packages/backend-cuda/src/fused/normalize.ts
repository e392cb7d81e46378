import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { evaluate } from '../kernels/evaluate.js';
import { relabel, type Workspace } from '../kernels/kernel.js';
import { reduceAxis } from '../kernels/reduce.js';
import type { Expression } from '../sources/elementwise.js';
import type { Reduction } from '../sources/reduce.js';

/** How a matrix is scaled before the first step; the attributes of `newton-schulz/orthogonalize` that say so. */
export interface Normalization {
  readonly normalization: 'frobenius' | 'schatten4' | 'aol' | 'spectral' | 'none';
  readonly safety: number;
  readonly epsilon: number;
  readonly epsilonMode: 'relative' | 'add' | 'clamp';
}

/** A batch under normalisation: `X [b, m, n]`. */
export interface Batch {
  readonly count: number;
  readonly m: number;
  readonly n: number;
  /** The short side. */
  readonly k: number;
}

/** Squarings of the power iteration: the exponent is 2^6. */
const SQUARINGS = 6;

const float = (name: string, code: string, scalars = 0): Expression => ({
  name: `newtonSchulz_${name}`,
  code,
  type: 'float',
  scalars,
});

// y is the greatest absolute entry of the matrix: where that is 0 all divisors are 1.
const DIVIDE_BY_LARGEST = float('byLargest', 'x / (y == 0 ? 1.0f : y)');
const NORM = float('norm', 'sqrtf(x + (y == 0 ? 1.0f : 0.0f))');
const ROOT = float('root', 'sqrtf(x)');
const DIVIDE = float('divide', 'x / y');
const DIVIDE_TWICE = float('divideTwice', 'x / (y * y)');
const TIMES_POWER = float('timesPower', 'x * powf(y, s0)', 1);
const INVERSE_ROOT = float('inverseRoot', '1.0f / sqrtf(x + (x == 0 ? 1.0f : 0.0f))');
const TIMES = float('times', 'x * y');
const TIMES_TWICE = float('timesTwice', 'x * y * z');
const SCALE = 'const float scale = y == 0 ? 1.0f : y;';
/** Of a norm `x` and the greatest entry `y`; `s0` is the safety factor, `s1` epsilon. */
const DIVISOR: Record<Normalization['epsilonMode'], Expression> = {
  relative: float('divisorRelative', 'x * s0 + s1', 2),
  add: float('divisorAdd', `${SCALE} result = x * s0 + s1 / scale;`, 2),
  clamp: float('divisorClamp', `${SCALE} result = fmaxf(x * s0, s1 / scale);`, 2),
};

/** Formulas of this file with the number of their operands, for tests that compile them. */
export const NORMALIZE_EXPRESSIONS: readonly [expression: Expression, operands: number][] = [
  [DIVIDE_BY_LARGEST, 2],
  [NORM, 2],
  [ROOT, 1],
  [DIVIDE, 2],
  [DIVIDE_TWICE, 2],
  [TIMES_POWER, 2],
  [INVERSE_ROOT, 1],
  [TIMES, 2],
  [TIMES_TWICE, 3],
  ...Object.values(DIVISOR).map((divisor) => [divisor, 2] as [Expression, number]),
];

/**
 * Scales matrices as `normalize` of `@orth/newton-schulz` does; see there for the formulas. Everything stays on the
 * device, norms too.
 *
 * @param multiply - float32 products `A B` of square matrices `[b, k, k]`
 * @param gramOf - Gram matrices of the short side
 */
export function normalize(
  backend: CudaBackend,
  space: Workspace,
  G: TensorInfo,
  { count, m, n, k }: Batch,
  options: Normalization,
  products: {
    readonly square: (A: TensorInfo) => TensorInfo;
    readonly gram: (X: TensorInfo) => TensorInfo;
  },
): { X: TensorInfo; gram?: TensorInfo } {
  const { normalization, safety, epsilon, epsilonMode } = options;
  if (normalization === 'none') return { X: G };
  const each = [count, 1, 1];
  const run = (
    expression: Expression,
    shape: readonly number[],
    operands: TensorInfo[],
    scalars: number[] = [],
  ) => space.keep(evaluate(backend, expression, operands, { shape, dtype: 'float32', scalars }));
  const reduce = (reduction: Reduction, x: TensorInfo, outer: number, length: number) => {
    const sizes = { outer, length, inner: 1 };
    return space.keep(reduceAxis(backend, reduction, x, sizes, { dtype: 'float32' }));
  };
  const largest = relabel(reduce('maxAbsolute', G, count, m * n), each);
  const X = run(DIVIDE_BY_LARGEST, G.shape, [G, largest]);
  const frobenius = (A: TensorInfo, length: number) =>
    run(NORM, each, [relabel(reduce('sumSquares', A, count, length), each), largest]);
  const divisor = (norm: TensorInfo) =>
    run(DIVISOR[epsilonMode], each, [norm, largest], [safety, epsilon]);

  if (normalization === 'frobenius') {
    return { X: run(DIVIDE, G.shape, [X, divisor(frobenius(X, m * n))]) };
  }
  const A = products.gram(X);
  const square = [count, k, k];
  if (normalization === 'aol') {
    const total = reduce('sumAbsolutes', A, count * k, k);
    const column = run(INVERSE_ROOT, [count, k, 1], [relabel(total, [count, k, 1])]);
    const row = relabel(column, [count, 1, k]);
    return {
      X: run(TIMES, G.shape, [X, m > n ? row : column]),
      gram: run(TIMES_TWICE, square, [A, column, row]),
    };
  }
  const norm =
    normalization === 'schatten4'
      ? run(ROOT, each, [frobenius(A, k * k)])
      : run(ROOT, each, [largestEigenvalue()]);
  const s = divisor(norm);
  return { X: run(DIVIDE, G.shape, [X, s]), gram: run(DIVIDE_TWICE, square, [A, s]) };

  /** `‖A^q‖_F^(1/q)` with `q = 2^6`: falls to the largest eigenvalue from above. */
  function largestEigenvalue(): TensorInfo {
    let eigenvalue = frobenius(A, k * k);
    let power = run(DIVIDE, square, [A, eigenvalue]);
    for (let step = 1; step <= SQUARINGS; step++) {
      power = products.square(power);
      const norm = frobenius(power, k * k);
      power = run(DIVIDE, square, [power, norm]);
      eigenvalue = run(TIMES_POWER, each, [eigenvalue, norm], [2 ** -step]);
    }
    return eigenvalue;
  }
}
