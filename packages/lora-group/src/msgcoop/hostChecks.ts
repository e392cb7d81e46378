import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Demands features that have a direction. Reads them.
 * @throws (rejects with) RangeError naming the first row with NaN, an infinity, or nothing but zeros
 */
export async function checkDirections(caller: string, argument: string, x: Tensor): Promise<void> {
  const [rows, size] = x.shape as [number, number];
  const values = await x.data();
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * size; i < (row + 1) * size; i++) {
      const value = values[i]!;
      if (!Number.isFinite(value)) {
        throw new RangeError(`${caller}: ${argument} must be finite, got ${value} in row ${row}`);
      }
      largest = Math.max(largest, Math.abs(value));
    }
    if (largest === 0) {
      throw new RangeError(
        `${caller}: ${argument} must not be 0 throughout, got such a row ${row}`,
      );
    }
  }
}
