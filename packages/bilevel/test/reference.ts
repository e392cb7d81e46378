/** What several tests share. */
import { type Random, seededRandom } from '@orth/backend';
import { type QuadraticProblem, quadraticProblem } from '../src/index.js';

export const normal = (random: Random, n: number, scale = 1): Float64Array =>
  Float64Array.from({ length: n }, () => scale * random.normal());

/** The quadratic problem of the paper: uniform matrices, right-hand sides of a known x and θ with a little noise. */
export function randomQuadratic(
  seed: number,
  n: number,
  m: number,
  draw = (random: Random) => random.uniform(),
): QuadraticProblem {
  const random = seededRandom(seed);
  const rows = () => Array.from({ length: n }, () => Array.from({ length: m }, () => draw(random)));
  const [A1, A2, A3] = [rows(), rows(), rows()] as [number[][], number[][], number[][]];
  const [x, theta] = [normal(random, m), normal(random, m)];
  const image = (A: number[][], v: Float64Array) =>
    A.map((row) => row.reduce((sum, a, i) => sum + a * v[i]!, 0.01 * random.normal()));
  const b1 = image(A1, x);
  const other = image(A3, theta);
  return quadraticProblem({ A1, A2, A3, b1, b2: image(A2, x).map((b, i) => b + other[i]!) });
}

/** ‖a − b‖. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.hypot(...Array.from(a, (value, i) => value - b[i]!));

/** Central differences of f at x along v. */
export const slope = (
  f: (x: Float64Array) => number,
  x: Float64Array,
  v: Float64Array,
  r = 1e-5,
): number => {
  const moved = (s: number) => x.map((value, i) => value + s * v[i]!) as Float64Array;
  return (f(moved(r)) - f(moved(-r))) / (2 * r);
};
