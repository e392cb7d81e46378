/**
 * Distribution function of Student's t for whole degrees of freedom, as a finite sum
 * (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
 */
function studentT(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const c2 = Math.cos(angle) ** 2;
  let term = 1;
  let sum = 0;
  const odd = degrees % 2 === 1;
  if (degrees > 1) {
    term = odd ? Math.cos(angle) : 1;
    sum = term;
    for (let k = odd ? 3 : 2; k < degrees; k += 2) {
      term *= (c2 * (k - 1)) / k;
      sum += term;
    }
  }
  const area = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return 0.5 + area / 2;
}

/** t such that |T| <= t with probability `level`, for `degrees` whole degrees of freedom. */
export function studentTQuantile(level: number, degrees: number): number {
  let [low, high] = [0, 1];
  while (studentT(high, degrees) < (1 + level) / 2) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (studentT(middle, degrees) < (1 + level) / 2) low = middle;
    else high = middle;
  }
  return high;
}
