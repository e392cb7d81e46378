/** A point of a line search: a step, the value there and the derivative along the line. */
interface LinePoint {
  readonly step: number;
  readonly value: number;
  readonly slope: number;
}

/** Steps this close to an end of the interval, in parts of it, would hardly shrink it. */
const MARGIN = 0.1;

/**
 * Where the cubic through two points with their slopes has its minimum (Nocedal and Wright 2006, eq. 3.59), kept off the
 * ends of the interval; its middle where there is none.
 */
export function interpolate(low: LinePoint, high: LinePoint): number {
  const width = high.step - low.step;
  const d1 = low.slope + high.slope - (3 * (low.value - high.value)) / (low.step - high.step);
  const root = Math.sqrt(d1 * d1 - low.slope * high.slope);
  const d2 = width > 0 ? root : -root;
  const part = (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2);
  // NaN where a value is not finite or the discriminant is negative.
  if (!(part >= 0 && part <= 1)) return low.step + width / 2;
  return high.step - width * Math.min(1 - MARGIN, Math.max(MARGIN, part));
}
