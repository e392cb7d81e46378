import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  cumsum,
  customGrad,
  div,
  equal,
  greater,
  lessEqual,
  logicalAnd,
  logicalOr,
  max,
  mul,
  range,
  relu,
  reshape,
  slice,
  sub,
  sum,
  Tensor,
  tidy,
  topk,
  transpose,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Options of {@link projectSimplex}. */
export interface ProjectSimplexOptions {
  /** Size of the simplex: a number > 0, or a tensor with one size a projected vector. Default 1 */
  readonly z?: number | Tensor;
  /**
   * Axis along which entries sum to z. 0 (default): the columns of `[…, m, n]`, as in a transport plan; 1: its rows.
   */
  readonly axis?: 0 | 1;
}

/** Options of {@link projectSparseSimplex}. */
export interface ProjectSparseSimplexOptions extends ProjectSimplexOptions {
  /** Most non-zeros of a vector, integer >= 1. */
  readonly k: number;
}

/**
 * Nearest points of the simplex: p ≥ 0, Σp = z.
 *
 * Made of tensor operations, so it runs on any backend without reading back. Differentiable: on the support A of the
 * result the Jacobian is `I_A − 1_A 1_Aᵀ / |A|`, elsewhere 0.
 *
 * @param V - `[…, m, n]` float32; −Infinity excludes an entry
 * @returns same shape
 * @throws TypeError or RangeError for bad arguments
 * @see Michelot 1986; Duchi et al. 2008
 */
export function projectSimplex(V: Tensor, options: ProjectSimplexOptions = {}): Tensor {
  checkOptions('projectSimplex', options, ['z', 'axis']);
  return project('projectSimplex', V, Infinity, options);
}

/**
 * Nearest points of the simplex with at most k non-zeros: the k largest entries, projected on the simplex. Of entries that
 * tie for the k-th place the first are taken.
 *
 * Runs on any backend without reading back; differentiable as {@link projectSimplex} is.
 *
 * @param V - `[…, m, n]` float32; −Infinity excludes an entry
 * @returns same shape
 * @throws TypeError or RangeError for bad arguments
 * @example
 * const gates = projectSparseSimplex(logits, { k: 2, axis: 1 }); // two experts a token, weights that sum to 1
 * @see Kyrillidis, Becker, Cevher, Koch 2013, "Sparse projections onto the simplex"
 */
export function projectSparseSimplex(V: Tensor, options: ProjectSparseSimplexOptions): Tensor {
  checkOptions('projectSparseSimplex', options, ['k', 'z', 'axis']);
  checkInteger('projectSparseSimplex', 'k', options.k, { min: 1 });
  return project('projectSparseSimplex', V, options.k, options);
}

function project(
  caller: string,
  V: Tensor,
  k: number,
  { z = 1, axis = 0 }: ProjectSimplexOptions,
): Tensor {
  checkTensor(caller, 'V', V, { minRank: 2 });
  checkOneOf(caller, 'axis', axis, [0, 1]);
  const batch = V.shape.slice(0, -2);
  const [m, n] = V.shape.slice(-2) as [number, number];
  const vectors = [...batch, axis === 0 ? n : m];
  if (z instanceof Tensor) checkTensor(caller, 'z', z, { shape: vectors });
  else checkNumber(caller, 'z', z, { above: 0 });
  const length = axis === 0 ? m : n;
  const swap = [...V.shape.keys()].slice(0, -2).concat(V.rank - 1, V.rank - 2);
  const lastAxis = (x: Tensor) => (axis === 0 ? transpose(x, swap) : x);
  const op = customGrad((x, save) => {
    const size = z instanceof Tensor ? reshape(z, [...vectors, 1]) : z;
    const value = tidy(() => lastAxis(forward(lastAxis(x as Tensor), Math.min(k, length), size)));
    (save as (tensors: Tensor[]) => void)([value]);
    const gradFunc = (dy: Tensor, [p]: Tensor[]) =>
      tidy(() => {
        const along = axis === 0 ? -2 : -1;
        const support = cast(greater(p!, 0), 'float32');
        const kept = mul(dy, support);
        const mean = div(sum(kept, along, true), sum(support, along, true));
        return mul(support, sub(kept, mean));
      });
    return { value, gradFunc };
  });
  return op(V);
}

/** The projection along the last axis. */
function forward(x: Tensor, k: number, z: Tensor | number): Tensor {
  // tfjs's wasm kernel writes out of bounds for cumsum along −1.
  const along = x.rank - 1;
  // Relative to the largest entry: sums of large entries would lose a small z.
  const v = sub(x, max(x, -1, true));
  const u = topk(v, k, true).values;
  // u_r − (Σ_{q≤r} u_q − z)/r > 0 for r up to ρ. Excluded entries (−Infinity) would make NaN.
  const finite = where(greater(u, -Infinity), u, zerosLike(u));
  const ranks = add(range(0, k), 1);
  const excess = sub(mul(u, ranks), sub(cumsum(finite, along), z));
  const inside = cast(greater(excess, 0), 'float32');
  const rho = sum(inside, -1, true);
  const threshold = div(sub(sum(mul(finite, inside), -1, true), z), rho);
  const p = relu(sub(v, threshold));
  if (k === x.shape.at(-1)) return p;
  const begin = new Array(u.rank).fill(0);
  begin[u.rank - 1] = k - 1;
  const last = slice(u, begin, [...u.shape.slice(0, -1), 1]);
  const above = greater(v, last);
  const ties = equal(v, last);
  const places = sub(k, sum(cast(above, 'float32'), -1, true));
  const first = lessEqual(cumsum(cast(ties, 'float32'), along), places);
  return mul(p, cast(logicalOr(above, logicalAnd(ties, first)), 'float32'));
}
