/** float64 vectors on the host, and their checks. */

/** A vector on the host: a typed array or an array of numbers. */
export type HostVector = ArrayLike<number>;

export function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

/** Euclidean norm. */
export const norm = (x: Float64Array): number => Math.sqrt(dot(x, x));

/** y += a x */
export function addScaled(y: Float64Array, a: number, x: Float64Array): void {
  for (let i = 0; i < y.length; i++) y[i]! += a * x[i]!;
}

/** `b − Ax`, given Ax. */
export function difference(b: Float64Array, Ax: Float64Array): Float64Array {
  const r = new Float64Array(b.length);
  for (let i = 0; i < r.length; i++) r[i] = b[i]! - Ax[i]!;
  return r;
}

const isVector = (x: unknown): x is HostVector =>
  Array.isArray(x) || (ArrayBuffer.isView(x) && !(x instanceof DataView));

/**
 * A float64 copy of `x`.
 * @throws TypeError if it is no array of numbers; RangeError for another length or a number that is not finite
 */
export function checkVector(
  caller: string,
  argument: string,
  x: unknown,
  length?: number,
): Float64Array {
  if (!isVector(x)) {
    const kind = x === null ? 'null' : typeof x;
    throw new TypeError(`${caller}: ${argument} must be an array of numbers, got ${kind}`);
  }
  if (length !== undefined && x.length !== length) {
    throw new RangeError(`${caller}: ${argument} must have length ${length}, got ${x.length}`);
  }
  const copy = new Float64Array(x.length);
  for (let i = 0; i < copy.length; i++) {
    const value: unknown = x[i];
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new RangeError(`${caller}: ${argument} must be finite, got ${value} at index ${i}`);
    }
    copy[i] = value;
  }
  return copy;
}
