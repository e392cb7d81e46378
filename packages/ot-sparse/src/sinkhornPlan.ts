/**
 * Sinkhorn's plan of a router, `T = diag(u) exp(scores/ε) diag(v)`: columns are scaled to `b`, then rows to `a`, a fixed number
 * of times, so that rows are exact. In the log domain, on the host in float64.
 *
 * @param scores - `m × n` row-major
 * @see Clark et al. 2022, arXiv 2202.01169, "S-BASE"
 */
export function sinkhornPlan(
  scores: Float64Array,
  m: number,
  n: number,
  a: number,
  b: number,
  epsilon: number,
  iterations: number,
): Float64Array {
  const logPlan = scores.map((score) => score / epsilon);
  const scale = (start: number, stride: number, length: number, mass: number) => {
    const end = start + stride * length;
    let most = -Infinity;
    for (let at = start; at < end; at += stride) most = Math.max(most, logPlan[at]!);
    let total = 0;
    for (let at = start; at < end; at += stride) total += Math.exp(logPlan[at]! - most);
    const shift = Math.log(mass) - most - Math.log(total);
    for (let at = start; at < end; at += stride) logPlan[at]! += shift;
  };
  for (let iteration = 0; iteration < iterations; iteration++) {
    for (let j = 0; j < n; j++) scale(j, n, m, b);
    for (let i = 0; i < m; i++) scale(i * n, 1, n, a);
  }
  return logPlan.map(Math.exp);
}
