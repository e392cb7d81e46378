/**
 * The solver behind `sparseTransport` and `quadraticTransport`: maximises the dual or semi-dual of one problem.
 *
 * Liu, Puigcerver, Blondel 2023, arXiv 2209.15466 (sparsity-constrained transport); Blondel, Seguy, Rolet 2018,
 * arXiv 1710.06276 (quadratic transport: no constraint). The continuation in k and the averaging are derived here.
 */
import { minimizeAdam } from './adam.js';
import { averagePlan } from './averagePlan.js';
import { ColumnEvaluator } from './columnEvaluator.js';
import { type CompactProblem, compact, expandPotentials } from './compactProblem.js';
import { DualObjective } from './dualObjective.js';
import type { InitialPotentials } from './initialPotentials.js';
import { minimizeLbfgs } from './lbfgs.js';
import { dualValue, measure, nonzerosPerColumn, planOf } from './planMeasures.js';
import type { TransportProblem } from './transportArguments.js';
import type { TransportSolution } from './transportResult.js';

/** Options of the solver, complete. */
export interface RegularizedSettings {
  readonly k: number;
  readonly gamma: number;
  readonly relativeGamma: boolean;
  readonly formulation: 'semiDual' | 'dual';
  readonly solver: 'lbfgs' | 'adam';
  readonly tolerance: number;
  readonly functionTolerance: number;
  readonly maxIterations: number;
  readonly memory: number;
  readonly learningRate: number;
  readonly start: 'continuation' | 'zeros';
  readonly recover: 'last' | 'average';
  readonly averagingSteps: number;
  readonly allowInfeasible: boolean;
}

/** Solution of one k-sparse or quadratic problem. */
export interface SparseSolution extends TransportSolution {
  /** Non-zeros of each column, length n. */
  readonly nonzerosPerColumn: Int32Array;
  /**
   * Least difference of the k-th and the next score among columns with k non-zeros: where it is 0 several plans have the
   * same potentials. `Infinity` where no column has k.
   */
  readonly tieMargin: number;
  /** Whether the plan is proven optimal: marginals to the tolerance, and primal = dual to 1e−5·(1 + |dual|). */
  readonly certified: boolean;
  /** Regularisation used, for `relativeGamma`. */
  readonly gamma: number;
}

/** The k-sparse stages before the last may stop here: they only say where to start. */
const STAGE_TOLERANCE = 1e-6;
const CERTIFIED_GAP = 1e-5;
/** Rounding may cost columns this part of the mass: γ against the costs is then at 1e−10 or below. */
const COLUMN_SLACK = 1e-6;
/** Iterations in which the objective must rise by this part, or the marginals' error fall to this part. */
const [STALL_WINDOW, STALL_GAIN, STALL_DROP] = [200, 1e-7, 0.9];
/** First step, in parts of the range of the costs. */
const FIRST_STEP = 0.1;
/** First step of the averaging, in steps of that length per mass. */
const AVERAGING_STEP = 1;

/** Solves one problem. */
export function solveRegularized(
  problem: TransportProblem,
  settings: RegularizedSettings,
  init: InitialPotentials | undefined,
): SparseSolution {
  const compacted = compact(problem);
  const { m, n } = compacted;
  const { low, high, mean } = costRange(compacted.columns);
  const scale = settings.relativeGamma ? (mean * m * n) / compacted.mass : 1;
  const gamma = settings.gamma * (scale > 0 ? scale : 1);
  const k = Math.min(settings.k, m);
  const dual = settings.formulation === 'dual';
  let x = initialPoint(compacted, init, dual);
  const step = FIRST_STEP * (high - low) || gamma / n || 1;

  let iterations = 0;
  let outcome = { met: false, reason: '' };
  for (const stage of stagesOf(settings, k, m, init !== undefined)) {
    const last = stage === k;
    const tolerance = last ? settings.tolerance : Math.max(settings.tolerance, STAGE_TOLERANCE);
    const objective = new DualObjective(compacted, gamma, stage, dual);
    const run = maximize(objective, x, settings, tolerance * compacted.mass, step);
    x = run.x;
    iterations += run.iterations;
    outcome = run;
  }
  const alpha = x.slice(0, m);
  const theta = dual ? x.slice(m).map((beta) => -beta) : new Float64Array(n).fill(Number.NaN);

  const evaluator = new ColumnEvaluator(compacted, gamma, k);
  const { plan, tieMargin } = planOf(evaluator, compacted, alpha, theta, !dual);
  const beta = theta.map((value) => -value);
  const value = dualValue(compacted, gamma, plan, alpha, beta);
  const recovered =
    settings.recover === 'average'
      ? averagePlan(evaluator, compacted, alpha, settings.averagingSteps, AVERAGING_STEP * step)
      : plan;
  const measures = measure(compacted, gamma, recovered);
  const gap = measures.primal - value;
  const { mass } = compacted;
  const tolerance = settings.tolerance * mass;
  const marginals = measures.rows + (dual ? measures.columns : 0);
  // The semi-dual's columns are exact but for rounding: where they are not, nothing else that was computed is right.
  const rounded = !dual && measures.columns > Math.max(settings.tolerance, COLUMN_SLACK) * mass;
  const met = outcome.met && settings.recover !== 'average';
  const converged = !rounded && (met || marginals <= tolerance);
  return {
    objective: value,
    transportCost: measures.transportCost,
    ...expandPotentials(compacted, alpha, beta),
    iterations,
    converged,
    reason: rounded ? 'gamma too small beside the costs for float64' : outcome.reason,
    residuals: { rows: measures.rows, columns: measures.columns, gap },
    nonzerosPerColumn: nonzerosPerColumn(problem.n, recovered),
    tieMargin,
    certified: marginals <= tolerance && Math.abs(gap) <= CERTIFIED_GAP * (1 + Math.abs(value)),
    gamma,
    entries: () => recovered,
  };
}

