/** What solvers return: the plan on request, dense or sparse, its value with gradients, and an honest report. */
import { customGrad, mul, reshape, sum, Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import type { TransportRequest, Weights, WeightsInput } from './transportArguments.js';
import { checkTransport } from './transportArguments.js';

/** The non-zeros of a plan on the host, ordered by column and then row, or by row and then column. */
export interface PlanEntries {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly values: Float64Array;
}

/** How far a plan is from what was asked. */
export interface TransportResiduals {
  /** ‖T1 − a‖₁. */
  readonly rows: number;
  /** ‖Tᵀ1 − b‖₁. */
  readonly columns: number;
  /** Primal value of the plan less dual value of the potentials; 0 at the optimum up to rounding. */
  readonly gap: number;
}

/** The solution of one problem, on the host in float64. Solvers extend it by what is theirs alone. */
export interface TransportSolution {
  /** Value of the objective: that of the potentials (dual) for regularised problems. */
  readonly objective: number;
  /** ⟨T, C⟩. */
  readonly transportCost: number;
  /** Potential of the rows, length m. Determined up to a constant, which `beta` has with the opposite sign. */
  readonly alpha: Float64Array;
  /** Potential of the columns, length n. */
  readonly beta: Float64Array;
  /** Iterations of the solver. */
  readonly iterations: number;
  /** Whether the stopping rule was met. A plan that did not converge says so here. */
  readonly converged: boolean;
  readonly residuals: TransportResiduals;
  /** Why the solver stopped, in a few words. */
  readonly reason: string;
  /** Non-zeros of the plan, computed when asked for. */
  entries(): PlanEntries;
  /** Adds the plan to a dense row-major `m × n` array of zeros; default: from {@link entries}. */
  writePlan?(into: Float32Array | Float64Array): void;
  /** Derivative of the objective with respect to `a`, where that is not `alpha`. */
  readonly gradientA?: Float64Array;
  /** Derivative of the objective with respect to `b`, where that is not `beta`. */
  readonly gradientB?: Float64Array;
}

/** A sparse plan as tensors; the caller disposes both. */
export interface SparsePlan {
  /** `[count, rank]` int32: (row, column), for a batch (…batch, row, column). */
  readonly indices: Tensor;
  /** `[count]` float32. */
  readonly values: Tensor;
  /** Shape of the dense plan, `[…, m, n]`. */
  readonly shape: number[];
}

/** Writes the plan of one solution into a dense row-major array of zeros. */
function writePlan(
  solution: TransportSolution,
  n: number,
  into: Float32Array | Float64Array,
): void {
  if (solution.writePlan) {
    solution.writePlan(into);
    return;
  }
  const { rows, columns, values } = solution.entries();
  for (let e = 0; e < values.length; e++) into[rows[e]! * n + columns[e]!]! += values[e]!;
}

/**
 * Result of a solver, for one problem or a batch.
 *
 * Numbers (`objective`, `iterations`, …) are sums or worst cases over the batch; `solutions` has them problem by problem.
 * The only tensor it holds is `value`; what `plan()`, `sparsePlan()`, `potentials()` and `marginals()` make is the caller's.
 */
export class TransportResult<Solution extends TransportSolution = TransportSolution> {
  /** Solutions on the host in float64, one a problem, in the order of the batch. */
  readonly solutions: readonly Solution[];
  /** Shape of the plan, `[…, m, n]`. */
  readonly shape: readonly number[];
  /**
   * Objective as a tensor, shape `[…]` (a scalar for a single problem), float32. Differentiable in the tensors that were
   * passed as cost, `a` and `b` (not from the `…Async` functions: use {@link attach} there): by the envelope theorem the
   * gradients are the plan, `alpha` and `beta`, and nothing is unrolled. Disposed by {@link dispose}.
   */
  readonly value: Tensor;
  private readonly request: TransportRequest;

  /**
   * For authors of solvers.
   * @param request - what was solved
   * @param solutions - one a problem
   * @param differentiable - whether `value` is on the tape of the request's tensors: false after an `await`
   * @param value - the tensor to use as `value`, where the gradient is not that with respect to cost, a and b
   */
  constructor(
    request: TransportRequest,
    solutions: readonly Solution[],
    differentiable: boolean,
    value?: Tensor,
  ) {
    this.request = request;
    this.solutions = solutions;
    this.shape = [...request.batchShape, request.m, request.n];
    if (value) this.value = value;
    else if (differentiable) this.value = this.attachTo(request.cost, request.weights);
    else this.value = this.plainValue();
  }

  /** Objective, summed over the batch. */
  get objective(): number {
    return this.solutions.reduce((total, { objective }) => total + objective, 0);
  }

  /** ⟨T, C⟩, summed over the batch. */
  get transportCost(): number {
    return this.solutions.reduce((total, { transportCost }) => total + transportCost, 0);
  }

  /** Whether every problem met its stopping rule. */
  get converged(): boolean {
    return this.solutions.every(({ converged }) => converged);
  }

  /** Why the solver stopped: at the first problem that did not converge, else at the first. */
  get reason(): string {
    return (this.solutions.find(({ converged }) => !converged) ?? this.solutions[0])!.reason;
  }

  /** Most iterations of any problem. */
  get iterations(): number {
    return this.solutions.reduce((most, { iterations }) => Math.max(most, iterations), 0);
  }

  /** Worst residuals of any problem. */
  get residuals(): TransportResiduals {
    const worst = (pick: (r: TransportResiduals) => number) =>
      this.solutions.reduce((most, { residuals }) => Math.max(most, pick(residuals)), 0);
    return {
      rows: worst(({ rows }) => rows),
      columns: worst(({ columns }) => columns),
      gap: worst(({ gap }) => Math.abs(gap)),
    };
  }

  /** ‖T1 − a‖₁ + ‖Tᵀ1 − b‖₁, the worst of the batch. */
  get marginalError(): number {
    return this.solutions.reduce(
      (most, { residuals }) => Math.max(most, residuals.rows + residuals.columns),
      0,
    );
  }

  /**
   * Potentials on the host in float64, batch after batch, in the form that the option `init` takes: a warm start for the
   * next, similar problem.
   */
  get duals(): { alpha: Float64Array; beta: Float64Array } {
    return {
      alpha: this.joined(({ alpha }) => alpha, this.request.m),
      beta: this.joined(({ beta }) => beta, this.request.n),
    };
  }

  /** The plan as a dense tensor `[…, m, n]`, float32; the caller disposes it. No gradient flows through it. */
  plan(): Tensor {
    const { m, n } = this.request;
    const all = new Float32Array(this.solutions.length * m * n);
    this.solutions.forEach((solution, index) => {
      writePlan(solution, n, all.subarray(index * m * n, (index + 1) * m * n));
    });
    return tensor(all, [...this.shape], 'float32');
  }

  /** The plan of one problem as a dense row-major float64 array on the host. */
  planData(problem = 0): Float64Array {
    const { m, n } = this.request;
    const dense = new Float64Array(m * n);
    writePlan(this.solutions[problem]!, n, dense);
    return dense;
  }

  /** Non-zeros of one problem's plan on the host. */
  entries(problem = 0): PlanEntries {
    return this.solutions[problem]!.entries();
  }

  /** The non-zeros as tensors; the dense plan is never made (but for entropic plans, which are dense). */
  sparsePlan(): SparsePlan {
    const { batchShape } = this.request;
    const parts = this.solutions.map((solution) => solution.entries());
    const count = parts.reduce((total, { values }) => total + values.length, 0);
    const rank = batchShape.length + 2;
    const indices = new Int32Array(count * rank);
    const all = new Float32Array(count);
    let at = 0;
    parts.forEach(({ rows, columns, values }, index) => {
      const prefix: number[] = [];
      for (let axis = batchShape.length - 1, rest = index; axis >= 0; axis--) {
        prefix.unshift(rest % batchShape[axis]!);
        rest = Math.floor(rest / batchShape[axis]!);
      }
      for (let e = 0; e < values.length; e++, at++) {
        indices.set(prefix, at * rank);
        indices[at * rank + rank - 2] = rows[e]!;
        indices[at * rank + rank - 1] = columns[e]!;
        all[at] = values[e]!;
      }
    });
    return {
      indices: tensor(indices, [count, rank], 'int32'),
      values: tensor(all, [count], 'float32'),
      shape: [...this.shape],
    };
  }

  /** Potentials as float32 tensors `[…, m]` and `[…, n]`; the caller disposes them. */
  potentials(): { alpha: Tensor; beta: Tensor } {
    const { batchShape, m, n } = this.request;
    const { alpha, beta } = this.duals;
    return {
      alpha: tensor(new Float32Array(alpha), [...batchShape, m]),
      beta: tensor(new Float32Array(beta), [...batchShape, n]),
    };
  }

  /** Row and column sums of the plan as float32 tensors `[…, m]` and `[…, n]`; the caller disposes them. */
  marginals(): { rows: Tensor; columns: Tensor } {
    const { batchShape, m, n } = this.request;
    const rowSums = new Float64Array(this.solutions.length * m);
    const columnSums = new Float64Array(this.solutions.length * n);
    this.solutions.forEach((solution, index) => {
      const { rows, columns, values } = solution.entries();
      for (let e = 0; e < values.length; e++) {
        rowSums[index * m + rows[e]!]! += values[e]!;
        columnSums[index * n + columns[e]!]! += values[e]!;
      }
    });
    return {
      rows: tensor(new Float32Array(rowSums), [...batchShape, m]),
      columns: tensor(new Float32Array(columnSums), [...batchShape, n]),
    };
  }

  /**
   * The objective as a function of other tensors that hold the same values: equal to `value`, with the gradients of the
   * envelope theorem with respect to the tensors given here. This is how an asynchronous solve becomes a loss:
   *
   * @example
   * const solved = await sparseTransportAsync(cost(), { k: 2 });
   * optimizer.minimize(() => solved.attach(cost()));
   * @param cost - same shape as the cost that was solved
   * @param weights - masses to differentiate with respect to; those left out get no gradient
   * @returns shape `[…]`; the caller disposes it
   */
  attach(cost: Tensor, weights: Weights = {}): Tensor {
    const { batchShape, m, n } = checkTransport('attach', cost, weights);
    const shape = [...batchShape, m, n];
    if (`${shape}` !== `${this.shape}`) {
      throw new RangeError(`attach: cost must have shape [${this.shape}], got shape [${shape}]`);
    }
    return this.attachTo(cost, weights);
  }

  /** Disposes `value`. May be called twice. */
  dispose(): void {
    this.value.dispose();
  }

  private plainValue(): Tensor {
    const values = Float32Array.from(this.solutions, ({ objective }) => objective);
    return tensor(values, [...this.request.batchShape], 'float32');
  }

  private attachTo(cost: unknown, { a, b }: Weights): Tensor {
    const inputs: Tensor[] = [];
    const gradients: ((dy: Tensor) => Tensor)[] = [];
    const { m, n } = this.request;
    if (cost instanceof Tensor) {
      inputs.push(cost);
      gradients.push((dy) => this.weightedPlan(dy));
    }
    const side = (
      weights: WeightsInput | undefined,
      length: number,
      of: (solution: Solution) => Float64Array,
    ) => {
      if (!(weights instanceof Tensor)) return;
      inputs.push(weights);
      gradients.push((dy) => this.weightedPotential(dy, of, length, weights.shape));
    };
    side(a, m, ({ gradientA, alpha }) => gradientA ?? alpha);
    side(b, n, ({ gradientB, beta }) => gradientB ?? beta);
    if (inputs.length === 0) return this.plainValue();
    const op = customGrad(() => ({
      value: this.plainValue(),
      gradFunc: (dy: Tensor) => gradients.map((gradient) => gradient(dy)),
    }));
    return op(...inputs);
  }

  /** dy · plan: the gradient with respect to the cost. */
  private weightedPlan(dy: Tensor): Tensor {
    return tidy(() => mul(reshape(dy, [...this.request.batchShape, 1, 1]), this.plan()));
  }

  /** dy · potential, summed over the batch where all problems share one side's masses. */
  private weightedPotential(
    dy: Tensor,
    of: (solution: Solution) => Float64Array,
    length: number,
    shape: number[],
  ): Tensor {
    const { batchShape, count } = this.request;
    return tidy(() => {
      const potentials = tensor(new Float32Array(this.joined(of, length)), [count, length]);
      const each = mul(reshape(dy, [count, 1]), potentials);
      const shared = shape.length < batchShape.length + 1;
      return reshape(shared ? sum(each, 0) : each, shape);
    });
  }

  private joined(of: (solution: Solution) => Float64Array, length: number): Float64Array {
    const all = new Float64Array(this.solutions.length * length);
    this.solutions.forEach((solution, index) => {
      all.set(of(solution), index * length);
    });
    return all;
  }
}
