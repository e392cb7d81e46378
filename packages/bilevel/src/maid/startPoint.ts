import { checkFinite } from '@orth/backend';

/** Numbers of a vector or of a flattened tensor. */
export type VectorLike = ArrayLike<number>;

/** A copy of a start vector as float64, checked for length and finiteness. */
export function startVector(
  caller: string,
  argument: string,
  value: VectorLike | undefined,
  size: number,
): Float64Array {
  if (value === undefined) return new Float64Array(size);
  if (typeof value !== 'object' || value === null || typeof value.length !== 'number') {
    throw new TypeError(`${caller}: ${argument} must be an array of numbers, got ${typeof value}`);
  }
  if (value.length !== size) {
    throw new RangeError(`${caller}: ${argument} must have length ${size}, got ${value.length}`);
  }
  checkFinite(caller, argument, value);
  return Float64Array.from(value);
}
