/** The k-sparse plan behind a router: a fixed number of Adam steps on the semi-dual, on the host in float64. */
import { Selection, simplexThreshold } from './columnSelection.js';

/** A similarity to be spread, and how. */
export interface SparsePlanProblem {
  readonly m: number;
  readonly n: number;
  /** Similarities `m × n` row-major: costs with the opposite sign. */
  readonly similarity: Float64Array;
  /** Mass of every row. */
  readonly a: number;
  /** Mass of every column; at most `k` entries of a column are not 0. */
  readonly b: number;
  readonly k: number;
}

/** How the semi-dual is maximised. */
export interface SparsePlanSettings {
  readonly gamma: number;
  readonly learningRate: number;
  readonly steps: number;
  /** Steps end when the Euclidean norm of the gradient before a step is at most this; the first is always taken. */
  readonly tolerance: number;
}

/** What the steps led to. */
export interface SparsePlan {
  /** `m × n` row-major; columns of mass b with at most k non-zeros, rows only near their mass. */
  readonly plan: Float64Array;
  readonly alpha: Float64Array;
  readonly iterations: number;
  /** Semi-dual before each step. */
  readonly history: Float64Array;
}

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/**
 * Liu, Puigcerver, Blondel 2023, section on mixtures of experts, after the authors' router: α = 0, Adam, few steps; the plan
 * is that of the last α. `max_α ⟨α, a⟩ − Σ_j [⟨s_j, t_j⟩ − (γ/2)‖t_j‖²]` with `s_ij = α_i + similarity_ij`.
 */
export function sparsePlan(
  problem: SparsePlanProblem,
  { gamma, learningRate, steps, tolerance }: SparsePlanSettings,
): SparsePlan {
  const { m, a } = problem;
  const columns = new Columns(problem, gamma);
  const alpha = new Float64Array(m);
  const mean = new Float64Array(m);
  const square = new Float64Array(m);
  const gradient = new Float64Array(m);
  const history: number[] = [];
  for (let step = 1; step <= steps; step++) {
    // −gradient of the semi-dual: T1 − a.
    gradient.fill(-a);
    history.push(columns.evaluate(alpha, gradient));
    let norm = 0;
    for (let i = 0; i < m; i++) {
      const g = gradient[i]!;
      norm += g * g;
      mean[i] = BETA1 * mean[i]! + (1 - BETA1) * g;
      square[i] = BETA2 * square[i]! + (1 - BETA2) * g * g;
      const first = mean[i]! / (1 - BETA1 ** step);
      const second = square[i]! / (1 - BETA2 ** step);
      alpha[i]! -= (learningRate * first) / (Math.sqrt(second) + EPSILON);
    }
    if (Math.sqrt(norm) <= tolerance) break;
  }
  const plan = columns.plan(alpha);
  return { plan, alpha, iterations: history.length, history: Float64Array.from(history) };
}

class Columns {
  private readonly selection: Selection;
  private readonly thresholds: Float64Array;

  constructor(
    private readonly problem: SparsePlanProblem,
    private readonly gamma: number,
  ) {
    this.selection = new Selection(problem.m);
    this.thresholds = new Float64Array(problem.n).fill(Number.NaN);
  }

  /** Value of the semi-dual; adds the plan's row sums to `rowSums`. */
  evaluate(alpha: Float64Array, rowSums: Float64Array): number {
    const { m, n, a } = this.problem;
    const { gamma } = this;
    let value = 0;
    for (let i = 0; i < m; i++) value += alpha[i]! * a;
    for (let j = 0; j < n; j++) {
      this.column(j, alpha, (i, mass, score) => {
        rowSums[i]! += mass;
        value -= score * mass - 0.5 * gamma * mass * mass;
      });
    }
    return value;
  }

  plan(alpha: Float64Array): Float64Array {
    const { m, n } = this.problem;
    const plan = new Float64Array(m * n);
    for (let j = 0; j < n; j++) {
      this.column(j, alpha, (i, mass) => {
        plan[i * n + j] = mass;
      });
    }
    return plan;
  }

  /** Visits the non-zeros of a column. */
  private column(
    j: number,
    alpha: Float64Array,
    visit: (i: number, mass: number, score: number) => void,
  ): void {
    const { m, n, similarity, b, k } = this.problem;
    const { selection, gamma, thresholds } = this;
    for (let i = 0; i < m; i++) {
      selection.values[i] = alpha[i]! + similarity[i * n + j]!;
      selection.rows[i] = i;
    }
    selection.length = m;
    if (k < m) selection.keepLargest(k);
    const threshold = simplexThreshold(
      selection.values,
      selection.length,
      gamma * b,
      thresholds[j]!,
    );
    thresholds[j] = threshold;
    for (let e = 0; e < selection.length; e++) {
      const score = selection.values[e]!;
      if (score > threshold) visit(selection.rows[e]!, (score - threshold) / gamma, score);
    }
  }
}
