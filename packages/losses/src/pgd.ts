import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  type Random,
  seededRandom,
} from '@orth/backend';
import {
  add,
  clipByValue,
  div,
  grad,
  maximum,
  minimum,
  mul,
  reshape,
  sign,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/** Where a search may go and how. */
export interface PgdOptions {
  /** Radius γ of the ball around the inputs, > 0. No default */
  readonly radius: number;
  /** Length of a step, > 0. Default: a quarter of the radius */
  readonly stepSize?: number;
  /** Number of steps, integer >= 1. Default 10 */
  readonly steps?: number;
  /** Norm of the ball: the largest entry, or the Euclidean norm of each example. Default `'linf'` */
  readonly norm?: 'linf' | 'l2';
  /** Box that inputs live in, `[low, high]`; null for none. Default `[0, 1]` */
  readonly clip?: readonly [number, number] | null;
  /**
   * Where the search starts: `'gaussian'` at the inputs plus 0.001 · N(0, 1), as TRADES does; `'uniform'` anywhere in the
   * ball; `'none'` at the inputs, where {@link marginDeltaNorm} has no gradient. Default `'gaussian'`
   */
  readonly init?: 'gaussian' | 'uniform' | 'none';
  /** A start instead of `init`, of the shape of the inputs; it is brought into the ball and the box first. */
  readonly start?: Tensor;
  /** Seed of the start, integer. Default 0 */
  readonly seed?: number;
  /** A source that starts are drawn from instead of one with `seed`: give it where many searches follow each other. */
  readonly random?: Random;
}

/** Names of {@link PgdOptions}. */
export const PGD_OPTIONS: readonly (keyof PgdOptions)[] = [
  'radius',
  'stepSize',
  'steps',
  'norm',
  'clip',
  'init',
  'start',
  'seed',
  'random',
];

/** Size of TRADES' Gaussian start. */
const GAUSSIAN_START = 1e-3;

type Resolved = Required<Omit<PgdOptions, 'start' | 'seed' | 'random'>>;

/**
 * Checks the options of {@link pgd} without running it, for inputs of `shape`.
 * @throws TypeError for an unknown option; RangeError for a value out of range
 */
export function resolvePgd(
  caller: string,
  options: PgdOptions,
  shape: readonly number[],
): Resolved {
  checkOptions(caller, options, PGD_OPTIONS);
  const { radius, stepSize = radius / 4, steps = 10, norm = 'linf' } = options;
  const { clip = [0, 1], init = 'gaussian', start, seed, random } = options;
  checkNumber(caller, 'radius', radius, { above: 0 });
  checkNumber(caller, 'stepSize', stepSize, { above: 0 });
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkOneOf(caller, 'norm', norm, ['linf', 'l2']);
  checkOneOf(caller, 'init', init, ['gaussian', 'uniform', 'none']);
  if (clip !== null) {
    if (!Array.isArray(clip) || clip.length !== 2) {
      throw new TypeError(`${caller}: clip must be [low, high] or null, got ${String(clip)}`);
    }
    checkNumber(caller, 'clip[0]', clip[0]);
    checkNumber(caller, 'clip[1]', clip[1], { above: clip[0] });
  }
  if (start !== undefined) checkTensor(caller, 'start', start, { shape });
  if (seed !== undefined) checkInteger(caller, 'seed', seed);
  if (seed !== undefined && random !== undefined) {
    throw new TypeError(`${caller}: seed must not be given together with random`);
  }
  return { radius, stepSize, steps, norm, clip, init };
}

/**
 * Projected gradient ascent: inputs near `x` at which an objective is large.
 *
 * `'linf'`: `x′ ← clip(x′ + stepSize · sign(∇))`; `'l2'`: `x′ ← x′ + stepSize · ∇ / ‖∇‖` for each example, scaled back to
 * the ball. Both end each step in the ball and in the box. Nothing but the result is kept, and no gradient flows through
 * it.
 *
 * @param objective - of perturbed inputs, such as `(z) => marginDeltaNorm(model(z), clean, labels)`: a scalar, or one
 *   number an example, whose sum is ascended. What it makes is disposed
 * @param x - inputs, shape `[B, …]`, float32, in the box
 * @param options - see {@link PgdOptions}
 * @returns shape `[B, …]`
 * @throws TypeError for an unknown option; RangeError for an empty batch or a value out of range
 * @example
 * const worst = pgd((z) => crossEntropyLoss(model(z), labels), x, { radius: 0.1, seed: 1 });
 * @see Madry et al. 2018, arXiv 1706.06083
 */
export function pgd(objective: (x: Tensor) => Tensor, x: Tensor, options: PgdOptions): Tensor {
  const caller = 'pgd';
  if (typeof objective !== 'function') {
    throw new TypeError(`${caller}: objective must be a function, got ${typeof objective}`);
  }
  checkTensor(caller, 'x', x, { minRank: 1 });
  const resolved = resolvePgd(caller, options, x.shape);
  const random = options.random ?? seededRandom(options.seed ?? 0);
  const slope = grad((z: Tensor) => sum(objective(z)));
  return tidy(() => {
    const project = projection(x, resolved);
    let z = project(options.start ?? startOf(x, resolved, random));
    for (let step = 0; step < resolved.steps; step++) {
      // A scope a step, or the gradients of all would be alive at the end.
      const next = tidy(() => project(ascend(z, slope(z), resolved)));
      z.dispose();
      z = next;
    }
    return z;
  });
}

function ascend(z: Tensor, g: Tensor, { norm, stepSize }: Resolved): Tensor {
  if (norm === 'linf') return add(z, mul(sign(g), stepSize));
  return add(z, mul(div(g, add(lengths(g), 1e-12)), stepSize));
}

/** Euclidean norms of examples, shape `[B, 1, …]`. */
function lengths(x: Tensor): Tensor {
  const B = x.shape[0]!;
  const norms = sqrt(sum(square(reshape(x, [B, x.size / B])), 1));
  return reshape(norms, [B, ...x.shape.slice(1).map(() => 1)]);
}

/** Into the ball around x, then into the box; gives a new tensor always. */
function projection(x: Tensor, { norm, radius, clip }: Resolved): (z: Tensor) => Tensor {
  const intoBox = (z: Tensor) => (clip === null ? z : clipByValue(z, clip[0], clip[1]));
  if (norm === 'linf') {
    const [low, high] = [sub(x, radius), add(x, radius)];
    return (z) => tidy(() => intoBox(maximum(minimum(z, high), low)));
  }
  return (z) =>
    tidy(() => {
      const step = sub(z, x);
      const scale = minimum(1, div(radius, add(lengths(step), 1e-30)));
      return intoBox(add(x, mul(step, scale)));
    });
}

/** Not projected yet. */
function startOf(x: Tensor, { init, norm, radius }: Resolved, random: Random): Tensor {
  if (init === 'none') return x;
  if (init === 'gaussian') return add(x, random.normalTensor(x.shape, 0, GAUSSIAN_START));
  if (norm === 'linf') return add(x, random.uniformTensor(x.shape, -radius, radius));
  const direction = random.normalTensor(x.shape);
  const B = x.shape[0]!;
  const size = x.size / B;
  // The share of a ball's volume within r grows like r^size.
  const radii = Float32Array.from({ length: B }, () => radius * random.uniform() ** (1 / size));
  const scale = div(tensor(radii, [B, ...x.shape.slice(1).map(() => 1)]), lengths(direction));
  return add(x, mul(direction, scale));
}
