/** Entropic barycentre on a fixed support, on the host in float64. */

/** K histograms and the costs from their supports to that of the barycentre. */
export interface BarycenterProblem {
  readonly count: number;
  readonly m: number;
  readonly n: number;
  /** `count × m`, each of sum 1. */
  readonly histograms: Float64Array;
  /** Sums of the histograms before they were normalised, length `count`. */
  readonly totals: Float64Array;
  /** Costs `m × n`, or `count × m × n`. */
  readonly costs: Float64Array;
  /** Length `count`, sum 1. */
  readonly lambda: Float64Array;
  readonly epsilon: number;
}

/** A barycentre and what its derivatives need. */
export interface BarycenterSolution {
  /** Length n, sum 1. */
  readonly weights: Float64Array;
  /** Σ_k λ_k OT_ε(a_k, b), entropy Ω(T) = Σ T (log T − 1): the value that the iteration minimises. */
  readonly objective: number;
  readonly iterations: number;
  readonly converged: boolean;
  /** Σ_k λ_k ‖T_kᵀ1 − b‖₁. */
  readonly error: number;
  /** Potentials, `count × m` and `count × n`: `T_k = exp((f_k ⊕ g_k − C_k)/ε)`. */
  readonly f: Float64Array;
  readonly g: Float64Array;
}

const costOffset = ({ costs, m, n }: BarycenterProblem, k: number): number =>
  costs.length === m * n ? 0 : k * m * n;

/**
 * Iterative Bregman projections in the log domain (Benamou et al. 2015, section 3.2):
 *
 *     f_k ← ε log a_k − ε LSE_j((g_k − C_k)/ε),   h_k = −ε LSE_i((f_k − C_k)/ε),
 *     log b = −Σ λ_k h_k / ε,   g_k ← ε log b + h_k
 */
export function solveBarycenter(
  problem: BarycenterProblem,
  tolerance: number,
  maxIterations: number,
): BarycenterSolution {
  const { count, m, n, histograms, lambda, epsilon } = problem;
  const f = new Float64Array(count * m);
  const g = new Float64Array(count * n);
  const h = new Float64Array(count * n);
  const logB = new Float64Array(n);
  let error = Infinity;
  let iterations = 0;
  while (iterations < maxIterations && error > tolerance) {
    iterations++;
    for (let k = 0; k < count; k++) {
      updateRows(problem, k, f, g);
      updateColumns(problem, k, f, h);
    }
    error = 0;
    for (let j = 0; j < n; j++) {
      let total = 0;
      for (let k = 0; k < count; k++) total -= (lambda[k]! * h[k * n + j]!) / epsilon;
      logB[j] = total;
      const mass = Math.exp(total);
      for (let k = 0; k < count; k++) {
        // Columns of T_k before g moves: exp((g − h)/ε).
        const column = Math.exp((g[k * n + j]! - h[k * n + j]!) / epsilon);
        error += lambda[k]! * Math.abs(column - mass);
        g[k * n + j] = epsilon * total + h[k * n + j]!;
      }
    }
  }
  const sum = logB.reduce((total, value) => total + Math.exp(value), 0);
  const weights = logB.map((value) => Math.exp(value) / sum);
  let objective = -epsilon;
  for (let k = 0; k < count; k++) {
    for (let i = 0; i < m; i++) {
      const mass = histograms[k * m + i]!;
      if (mass > 0) objective += lambda[k]! * mass * f[k * m + i]!;
    }
    for (let j = 0; j < n; j++) {
      if (weights[j]! > 0) objective += lambda[k]! * weights[j]! * g[k * n + j]!;
    }
  }
  return { weights, objective, iterations, converged: error <= tolerance, error, f, g };
}

function updateRows(problem: BarycenterProblem, k: number, f: Float64Array, g: Float64Array): void {
  const { m, n, costs, histograms, epsilon } = problem;
  const offset = costOffset(problem, k);
  for (let i = 0; i < m; i++) {
    const row = offset + i * n;
    let most = -Infinity;
    for (let j = 0; j < n; j++) most = Math.max(most, g[k * n + j]! - costs[row + j]!);
    let total = 0;
    for (let j = 0; j < n; j++) {
      total += Math.exp((g[k * n + j]! - costs[row + j]! - most) / epsilon);
    }
    const mass = histograms[k * m + i]!;
    f[k * m + i] = mass > 0 ? epsilon * Math.log(mass / total) - most : -Infinity;
  }
}

function updateColumns(
  problem: BarycenterProblem,
  k: number,
  f: Float64Array,
  h: Float64Array,
): void {
  const { m, n, costs, epsilon } = problem;
  const offset = costOffset(problem, k);
  const most = new Float64Array(n).fill(-Infinity);
  const total = new Float64Array(n);
  for (let i = 0; i < m; i++) {
    const potential = f[k * m + i]!;
    if (potential === -Infinity) continue;
    const row = offset + i * n;
    for (let j = 0; j < n; j++) most[j] = Math.max(most[j]!, potential - costs[row + j]!);
  }
  for (let i = 0; i < m; i++) {
    const potential = f[k * m + i]!;
    if (potential === -Infinity) continue;
    const row = offset + i * n;
    for (let j = 0; j < n; j++) {
      total[j]! += Math.exp((potential - costs[row + j]! - most[j]!) / epsilon);
    }
  }
  for (let j = 0; j < n; j++) h[k * n + j] = -most[j]! - epsilon * Math.log(total[j]!);
}

