/**
 * Limited-memory BFGS with a strong Wolfe line search, float64 on the host: the solver behind the smooth (semi-)duals.
 *
 * Nocedal and Wright 2006, "Numerical Optimization", algorithms 7.4 (two-loop recursion), 7.5, 3.5 and 3.6 (line search,
 * with cubic interpolation); near the minimum, where values are equal to rounding, a step also counts by its derivatives
 * alone ("approximate Wolfe", Hager and Zhang 2005).
 */
import { interpolate } from './cubicInterpolation.js';

/** A smooth function to minimise: returns its value at `x` and writes the gradient. */
export type SmoothFunction = (x: Float64Array, gradient: Float64Array) => number;

/** Options of {@link minimizeLbfgs}. */
export interface LbfgsOptions {
  /** Pairs of steps and gradient changes remembered. Default 10 */
  readonly memory?: number;
  /** Default 500 */
  readonly maxIterations?: number;
  /** Stop once no entry of the gradient exceeds this. Default 0 */
  readonly gradientTolerance?: number;
  /** Stop once a step lowers the value by at most this times max(|value|, 1), SciPy's `ftol`. Default: never */
  readonly functionTolerance?: number;
  /** Length (greatest entry) of the first step tried. Default 1 */
  readonly initialStep?: number;
  /** Stop when this says so, asked at the start and after each iteration. */
  readonly stop?: (x: Float64Array, gradient: Float64Array, value: number) => boolean;
}

/** Why {@link minimizeLbfgs} stopped. */
export type LbfgsStatus =
  | 'stopped'
  | 'gradientTolerance'
  | 'functionTolerance'
  | 'lineSearchFailed'
  | 'maxIterations';

/** What {@link minimizeLbfgs} found. */
export interface LbfgsResult {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
  readonly iterations: number;
  /** Evaluations of the function. */
  readonly evaluations: number;
  readonly status: LbfgsStatus;
}

/** Wolfe's constants: sufficient decrease and curvature. */
const DECREASE = 1e-4;
const CURVATURE = 0.9;
/** Values this close, relatively, differ by rounding. */
const ROUNDING = 1e-14;
const MAX_TRIALS = 40;

interface Point {
  readonly step: number;
  readonly value: number;
  /** Derivative along the direction. */
  readonly slope: number;
}

/**
 * Minimises a smooth function.
 * @param start - not modified
 */
export function minimizeLbfgs(
  f: SmoothFunction,
  start: Float64Array,
  options: LbfgsOptions = {},
): LbfgsResult {
  const { memory = 10, maxIterations = 500, gradientTolerance = 0, initialStep = 1 } = options;
  const { functionTolerance = -Infinity, stop = () => false } = options;
  const size = start.length;
  let x: Float64Array = start.slice();
  let g: Float64Array = new Float64Array(size);
  let nextX: Float64Array = new Float64Array(size);
  let nextG: Float64Array = new Float64Array(size);
  let value = f(x, g);
  let evaluations = 1;
  const history = new History(size, memory);
  const direction = new Float64Array(size);

  /** Evaluates at x + step · direction, into nextX and nextG. */
  const probe = (step: number): Point => {
    for (let i = 0; i < size; i++) nextX[i] = x[i]! + step * direction[i]!;
    evaluations++;
    const next = f(nextX, nextG);
    return { step, value: next, slope: dot(nextG, direction) };
  };

  const finish = (status: LbfgsStatus, iterations: number): LbfgsResult => ({
    x,
    value,
    gradient: g,
    iterations,
    evaluations,
    status,
  });

  for (let iteration = 0; ; iteration++) {
    if (stop(x, g, value)) return finish('stopped', iteration);
    if (largest(g) <= gradientTolerance) return finish('gradientTolerance', iteration);
    if (iteration >= maxIterations) return finish('maxIterations', iteration);
    let accepted: Point | undefined;
    while (!accepted) {
      const fresh = history.length === 0;
      history.descend(g, direction);
      const slope = dot(g, direction);
      if (!(slope < 0)) {
        if (fresh) return finish('lineSearchFailed', iteration);
        history.clear();
        continue;
      }
      const first = fresh ? initialStep / largest(g) : 1;
      accepted = strongWolfe(probe, { step: 0, value, slope }, first);
      // A direction from stale curvature, or a kink: start afresh once from the gradient.
      if (!accepted && fresh) return finish('lineSearchFailed', iteration);
      if (!accepted) history.clear();
    }
    history.add(x, nextX, g, nextG);
    const decrease = value - accepted.value;
    const scale = Math.max(Math.abs(value), Math.abs(accepted.value), 1);
    value = accepted.value;
    [x, nextX] = [nextX, x];
    [g, nextG] = [nextG, g];
    if (decrease <= functionTolerance * scale) {
      return finish(stop(x, g, value) ? 'stopped' : 'functionTolerance', iteration + 1);
    }
  }
}

