import { orthonormalRows } from '../lora/hostMatrices.js';

/**
 * Reflections and signs that make a matrix with orthonormal columns: `Q = householder(h) diag(signs)`. Householder's QR, on the
 * host.
 * @param columns - those of Q; overwritten
 * @returns `h`, row-major `[m, n]`
 */
export function reflectionsOf(columns: Float64Array[]): { h: Float32Array; signs: Float32Array } {
  const [n, m] = [columns.length, columns[0]!.length];
  const h = new Float32Array(m * n);
  const signs = new Float32Array(n);
  for (let k = 0; k < n; k++) {
    const column = columns[k]!;
    let squares = 0;
    for (let i = k; i < m; i++) squares += column[i]! ** 2;
    // Away from the column's own sign, so that nothing cancels, and 1 becomes −1 by a proper reflection.
    const sign = column[k]! < 0 ? 1 : -1;
    const v = column.slice(k);
    v[0]! -= sign * Math.sqrt(squares);
    const first = v[0]!;
    let length = 0;
    v.forEach((x, i) => {
      v[i] = x / first;
      length += v[i]! ** 2;
    });
    signs[k] = sign;
    for (let i = k + 1; i < m; i++) h[i * n + k] = v[i - k]!;
    for (const other of columns.slice(k)) {
      let product = 0;
      v.forEach((x, i) => {
        product += x * other[k + i]!;
      });
      v.forEach((x, i) => {
        other[k + i]! -= (2 / length) * product * x;
      });
    }
  }
  return { h, signs };
}

/** An orthogonal matrix `[m, m]`, row-major, whose first columns are these. */
export function completed(columns: readonly Float64Array[]): Float32Array {
  const m = columns[0]!.length;
  const missing = Array.from({ length: m - columns.length }, () => new Float64Array(m));
  const all = orthonormalRows([...columns, ...missing]);
  const values = new Float32Array(m * m);
  all.forEach((column, j) => {
    column.forEach((x, i) => {
      values[i * m + j] = x;
    });
  });
  return values;
}
