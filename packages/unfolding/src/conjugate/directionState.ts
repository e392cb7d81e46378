import { type CheckedOperator, indefinite, negativeCurvature } from './operator.js';
import type { SolveStatus } from './solve.js';
import { addScaled, dot, norm } from './vectors.js';

/** A direction that was taken. */
interface Taken {
  readonly p: Float64Array;
  readonly Ap: Float64Array;
  /** pᵀAp */
  readonly a: number;
}

/** What a solve by proposed directions may do. */
export interface DirectionRules {
  readonly history: number;
  readonly normalize: boolean;
  readonly safeguard: number;
  readonly stallWindow: number;
}

/**
 * One system on its way: x, its residual, and the directions taken last.
 *
 * A proposal q is made A-orthogonal to the last k directions and followed by the exact line search `qᵀr / qᵀAq`, so that the
 * error's A-norm cannot grow. It is given up for the residual r itself, orthogonalised likewise, where `qᵀAq` is not positive
 * or q reduces the error's A-norm by less than `safeguard` times what steepest descent would; a model whose residuals have
 * not halved in `stallWindow` iterations is not asked again, and conjugate gradients finish.
 */
export class DirectionState {
  readonly x: Float64Array;
  readonly residuals: number[];
  /** What `tol` is relative to. */
  readonly reference: number;
  status: SolveStatus | undefined;
  fallbacks = 0;
  abandoned = false;
  /** Whether the last step took the residual in place of the proposal. */
  fellBack = false;
  private r: Float64Array;
  private taken: Taken[] = [];
  private best: number;
  private bestBefore: number[] = [];

  constructor(
    private readonly caller: string,
    private readonly operator: CheckedOperator,
    private readonly b: Float64Array,
    x0: Float64Array | undefined,
    relativeTo: 'initialResidual' | 'rightHandSide',
    private readonly tol: number,
    private readonly rules: DirectionRules,
  ) {
    this.x = x0?.slice() ?? new Float64Array(b.length);
    this.r = b.slice();
    this.best = this.updateResidual();
    this.residuals = [this.best];
    this.reference = relativeTo === 'rightHandSide' ? norm(b) : this.best;
    this.settle();
  }

  get residual(): number {
    return this.residuals.at(-1)!;
  }

  /** What the model is given: the residual, of norm 1 unless `normalize` is off. */
  input(): Float64Array {
    const scale = this.rules.normalize ? 1 / this.residual : 1;
    return this.r.map((value) => value * scale);
  }

  /** Goes along the proposal, or along the residual where there is none or it is no use. */
  advance(proposal: ArrayLike<number> | undefined): void {
    const { r, rules } = this;
    this.fellBack = false;
    let step = proposal && this.orthogonalize(scaled(proposal));
    if (step && !this.useful(step)) step = undefined;
    if (!step) {
      this.fallbacks++;
      this.fellBack = true;
      step = this.orthogonalize(r.slice());
      if (!(step.a > 0)) {
        this.refuseNegative(step);
        this.status = 'breakdown';
        this.residuals.push(this.residual);
        return;
      }
    }
    const length = dot(step.p, r) / step.a;
    addScaled(this.x, length, step.p);
    const moved = Math.abs(length) * largest(step.p) > Number.EPSILON * largest(this.x);
    this.residuals.push(this.updateResidual());
    const kept = this.abandoned ? Math.max(rules.history, 1) : rules.history;
    this.taken = [step, ...this.taken].slice(0, kept);
    if (!this.settle() && !moved) this.status = 'stagnated';
    this.watch();
  }

  /** Newest first, each with the q that the one before left. */
  private orthogonalize(q: Float64Array): Taken {
    for (const { p, Ap, a } of this.taken) addScaled(q, -dot(q, Ap) / a, p);
    const Ap = this.operator.multiply(q, new Float64Array(q.length));
    return { p: q, Ap, a: dot(q, Ap) };
  }

  private useful(step: Taken): boolean {
    if (!(step.a > 0 && Number.isFinite(step.a))) {
      this.refuseNegative(step);
      return false;
    }
    const { safeguard } = this.rules;
    if (safeguard === 0) return true;
    const { r } = this;
    const curvature = dot(r, this.operator.multiply(r, new Float64Array(r.length)));
    const steepest = dot(r, r) ** 2 / curvature;
    return !(curvature > 0) || dot(step.p, r) ** 2 / step.a >= safeguard * steepest;
  }

  private refuseNegative({ p, Ap, a }: Taken): void {
    if (negativeCurvature(a, p, Ap)) throw indefinite(this.caller, a);
  }

  private updateResidual(): number {
    const { r, b, x } = this;
    this.operator.multiply(x, r);
    for (let i = 0; i < r.length; i++) r[i] = b[i]! - r[i]!;
    return norm(r);
  }

  private settle(): boolean {
    const { residual } = this;
    if (residual < this.tol * this.reference || residual === 0) this.status = 'converged';
    return this.status !== undefined;
  }

  private watch(): void {
    if (this.abandoned) return;
    this.bestBefore.push(this.best);
    this.best = Math.min(this.best, this.residual);
    if (this.bestBefore.length < this.rules.stallWindow) return;
    if (this.best > 0.5 * this.bestBefore.shift()!) {
      this.abandoned = true;
      // Conjugate gradients begin with the residual alone.
      this.taken = [];
    }
  }
}

const largest = (x: Float64Array): number =>
  x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** A copy whose largest entry is 1 in size: the length of a proposal means nothing. */
function scaled(proposal: ArrayLike<number>): Float64Array {
  const q = Float64Array.from(proposal);
  const size = largest(q);
  return size > 0 ? q.map((value) => value / size) : q;
}
