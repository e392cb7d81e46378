import { checkBoolean, checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { CloudTransport, rowsOf } from './cloudSinkhorn.js';
import {
  checkPoints,
  type PointProblem,
  type PointsInput,
  readPoints,
  readPointsAsync,
} from './pointArguments.js';
import { PointResult, type PointSolution } from './pointResult.js';
import type { StreamingSettings } from './streamingSinkhorn.js';
import type { Weights } from './transportArguments.js';

/** Options of {@link sinkhornDivergence}. */
export interface SinkhornDivergenceOptions extends Weights {
  /** Length, in the units of the points, below which details do not count: ε = blur^p. Default 0.05 */
  readonly blur?: number;
  /** Cost |x − y|^p / p, p >= 1. Default 2 */
  readonly p?: number;
  /** Length beyond which mass is rather destroyed and created: ρ = reach^p on both sides. Default none: balanced */
  readonly reach?: number;
  /** Factor in length from one level of ε to the next, 0 < scaling < 1. Default 0.5 */
  readonly scaling?: number;
  /** Subtract the clouds' transport to themselves. Default true */
  readonly debias?: boolean;
  /** Marginal error, in parts of the mass, at which iterations end. Default 1e−6 */
  readonly tolerance?: number;
  /** Most iterations, levels of ε included. Default 2000 */
  readonly maxIterations?: number;
}

/** Result of {@link sinkhornDivergence}. */
export type SinkhornDivergenceResult = PointResult<PointSolution>;

const OPTIONS = ['a', 'b', 'blur', 'p', 'reach', 'scaling', 'debias', 'tolerance', 'maxIterations'];

/**
 * Sinkhorn divergence of two clouds: entropic transport without its bias,
 * `S(x, y) = OT_ε(x, y) − OT_ε(x, x)/2 − OT_ε(y, y)/2`. It is 0 for equal clouds and positive otherwise, and as a loss
 * smoother than the Wasserstein distance.
 *
 * On the host in float64; costs of more than 4 million pairs are not stored, so memory is O((m + n) d) there. Differentiable
 * in points and masses, by the envelope theorem: nothing is unrolled. Conventions are GeomLoss's: the reference measure is
 * a ⊗ b, the cost |x − y|^p / p, and `blur` and `reach` are lengths.
 *
 * @param x - `[…, m, d]`
 * @param y - `[…, n, d]`
 * @returns value `[…]`, gradients and whether all problems converged; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, points that are not finite, negative masses, unequal ones
 *   without `reach`, or an option out of its range; Error where the backend cannot be read synchronously: use
 *   {@link sinkhornDivergenceAsync} there
 * @see Feydy et al. 2019, "Interpolating between optimal transport and MMD using Sinkhorn divergences"; with `reach`:
 *   Séjourné et al. 2019, "Sinkhorn divergences for unbalanced optimal transport"
 * @example
 * optimizer.minimize(() => sinkhornDivergence(points, target, { blur: 0.1 }).value);
 */
export function sinkhornDivergence(
  x: PointsInput,
  y: PointsInput,
  options: SinkhornDivergenceOptions = {},
): SinkhornDivergenceResult {
  check('sinkhornDivergence', options);
  const request = checkPoints('sinkhornDivergence', x, y, options);
  const problems = readPoints(request, { balanced: options.reach === undefined });
  const solutions = problems.map((problem) => solve(problem, options));
  return new PointResult(request, solutions, true);
}

/** {@link sinkhornDivergence} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function sinkhornDivergenceAsync(
  x: PointsInput,
  y: PointsInput,
  options: SinkhornDivergenceOptions = {},
): Promise<SinkhornDivergenceResult> {
  check('sinkhornDivergenceAsync', options);
  const request = checkPoints('sinkhornDivergenceAsync', x, y, options);
  const problems = await readPointsAsync(request, { balanced: options.reach === undefined });
  const solutions = problems.map((problem) => solve(problem, options));
  return new PointResult(request, solutions, false);
}

function check(caller: string, options: SinkhornDivergenceOptions): void {
  checkOptions(caller, options, OPTIONS);
  const { blur, p, reach, scaling, debias, tolerance, maxIterations } = options;
  if (blur !== undefined) checkNumber(caller, 'blur', blur, { above: 0 });
  if (p !== undefined) checkNumber(caller, 'p', p, { min: 1 });
  if (reach !== undefined) checkNumber(caller, 'reach', reach, { above: 0 });
  if (scaling !== undefined) checkNumber(caller, 'scaling', scaling, { above: 0, below: 1 });
  if (debias !== undefined) checkBoolean(caller, 'debias', debias);
  if (tolerance !== undefined) checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  if (maxIterations !== undefined) {
    checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  }
}

function solve(
  { x, y, a, b, m, n, d }: PointProblem,
  {
    blur = 0.05,
    p = 2,
    reach = Infinity,
    scaling = 0.5,
    debias = true,
    tolerance = 1e-6,
    maxIterations = 2000,
  }: SinkhornDivergenceOptions,
): PointSolution {
  const settings: StreamingSettings = {
    epsilon: blur ** p,
    rho: reach ** p,
    tolerance,
    maxIterations,
    scaling: scaling ** p,
    acceleration: reach === Infinity,
  };
  const kind = { power: p, scale: 1 / p };
  const rows = (s: Float64Array, t: Float64Array) => rowsOf(kind, s, t, d, 'auto');
  const cross = new CloudTransport(rows(x, y), a, b, settings);
  const own = (points: Float64Array, masses: Float64Array) =>
    debias ? new CloudTransport(rows(points, points), masses, masses, settings, true) : undefined;
  const [ownX, ownY] = [own(x, a), own(y, b)];
  const sum = (masses: Float64Array) => masses.reduce((total, mass) => total + mass, 0);
  // Destroyed and created mass of the three problems does not cancel by itself (Séjourné et al. 2019, def. 6).
  const surplus = debias ? sum(a) - sum(b) : 0;
  const correction = settings.epsilon * surplus;
  const parts = [cross, ownX, ownY].filter((part) => part !== undefined);
  return {
    value:
      cross.value - 0.5 * ((ownX?.value ?? 0) + (ownY?.value ?? 0)) + 0.5 * correction * surplus,
    iterations: Math.max(...parts.map((part) => part.iterations)),
    converged: parts.every((part) => part.converged),
    marginalError: Math.max(...parts.map((part) => part.error)),
    gradients() {
      const [dx, dy] = [new Float64Array(m * d), new Float64Array(n * d)];
      cross.addPointGradients(1, dx, dy);
      // A cloud is both arguments of its own problem.
      ownX?.addPointGradients(-0.5, dx, dx);
      ownY?.addPointGradients(-0.5, dy, dy);
      const less = (side: 'a' | 'b', by: CloudTransport | undefined, shift: number) => {
        const minus = by?.massGradient('a');
        return cross.massGradient(side).map((value, i) => value - (minus?.[i] ?? 0) + shift);
      };
      return { x: dx, y: dy, a: less('a', ownX, correction), b: less('b', ownY, -correction) };
    },
  };
}