/** The k of each stage: smooth problems first, since the semi-dual for small k has kinks to get stuck at. */
function stagesOf(
  { start }: RegularizedSettings,
  k: number,
  m: number,
  warm: boolean,
): readonly number[] {
  if (k === m || start === 'zeros' || warm) return [k];
  return [m, 4 * k, 2 * k].filter((stage, i) => i === 0 || stage < m).concat(k);
}

function initialPoint(
  { m, n, rowIndex, columnIndex, columns }: CompactProblem,
  init: InitialPotentials | undefined,
  dual: boolean,
): Float64Array {
  const x = new Float64Array(dual ? m + n : m);
  const { alpha, beta } = init ?? {};
  if (alpha) {
    for (let i = 0; i < m; i++) x[i] = alpha[rowIndex[i]!]!;
  } else if (beta) {
    // The greatest α that is feasible for this β without regularisation.
    for (let i = 0; i < m; i++) {
      let least = Infinity;
      for (let j = 0; j < n; j++) {
        least = Math.min(least, columns[j * m + i]! - beta[columnIndex[j]!]!);
      }
      x[i] = least;
    }
  }
  if (!dual) return x;
  for (let j = 0; j < n; j++) {
    if (beta) {
      x[m + j] = beta[columnIndex[j]!]!;
    } else if (alpha) {
      let least = Infinity;
      for (let i = 0; i < m; i++) least = Math.min(least, columns[j * m + i]! - x[i]!);
      x[m + j] = least;
    }
  }
  return x;
}

interface Run {
  readonly x: Float64Array;
  readonly iterations: number;
  readonly met: boolean;
  readonly reason: string;
}

function maximize(
  objective: DualObjective,
  start: Float64Array,
  { solver, maxIterations, functionTolerance, memory, learningRate }: RegularizedSettings,
  tolerance: number,
  initialStep: number,
): Run {
  const small = (gradient: Float64Array) =>
    gradient.reduce((total, g) => total + Math.abs(g), 0) <= tolerance;
  if (solver === 'adam') {
    const options = { learningRate, maxIterations, stop: small };
    const { x, iterations, stopped } = minimizeAdam(objective.evaluate, start, options);
    const reason = stopped ? 'marginals within the tolerance' : 'maxIterations reached';
    return { x, iterations, met: stopped, reason };
  }
  const stall = new StallDetector();
  const { x, iterations, status } = minimizeLbfgs(objective.evaluate, start, {
    memory,
    maxIterations,
    functionTolerance,
    initialStep,
    stop: (_, gradient, value) => small(gradient) || stall.see(value, objective.marginalError),
  });
  if (stall.found) {
    const reason = `no progress in ${STALL_WINDOW} iterations: a tie at the k-th place, or rounding`;
    return { x, iterations, met: false, reason };
  }
  const reasons = {
    stopped: 'marginals within the tolerance',
    gradientTolerance: 'marginals within the tolerance',
    functionTolerance: 'objective no longer rose by functionTolerance',
    lineSearchFailed: 'no further increase of the objective: rounding, or a tie at the k-th place',
    maxIterations: 'maxIterations reached',
  };
  const met =
    status === 'stopped' || status === 'gradientTolerance' || status === 'functionTolerance';
  return { x, iterations, met, reason: reasons[status] };
}

/** Whether neither the objective rises nor the marginals come nearer any more, which is how kinks end an ascent. */
class StallDetector {
  found = false;
  private seen = 0;
  private value = Infinity;
  private bestValue = Infinity;
  private error = Infinity;
  private bestError = Infinity;

  see(value: number, error: number): boolean {
    this.bestValue = Math.min(this.bestValue, value);
    this.bestError = Math.min(this.bestError, error);
    if (this.seen++ % STALL_WINDOW !== 0) return false;
    const gain = this.value - this.bestValue;
    this.found =
      gain <= STALL_GAIN * Math.abs(this.bestValue) && this.bestError > STALL_DROP * this.error;
    this.value = this.bestValue;
    this.error = this.bestError;
    return this.found;
  }
}

/** Least, greatest and mean of the finite costs. */
function costRange(costs: Float64Array): { low: number; high: number; mean: number } {
  let [low, high, total, count] = [Infinity, -Infinity, 0, 0];
  for (let i = 0; i < costs.length; i++) {
    const c = costs[i]!;
    if (c === Infinity) continue;
    if (c < low) low = c;
    if (c > high) high = c;
    total += c;
    count++;
  }
  return { low, high, mean: total / count };
}
