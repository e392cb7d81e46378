/** P(T ≤ t) of Student's distribution with an integer number of degrees of freedom: a finite trigonometric sum. */
export function studentProbability(t: number, degrees: number): number {
  const theta = Math.atan(Math.abs(t) / Math.sqrt(degrees));
  const c2 = Math.cos(theta) ** 2;
  // Abramowitz and Stegun 26.7.3 and 26.7.4: P(|T| ≤ t).
  let inside: number;
  if (degrees % 2 === 0) {
    let term = 1;
    let sum = 1;
    for (let k = 1; k < degrees / 2; k++) {
      term *= ((2 * k - 1) / (2 * k)) * c2;
      sum += term;
    }
    inside = Math.sin(theta) * sum;
  } else {
    let term = Math.cos(theta);
    let sum = degrees > 1 ? term : 0;
    for (let k = 1; k < (degrees - 1) / 2; k++) {
      term *= ((2 * k) / (2 * k + 1)) * c2;
      sum += term;
    }
    inside = (2 / Math.PI) * (theta + Math.sin(theta) * sum);
  }
  return t >= 0 ? (1 + inside) / 2 : (1 - inside) / 2;
}

/** The t with P(T ≤ t) = `probability`, by bisection. */
export function studentQuantile(probability: number, degrees: number): number {
  let low = -1;
  let high = 1;
  while (studentProbability(low, degrees) > probability) low *= 2;
  while (studentProbability(high, degrees) < probability) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (studentProbability(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
