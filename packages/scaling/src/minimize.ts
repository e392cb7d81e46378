const GOLDEN = (3 - Math.sqrt(5)) / 2;

/** A minimum found. */
export interface Minimum {
  readonly x: number;
  readonly value: number;
}

/**
 * Minimum of a function of one number within an interval: golden section, with parabolic steps where they are good
 * (Brent 1973, "Algorithms for Minimization without Derivatives", chapter 5). `x` is known to about `tolerance`.
 */
export function minimizeBrent(
  f: (x: number) => number,
  interval: readonly [number, number],
  tolerance = 1e-9,
): Minimum {
  let [a, b] = interval;
  let x = a + GOLDEN * (b - a);
  let [w, v] = [x, x];
  let fx = f(x);
  let [fw, fv] = [fx, fx];
  let [step, before] = [0, 0];
  for (let i = 0; i < 200; i++) {
    const middle = (a + b) / 2;
    const least = tolerance * Math.max(1, Math.abs(x));
    if (Math.abs(x - middle) <= 2 * least - (b - a) / 2) break;
    // Vertex of the parabola through the three best points.
    let r = (x - w) * (fx - fv);
    let q = (x - v) * (fx - fw);
    let p = (x - v) * q - (x - w) * r;
    q = 2 * (q - r);
    if (q > 0) p = -p;
    q = Math.abs(q);
    r = before;
    before = step;
    if (Math.abs(p) < Math.abs((q * r) / 2) && p > q * (a - x) && p < q * (b - x)) {
      step = p / q;
      const u = x + step;
      if (u - a < 2 * least || b - u < 2 * least) step = x < middle ? least : -least;
    } else {
      before = x < middle ? b - x : a - x;
      step = GOLDEN * before;
    }
    const u = x + (Math.abs(step) >= least ? step : Math.sign(step) * least);
    const fu = f(u);
    if (fu <= fx) {
      if (u < x) b = x;
      else a = x;
      [v, fv, w, fw, x, fx] = [w, fw, x, fx, u, fu];
    } else {
      if (u < x) a = u;
      else b = u;
      if (fu <= fw || w === x) [v, fv, w, fw] = [w, fw, u, fu];
      else if (fu <= fv || v === x || v === w) [v, fv] = [u, fu];
    }
  }
  return { x, value: fx };
}

/** The least of f on a grid, then {@link minimizeBrent} between its neighbours: safe where f has several minima. */
export function minimizeOnGrid(
  f: (x: number) => number,
  grid: ArrayLike<number>,
  tolerance?: number,
): Minimum {
  let best = 0;
  let value = Infinity;
  for (let i = 0; i < grid.length; i++) {
    const fi = f(grid[i]!);
    if (fi < value) [best, value] = [i, fi];
  }
  const left = grid[Math.max(best - 1, 0)]!;
  const right = grid[Math.min(best + 1, grid.length - 1)]!;
  const found = minimizeBrent(f, [left, right], tolerance);
  return found.value <= value ? found : { x: grid[best]!, value };
}
