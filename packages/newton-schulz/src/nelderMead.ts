/** A minimum found by {@link nelderMead}. */
export interface Minimum {
  readonly point: readonly number[];
  readonly value: number;
  readonly iterations: number;
}

/**
 * Minimises a function of a few numbers without derivatives, by the simplex method of Nelder and Mead. Deterministic.
 *
 * @param f - the function; infinite where it is not defined
 * @param start - the first corner; the others move one coordinate by 5 % (by 2.5e−4 from 0)
 * @param limits - stops when the corners' values agree to `tolerance`, relative to the best, and the corners to its
 *   square root, or after `maxIterations`
 * @see Nelder and Mead 1965, "A simplex method for function minimization", with coefficients 1, 2, 1/2, 1/2
 */
export function nelderMead(
  f: (x: readonly number[]) => number,
  start: readonly number[],
  { maxIterations, tolerance }: { readonly maxIterations: number; readonly tolerance: number },
): Minimum {
  const evaluate = (x: readonly number[]) => {
    const value = f(x);
    return { x, value: Number.isNaN(value) ? Number.POSITIVE_INFINITY : value };
  };
  const simplex = [start, ...start.map((_, i) => moved(start, i))].map(evaluate);
  const last = start.length;
  let iterations = 0;
  for (; iterations < maxIterations; iterations++) {
    simplex.sort((p, q) => p.value - q.value);
    const [best, worst] = [simplex[0]!, simplex[last]!];
    const flat = worst.value - best.value <= tolerance * Math.abs(best.value);
    // Corners on opposite sides of a minimum may have equal values.
    const near = Math.sqrt(tolerance);
    const small = worst.x.every((x, i) => Math.abs(x - best.x[i]!) <= near * (1 + Math.abs(x)));
    if (flat && small) break;
    const center = start.map(
      (_, i) => simplex.slice(0, last).reduce((sum, { x }) => sum + x[i]!, 0) / last,
    );
    // The point at `t` on the ray from the centre through the worst corner's mirror image.
    const along = (t: number) => evaluate(center.map((c, i) => c + t * (c - worst.x[i]!)));

    const reflected = along(1);
    if (reflected.value < best.value) {
      const expanded = along(2);
      simplex[last] = expanded.value < reflected.value ? expanded : reflected;
    } else if (reflected.value < simplex[last - 1]!.value) {
      simplex[last] = reflected;
    } else {
      const outside = reflected.value < worst.value;
      const contracted = along(outside ? 1 / 2 : -1 / 2);
      if (contracted.value <= Math.min(reflected.value, worst.value)) {
        simplex[last] = contracted;
      } else {
        for (let j = 1; j <= last; j++) {
          const corner = simplex[j]!;
          simplex[j] = evaluate(best.x.map((b, i) => b + (corner.x[i]! - b) / 2));
        }
      }
    }
  }
  simplex.sort((p, q) => p.value - q.value);
  return { point: simplex[0]!.x, value: simplex[0]!.value, iterations };
}

function moved(x: readonly number[], axis: number): number[] {
  return x.map((value, i) => (i !== axis ? value : value === 0 ? 2.5e-4 : 1.05 * value));
}
