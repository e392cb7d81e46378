/** Median of numbers; NaN for none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `c` that makes `Σ |y_i − c z_i|` least: the median of `y_i / z_i` with weights `|z_i|`; 0 where all z are 0. */
export function absoluteFit(y: ArrayLike<number>, z: ArrayLike<number>): number {
  const pairs = Array.from(z, (zi, i) => ({ ratio: y[i]! / zi, weight: Math.abs(zi) }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => a.ratio - b.ratio);
  const half = pairs.reduce((total, { weight }) => total + weight, 0) / 2;
  let seen = 0;
  for (const { ratio, weight } of pairs) {
    seen += weight;
    if (seen >= half) return ratio;
  }
  return 0;
}
