import { checkNumber } from '@orth/backend';

/** A value, or a promise of it: what reads from a device may need to wait. */
export type MaybePromise<T> = T | Promise<T>;

/** Value and gradient of the upper-level function. */
export interface UpperValue {
  readonly value: number;
  /** ∇g(x), as long as x. */
  readonly gradient: Float64Array;
}

/** What the guarantees rest on; letters are those of the paper. */
export interface BilevelConstants {
  /** μ(θ) > 0: `h(·, θ)` is μ-strongly convex. A number, or a function of θ. */
  readonly strongConvexity: number | ((theta: Float64Array) => number);
  /** L(θ) ≥ μ(θ): `∇_x h(·, θ)` is L-Lipschitz. A number, or a function of θ. */
  readonly smoothness: number | ((theta: Float64Array) => number);
  /** L_g ≥ 0: ∇g is L_g-Lipschitz. */
  readonly upperSmoothness: number;
  /** Whether g is convex, which makes the line search's bounds tighter. Default false */
  readonly upperConvex?: boolean;
  /** Lipschitz constant in x of the inverse Hessian `H(x, θ)⁻¹`; 0 where h is quadratic in x. Needed for the error bound. */
  readonly inverseHessianLipschitz?: number | ((theta: Float64Array) => number);
  /** Lipschitz constant in x of `J(x, θ) = ∂_θ ∇_x h`. Needed for the error bound. */
  readonly crossLipschitz?: number | ((theta: Float64Array) => number);
  /** `‖J(x, θ)‖`, or an upper bound of it. Needed for the error bound; `estimateCrossNorm` helps. */
  readonly crossNorm?: number | ((x: Float64Array, theta: Float64Array) => number);
}

/**
 * A bilevel problem `min_θ g(x̂(θ))`, `x̂(θ) = argmin_x h(x, θ)`, by its derivatives. Vectors are flat and float64 on the
 * host; `tensorProblem` makes one from TensorFlow.js functions.
 */
export interface BilevelProblem extends BilevelConstants {
  /** Length of x. */
  readonly xSize: number;
  /** Length of θ. */
  readonly thetaSize: number;
  /** What the functions compute in: sets the accuracy below which nothing is asked of them. Default `'float64'` */
  readonly precision?: 'float32' | 'float64';
  /** ∇_x h(x, θ). */
  lowerGradient(x: Float64Array, theta: Float64Array): MaybePromise<Float64Array>;
  /** g(x) and ∇g(x). */
  upper(x: Float64Array): MaybePromise<UpperValue>;
  /** H v with `H = ∇²_xx h(x, θ)`. */
  hessianProduct(x: Float64Array, theta: Float64Array, v: Float64Array): MaybePromise<Float64Array>;
  /** Jᵀ v with `J = ∂_θ ∇_x h(x, θ)`: a vector as long as θ. */
  crossProduct(x: Float64Array, theta: Float64Array, v: Float64Array): MaybePromise<Float64Array>;
}

/** Values of a problem's constants at one θ. */
export interface ConstantsAt {
  readonly mu: number;
  readonly L: number;
}

const METHODS = ['lowerGradient', 'upper', 'hessianProduct', 'crossProduct'] as const;

/** Checks a problem's kind and its constants as far as they are numbers. */
export function checkProblem(caller: string, problem: BilevelProblem): void {
  if (typeof problem !== 'object' || problem === null) {
    throw new TypeError(`${caller}: problem must be a BilevelProblem, got ${String(problem)}`);
  }
  for (const method of METHODS) {
    if (typeof problem[method] === 'function') continue;
    throw new TypeError(
      `${caller}: problem.${method} must be a function, got ${typeof problem[method]}`,
    );
  }
  for (const size of ['xSize', 'thetaSize'] as const) {
    if (Number.isSafeInteger(problem[size]) && problem[size] > 0) continue;
    throw new RangeError(
      `${caller}: problem.${size} must be an integer >= 1, got ${String(problem[size])}`,
    );
  }
  checkConstants(caller, problem);
}

/** Checks constants that are given as numbers, before anything is computed. */
export function checkConstants(caller: string, constants: BilevelConstants): void {
  const { strongConvexity: mu, smoothness: L, upperSmoothness } = constants;
  if (typeof mu !== 'function') checkNumber(caller, 'strongConvexity', mu, { above: 0 });
  if (typeof L !== 'function') {
    checkNumber(caller, 'smoothness', L, typeof mu === 'number' ? { min: mu } : { above: 0 });
  }
  checkNumber(caller, 'upperSmoothness', upperSmoothness, { min: 0 });
  for (const name of ['inverseHessianLipschitz', 'crossLipschitz', 'crossNorm'] as const) {
    const value = constants[name];
    if (value !== undefined && typeof value !== 'function') {
      checkNumber(caller, name, value, { min: 0 });
    }
  }
}

/**
 * μ and L at θ.
 * @throws RangeError if μ(θ) ≤ 0, L(θ) < μ(θ), or either is not finite
 */
export function constantsAt(
  caller: string,
  { strongConvexity, smoothness }: BilevelConstants,
  theta: Float64Array,
): ConstantsAt {
  const mu = typeof strongConvexity === 'function' ? strongConvexity(theta) : strongConvexity;
  const L = typeof smoothness === 'function' ? smoothness(theta) : smoothness;
  checkNumber(caller, 'strongConvexity at theta', mu, { above: 0 });
  checkNumber(caller, 'smoothness at theta', L, { min: mu });
  return { mu, L };
}

/** Whether everything that the error bound needs is known. */
export function hasBoundConstants(constants: BilevelConstants): boolean {
  return (
    constants.inverseHessianLipschitz !== undefined &&
    constants.crossLipschitz !== undefined &&
    constants.crossNorm !== undefined
  );
}
