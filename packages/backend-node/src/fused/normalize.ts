import type { GraphBuilder, Value } from '../native/graphBuilder.js';

/** How a matrix is scaled before the first step; the attributes of `newton-schulz/orthogonalize` that say so. */
export interface Normalization {
  readonly normalization: 'frobenius' | 'schatten4' | 'aol' | 'spectral' | 'none';
  readonly safety: number;
  readonly epsilon: number;
  readonly epsilonMode: 'relative' | 'add' | 'clamp';
}

/** Squarings of the power iteration: the exponent is 2^6. */
const SQUARINGS = 6;

/** 1 where `x` is 0, else 0: turns a zero divisor into 1 without a branch. */
function isZero(g: GraphBuilder, x: Value): Value {
  const float32 = 1;
  return g.op('Cast', [g.op('Equal', [x, g.scalar(0)])], { to: float32 });
}

/** Scales one matrix as `normalize` of `@orth/newton-schulz` does; see there for the formulas. */
export function normalize(
  g: GraphBuilder,
  G: Value,
  tall: boolean,
  options: Normalization,
): { X: Value; gram?: Value } {
  const { normalization, safety, epsilon, epsilonMode } = options;
  if (normalization === 'none') return { X: G };
  // The greatest absolute value, without writing the absolute values down.
  const lowest = g.op('Neg', [g.op('ReduceMin', [G])]);
  const largest = g.op('Max', [g.op('ReduceMax', [G]), lowest]);
  const empty = isZero(g, largest);
  const scale = g.op('Add', [largest, empty]);
  const X = g.op('Div', [G, scale]);

  const frobenius = (A: Value) =>
    g.op('Sqrt', [g.op('Add', [g.op('ReduceSumSquare', [A]), empty])]);
  const divisor = (norm: Value) => {
    const safe = safety === 1 ? norm : g.op('Mul', [norm, g.scalar(safety)]);
    if (epsilonMode === 'relative') return g.op('Add', [safe, g.scalar(epsilon)]);
    const absolute = g.op('Div', [g.scalar(epsilon), scale]);
    return g.op(epsilonMode === 'add' ? 'Add' : 'Max', [safe, absolute]);
  };

  if (normalization === 'frobenius') return { X: g.op('Div', [X, divisor(frobenius(X))]) };
  const A = g.gemm(X, X, tall ? { transposeA: true } : { transposeB: true });
  if (normalization === 'aol') {
    const total = g.op('ReduceSum', [g.op('Abs', [A]), g.integers(1)]);
    const column = g.op('Reciprocal', [g.op('Sqrt', [g.op('Add', [total, isZero(g, total)])])]);
    const row = g.op('Transpose', [column], { perm: [1, 0] });
    const gram = g.op('Mul', [g.op('Mul', [A, column]), row]);
    return { X: g.op('Mul', [X, tall ? row : column]), gram };
  }
  const norm =
    normalization === 'schatten4' ? g.op('Sqrt', [frobenius(A)]) : spectral(g, A, frobenius);
  const s = divisor(norm);
  return { X: g.op('Div', [X, s]), gram: g.op('Div', [A, g.op('Mul', [s, s])]) };
}

/** `‖A^q‖_F^(1/2q)` with `q = 2^6`: falls to the largest singular value from above. */
function spectral(g: GraphBuilder, A: Value, frobenius: (A: Value) => Value): Value {
  let eigenvalue = frobenius(A);
  let power = g.op('Div', [A, eigenvalue]);
  for (let k = 1; k <= SQUARINGS; k++) {
    power = g.gemm(power, power);
    const norm = frobenius(power);
    power = g.op('Div', [power, norm]);
    eigenvalue = g.op('Mul', [eigenvalue, g.op('Pow', [norm, g.scalar(2 ** -k)])]);
  }
  return g.op('Sqrt', [eigenvalue]);
}
