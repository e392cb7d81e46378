/** Standard normal quantile of p in (0.5, 1), to float64's precision. */
export function normalQuantile(p: number): number {
  const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  // Φ(x) = ½ + φ(x) Σ x^(2k+1)/(1·3·…·(2k+1))
  const cumulative = (x: number) => {
    let term = x;
    let sum = x;
    for (let k = 1; k < 500 && term > 1e-17 * sum; k++) {
      term *= (x * x) / (2 * k + 1);
      sum += term;
    }
    return 0.5 + density(x) * sum;
  };
  // Φ is concave above 0: Newton's steps from there never pass the root.
  let x = 0;
  for (let i = 0; i < 60; i++) {
    const step = (p - cumulative(x)) / density(x);
    x += Math.min(1, step);
    if (Math.abs(step) < 1e-13) break;
  }
  return x;
}
