/** The two loops in which a network on the host spends its time, over row-major float64 matrices. */

/**
 * `y[j] += Σ_i x[xAt + i] · W[wAt + i·n + j]`, i < m, j < n. Zeros of `x` cost nothing, which makes block contexts and
 * dead units cheap; rows are taken four at a time, so that y is read and written once for four products.
 */
export function addRows(
  W: Float64Array,
  wAt: number,
  n: number,
  x: Float64Array,
  xAt: number,
  m: number,
  y: Float64Array,
): void {
  let a = 0;
  let b = 0;
  let c = 0;
  let xa = 0;
  let xb = 0;
  let xc = 0;
  let held = 0;
  for (let i = 0; i < m; i++) {
    const v = x[xAt + i]!;
    if (v === 0) continue;
    const row = wAt + i * n;
    if (held === 3) {
      for (let j = 0; j < n; j++) {
        y[j]! += xa * W[a + j]! + xb * W[b + j]! + xc * W[c + j]! + v * W[row + j]!;
      }
      held = 0;
    } else if (held === 0) {
      a = row;
      xa = v;
      held = 1;
    } else if (held === 1) {
      b = row;
      xb = v;
      held = 2;
    } else {
      c = row;
      xc = v;
      held = 3;
    }
  }
  if (held > 0) for (let j = 0; j < n; j++) y[j]! += xa * W[a + j]!;
  if (held > 1) for (let j = 0; j < n; j++) y[j]! += xb * W[b + j]!;
  if (held > 2) for (let j = 0; j < n; j++) y[j]! += xc * W[c + j]!;
}

/** `y[i] = Σ_j W[wAt + i·n + j] · x[j]`, i < m, j < n. */
export function dotRows(
  W: Float64Array,
  wAt: number,
  n: number,
  x: Float64Array,
  m: number,
  y: Float64Array,
): void {
  for (let i = 0; i < m; i++) {
    const row = wAt + i * n;
    let even = 0;
    let odd = 0;
    let j = 0;
    for (; j + 1 < n; j += 2) {
      even += W[row + j]! * x[j]!;
      odd += W[row + j + 1]! * x[j + 1]!;
    }
    if (j < n) even += W[row + j]! * x[j]!;
    y[i] = even + odd;
  }
}
