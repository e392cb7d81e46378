/** Muon's relatives in float64, from zero weights, without decay; matrices are `[in, out]`. */
import { type Matrix64, matrix64, norm64, productTransposed, transpose64 } from './matrix64.js';
import { muonOrthogonalize64 } from './newtonSchulz64.js';

/** A rule: what a step subtracts per unit of learning rate, given the gradient; keeps its own state. */
export type Rule64 = (gradient: Matrix64) => Matrix64;

const map = (x: Matrix64, f: (value: number, index: number) => number): Matrix64 => ({
  ...x,
  data: x.data.map(f),
});

/** The momentum after a step, looked ahead: a running mean, or a sum. */
function lookAhead(momentum: number, mean: boolean): Rule64 {
  let buffer: Float64Array | undefined;
  const share = mean ? 1 - momentum : 1;
  return (g) => {
    const former = buffer ?? new Float64Array(g.data.length);
    const next = former.map((m, i) => momentum * m + share * g.data[i]!);
    buffer = next;
    return map(g, (value, i) => share * value + momentum * next[i]!);
  };
}

const original = ({ rows, columns }: Matrix64) => Math.sqrt(Math.max(1, columns / rows));
const matched = ({ rows, columns }: Matrix64) => 0.2 * Math.sqrt(Math.max(rows, columns));

/** NorMuon: one second moment a column. */
export function norMuon64(momentum = 0.95, beta2 = 0.95, epsilon = 1e-10): Rule64 {
  const look = lookAhead(momentum, true);
  let v: Float64Array | undefined;
  return (g) => {
    const o = muonOrthogonalize64(look(g));
    const { rows, columns } = o;
    const square = new Float64Array(columns);
    for (const [i, value] of o.data.entries()) square[i % columns]! += (value * value) / rows;
    const former = v ?? new Float64Array(columns);
    const next = former.map((old, j) => beta2 * old + (1 - beta2) * square[j]!);
    v = next;
    const n = map(o, (value, i) => value / (Math.sqrt(next[i % columns]!) + epsilon));
    const factor = (original(g) * norm64(o.data)) / (norm64(n.data) + epsilon);
    return map(n, (value) => value * factor);
  };
}

/** ROOT with Muon's triple: the momentum clipped at a quantile of its entries. */
export function root64(momentum = 0.95, quantile = 0.9): Rule64 {
  const look = lookAhead(momentum, false);
  return (g) => {
    const u = look(g);
    const sizes = u.data.map(Math.abs).sort();
    const position = quantile * (sizes.length - 1);
    const [lower, upper] = [sizes[Math.floor(position)]!, sizes[Math.ceil(position)]!];
    const threshold = lower + (position % 1) * (upper - lower) + 1e-9;
    const base = map(u, (value) => Math.min(Math.max(value, -threshold), threshold));
    return map(muonOrthogonalize64(base), (value) => value * matched(g));
  };
}

/** AuON by the paper, or with one Newton–Schulz step before it. */
export function auon64(hybrid: boolean, momentum = 0.95): Rule64 {
  const look = lookAhead(momentum, true);
  return (g) => {
    const u = look(g);
    const norm = norm64(u.data) + 1e-7;
    const x = hybrid ? muonOrthogonalize64(u, 1) : map(u, (value) => value / norm);
    const squares = x.data.reduce((sum, value) => sum + Math.cosh(value) ** 2, 0);
    const r = Math.sqrt(squares / x.data.length) + 1e-8;
    return map(x, (value) => (value * original(g)) / r);
  };
}

/** Rows: DCT-II vectors. */
function cosines(n: number): Matrix64 {
  const data = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    const wave = Math.cos((Math.PI * ((i * (2 * j + 1)) % (4 * n))) / (2 * n));
    return Math.sqrt((i === 0 ? 1 : 2) / n) * wave;
  });
  return { rows: n, columns: n, data };
}

