import type { SmoothFunction } from './lbfgs.js';

/** Options of {@link minimizeAdam}. */
export interface AdamOptions {
  readonly learningRate: number;
  readonly maxIterations: number;
  /** Stop when this says so, asked before each step with the gradient there. */
  readonly stop: (gradient: Float64Array, iteration: number) => boolean;
}

/** What {@link minimizeAdam} found. */
export interface AdamResult {
  readonly x: Float64Array;
  readonly iterations: number;
  readonly stopped: boolean;
}

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/**
 * Adam on the host in float64: many cheap steps without a line search, each of about `learningRate`.
 * @see Kingma and Ba 2015, "Adam", algorithm 1
 */
export function minimizeAdam(
  f: SmoothFunction,
  start: Float64Array,
  { learningRate, maxIterations, stop }: AdamOptions,
): AdamResult {
  const x = start.slice();
  const gradient = new Float64Array(x.length);
  const mean = new Float64Array(x.length);
  const square = new Float64Array(x.length);
  for (let iteration = 0; ; iteration++) {
    f(x, gradient);
    if (stop(gradient, iteration)) return { x, iterations: iteration, stopped: true };
    if (iteration >= maxIterations) return { x, iterations: iteration, stopped: false };
    const meanScale = 1 / (1 - BETA1 ** (iteration + 1));
    const squareScale = 1 / (1 - BETA2 ** (iteration + 1));
    for (let i = 0; i < x.length; i++) {
      const g = gradient[i]!;
      mean[i] = BETA1 * mean[i]! + (1 - BETA1) * g;
      square[i] = BETA2 * square[i]! + (1 - BETA2) * g * g;
      const size = Math.sqrt(square[i]! * squareScale) + EPSILON;
      x[i]! -= (learningRate * mean[i]! * meanScale) / size;
    }
  }
}