/** Derivatives of a function of the barycentre. */
export interface BarycenterGradients {
  /** With respect to the histograms as they were given, `count × m`. */
  readonly histograms: Float64Array;
  /** As the costs of the problem. */
  readonly costs: Float64Array;
}

/** Relative size at which the adjoint iteration is done. */
const ADJOINT_TOLERANCE = 1e-10;

/**
 * Takes a gradient `dWeights` with respect to the barycentre back to histograms and costs: the adjoint of the iteration,
 * linearised at its fixed point, run until it vanishes (derived here; it contracts as the iteration itself does).
 */
export function barycenterGradients(
  problem: BarycenterProblem,
  { weights, g }: BarycenterSolution,
  dWeights: Float64Array,
  maxIterations: number,
): BarycenterGradients {
  const { count, m, n, histograms, costs, lambda, epsilon } = problem;
  const dHistograms = new Float64Array(count * m);
  const dCosts = new Float64Array(costs.length);
  // Weights are normalised: only the part orthogonal to a change of mass counts.
  const mean = weights.reduce((total, mass, j) => total + mass * dWeights[j]!, 0);
  const dLogB = weights.map((mass, j) => mass * (dWeights[j]! - mean));
  const size = (x: Float64Array) => x.reduce((total, value) => total + Math.abs(value), 0);
  const enough = ADJOINT_TOLERANCE * size(dLogB);
  const dG = new Float64Array(count * n);
  const sumF = new Float64Array(count * m);
  const sumH = new Float64Array(count * n);
  const rows = Array.from({ length: count }, (_, k) => normalizedRows(problem, k, g));
  for (let step = 0; step < maxIterations; step++) {
    // g = ε log b + h, and log b = −Σ λ h/ε.
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < count; k++) dLogB[j]! += epsilon * dG[k * n + j]!;
    }
    const dH = dG.map((value, at) => {
      const [k, j] = [Math.floor(at / n), at % n];
      return value - (lambda[k]! * dLogB[j]!) / epsilon;
    });
    dLogB.fill(0);
    dG.fill(0);
    for (let k = 0; k < count; k++) {
      const R = rows[k]!;
      for (let i = 0; i < m; i++) {
        let perMass = 0;
        for (let j = 0; j < n; j++) {
          if (weights[j]! > 0) perMass -= (R[i * n + j]! / weights[j]!) * dH[k * n + j]!;
        }
        dHistograms[k * m + i]! += epsilon * perMass;
        const dF = histograms[k * m + i]! * perMass;
        sumF[k * m + i]! += dF;
        for (let j = 0; j < n; j++) dG[k * n + j]! -= R[i * n + j]! * dF;
      }
      for (let j = 0; j < n; j++) sumH[k * n + j]! += dH[k * n + j]!;
    }
    if (size(dG) * epsilon <= enough) break;
  }
  for (let k = 0; k < count; k++) {
    throughNormalization(
      dHistograms.subarray(k * m, (k + 1) * m),
      histograms.subarray(k * m, (k + 1) * m),
      problem.totals[k]!,
    );
    const offset = costOffset(problem, k);
    const R = rows[k]!;
    for (let i = 0; i < m; i++) {
      const mass = histograms[k * m + i]!;
      for (let j = 0; j < n; j++) {
        if (weights[j] === 0) continue;
        const byColumn = (mass * sumH[k * n + j]!) / weights[j]!;
        dCosts[offset + i * n + j]! += R[i * n + j]! * (sumF[k * m + i]! + byColumn);
      }
    }
  }
  return { histograms: dHistograms, costs: dCosts };
}

/** Gradient with respect to x, given that with respect to `x / Σx`. */
function throughNormalization(gradient: Float64Array, shares: Float64Array, total: number): void {
  const mean = gradient.reduce((sum, value, i) => sum + value * shares[i]!, 0);
  for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i]! - mean) / total;
}

/** Rows of exp((g_k − C_k)/ε), each of sum 1: `T_k` divided by its row sums, defined where those are 0 too. */
function normalizedRows(problem: BarycenterProblem, k: number, g: Float64Array): Float64Array {
  const { m, n, costs, epsilon } = problem;
  const offset = costOffset(problem, k);
  const R = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    const row = R.subarray(i * n, (i + 1) * n);
    let most = -Infinity;
    for (let j = 0; j < n; j++) {
      row[j] = (g[k * n + j]! - costs[offset + i * n + j]!) / epsilon;
      most = Math.max(most, row[j]!);
    }
    let total = 0;
    for (let j = 0; j < n; j++) {
      row[j] = Math.exp(row[j]! - most);
      total += row[j]!;
    }
    for (let j = 0; j < n; j++) row[j]! /= total;
  }
  return R;
}