/** The short side first: rows are what is chosen among. */
const shortFirst = (x: Matrix64) => (x.rows >= x.columns ? transpose64(x) : x);

/** Coordinates of a matrix along its `rank` best cosine vectors by 1-norm, `[rank, long]`, and the vectors. */
function choose(x: Matrix64, rank: number) {
  const short = shortFirst(x);
  const basis = cosines(short.rows);
  const all = productTransposed(basis, transpose64(short));
  const row = (m: Matrix64, i: number) => m.data.subarray(i * m.columns, (i + 1) * m.columns);
  const scores = Array.from({ length: all.rows }, (_, i) =>
    row(all, i).reduce((sum, value) => sum + Math.abs(value), 0),
  );
  const indices = scores
    .map((_, i) => i)
    .sort((i, j) => scores[j]! - scores[i]!)
    .slice(0, rank);
  const pick = (m: Matrix64) =>
    matrix64(
      rank,
      m.columns,
      indices.flatMap((i) => [...row(m, i)]),
    );
  const vectors = pick(basis);
  const back = (low: Matrix64): Matrix64 => {
    const wide = productTransposed(transpose64(vectors), transpose64(low));
    return x.rows >= x.columns ? transpose64(wide) : wide;
  };
  return { low: pick(all), indices, back };
}

const rankOf = ({ rows, columns }: Matrix64, share: number) =>
  Math.max(1, Math.round(share * Math.min(rows, columns)));

/** Trion with DCT-II vectors. */
export function trion64(share: number, momentum = 0.95): Rule64 {
  let M: Matrix64 | undefined;
  return (g) => {
    const former = M;
    const sum = former ? map(g, (value, i) => value + former.data[i]!) : g;
    const { low, back } = choose(sum, rankOf(g, share));
    const projected = back(low);
    M = map(sum, (value, i) => value - (1 - momentum) * projected.data[i]!);
    return map(back(muonOrthogonalize64(low)), (value) => value * original(g));
  };
}

/** DCT-AdamW with DCT-II vectors, error feedback, and moments that follow their vectors. */
export function dctAdamW64(
  share: number,
  { beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number },
): Rule64 {
  let error: Matrix64 | undefined;
  let moments = new Map<number, { m: Float64Array; v: Float64Array }>();
  let step = 0;
  return (g) => {
    step++;
    const left = error;
    const A = left ? map(g, (value, i) => value + left.data[i]!) : g;
    const { low, indices, back } = choose(A, rankOf(g, share));
    const projected = back(low);
    error = map(A, (value, i) => value - projected.data[i]!);
    const next: typeof moments = new Map();
    const root = Math.sqrt(1 - beta2 ** step);
    const direction = map(low, () => 0);
    for (const [i, index] of indices.entries()) {
      const row = low.data.subarray(i * low.columns, (i + 1) * low.columns);
      const zero = { m: new Float64Array(low.columns), v: new Float64Array(low.columns) };
      const former = moments.get(index) ?? zero;
      const m = former.m.map((old, k) => beta1 * old + (1 - beta1) * row[k]!);
      const v = former.v.map((old, k) => beta2 * old + (1 - beta2) * row[k]! ** 2);
      next.set(index, { m, v });
      direction.data.set(
        m.map(
          (value, k) => (value * root) / (1 - beta1 ** step) / (Math.sqrt(v[k]!) + epsilon * root),
        ),
        i * low.columns,
      );
    }
    moments = next;
    return back(direction);
  };
}

/** The matrix after steps of a rule with the given gradients from zero. */
export function descend64(
  [rows, columns]: readonly [number, number],
  gradients: readonly ArrayLike<number>[],
  learningRate: number,
  rule: Rule64,
): Float64Array {
  const weight = new Float64Array(rows * columns);
  for (const gradient of gradients) {
    const { data } = rule(matrix64(rows, columns, gradient));
    for (let i = 0; i < weight.length; i++) weight[i]! -= learningRate * data[i]!;
  }
  return weight;
}