/** The last pairs (s, y) of steps and gradient changes, and −H g by the two-loop recursion. */
class History {
  private readonly pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  private readonly weights: Float64Array;

  constructor(
    private readonly size: number,
    private readonly memory: number,
  ) {
    this.weights = new Float64Array(memory);
  }

  get length(): number {
    return this.pairs.length;
  }

  clear(): void {
    this.pairs.length = 0;
  }

  add(x: Float64Array, nextX: Float64Array, g: Float64Array, nextG: Float64Array): void {
    const full = this.pairs.length === this.memory;
    const pair = full
      ? this.pairs.shift()!
      : { s: new Float64Array(this.size), y: new Float64Array(this.size), rho: 0 };
    const { s, y } = pair;
    for (let i = 0; i < this.size; i++) {
      s[i] = nextX[i]! - x[i]!;
      y[i] = nextG[i]! - g[i]!;
    }
    const curvature = dot(s, y);
    // Curvature that is rounding, or none: the pair would spoil the metric.
    if (!(curvature > 2 ** -52 * Math.abs(dot(s, g)))) return;
    pair.rho = 1 / curvature;
    this.pairs.push(pair);
  }

  /** direction ← −H g. */
  descend(g: Float64Array, direction: Float64Array): void {
    const { pairs, weights, size } = this;
    for (let i = 0; i < size; i++) direction[i] = -g[i]!;
    const last = pairs[pairs.length - 1];
    if (!last) return;
    for (let p = pairs.length - 1; p >= 0; p--) {
      const { s, y, rho } = pairs[p]!;
      const weight = rho * dot(s, direction);
      weights[p] = weight;
      for (let i = 0; i < size; i++) direction[i]! -= weight * y[i]!;
    }
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < size; i++) direction[i]! *= scale;
    for (let p = 0; p < pairs.length; p++) {
      const { s, y, rho } = pairs[p]!;
      const weight = weights[p]! - rho * dot(y, direction);
      for (let i = 0; i < size; i++) direction[i]! += weight * s[i]!;
    }
  }
}

/** A step that meets the strong Wolfe conditions, the last one probed; undefined where there is none. */
function strongWolfe(
  probe: (step: number) => Point,
  origin: Point,
  first: number,
): Point | undefined {
  const slack = ROUNDING * Math.abs(origin.value);
  const flatEnough = (p: Point) => Math.abs(p.slope) <= -CURVATURE * origin.slope;
  const decreases = (p: Point) =>
    p.value <= origin.value + DECREASE * p.step * origin.slope ||
    (p.value <= origin.value + slack && p.slope <= (2 * DECREASE - 1) * origin.slope);

  let low = origin;
  let high: Point | undefined;
  let step = first;
  for (let trial = 0; trial < MAX_TRIALS; trial++) {
    const p = probe(step);
    if (!Number.isFinite(p.value)) {
      high = { step, value: Infinity, slope: Number.NaN };
    } else if (!decreases(p) || p.value > low.value + slack) {
      high = p;
    } else if (flatEnough(p)) {
      return p;
    } else if (p.slope >= 0 || (high !== undefined && p.slope * (high.step - low.step) >= 0)) {
      if (high === undefined || p.slope * (high.step - low.step) >= 0) high = low;
      low = p;
    } else {
      low = p;
    }
    if (high === undefined) {
      step = p.step * 4;
      continue;
    }
    const width = Math.abs(high.step - low.step);
    if (width <= 1e-16 * Math.max(low.step, high.step) || width === 0) break;
    step = interpolate(low, high);
  }
  // Out of trials: progress counts even where the curvature condition could not be met.
  if (low.step > 0 && low.value < origin.value) return probe(low.step);
  return undefined;
}

function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]! * y[i]!;
  return total;
}

function largest(x: Float64Array): number {
  let most = 0;
  for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(x[i]!));
  return most;
}
