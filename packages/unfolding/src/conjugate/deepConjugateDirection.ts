import { checkBoolean, checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import { Tensor, type Tensor1D } from '@tensorflow/tfjs-core';
import { checkModel, type DirectionModel } from './directionModel.js';
import { DirectionState } from './directionState.js';
import { checkOperator, type SpdOperator } from './operator.js';
import {
  checkSolveOptions,
  report,
  SOLVE_OPTIONS,
  type SolveOptions,
  type SolveReport,
  type SolveStep,
} from './solve.js';
import { checkVector, type HostVector } from './vectors.js';

/** An iteration of {@link deepConjugateDirection}. */
export interface DirectionStep extends SolveStep {
  /** Which right-hand side; 0 for one. */
  readonly index: number;
  /** Whether the residual was followed in place of the model's proposal. */
  readonly fallback: boolean;
  /** x as it is now, `[n]`; changes with the next iteration: copy it to keep it. */
  readonly x: Float64Array;
}

/** What both solvers by proposed directions take. */
interface CommonOptions extends Omit<SolveOptions, 'x0' | 'onStep'> {
  /** Proposes directions. */
  readonly model: DirectionModel;
  /** k: directions that the next is made A-orthogonal to, integer >= 0. Default 2, the paper's */
  readonly history?: number;
  /** Gives the model residuals of norm 1; a network with biases needs it. Default true */
  readonly normalize?: boolean;
  /** Points along each axis, for a network on grids. Default that of `A`, else a square */
  readonly grid?: readonly number[];
  /**
   * A proposal that reduces the error's A-norm by less than this many times what steepest descent would is given up for the
   * residual; in [0, 1], 0 takes every proposal with positive curvature, as the paper does. Default 0.5
   */
  readonly safeguard?: number;
  /**
   * The model is given up, and conjugate gradients finish, once the residual has not halved in this many iterations;
   * integer >= 1, or Infinity. Default 50
   */
  readonly stallWindow?: number;
  /** Proposals with NaN or infinities: an error, or the residual in their place. Default `'throw'` */
  readonly onNonFinite?: 'throw' | 'fallback';
  /** Called after each iteration. */
  readonly onStep?: (step: DirectionStep) => void;
}

/** Options of {@link deepConjugateDirection}. */
export interface DeepConjugateDirectionOptions extends CommonOptions {
  /** Where to start, `[n]`. Default zeros */
  readonly x0?: HostVector | Tensor1D;
}

/** Options of {@link deepConjugateDirections}. */
export interface DeepConjugateDirectionsOptions extends CommonOptions {
  /** Where to start, one for each right-hand side. Default zeros */
  readonly x0?: readonly (HostVector | Tensor1D)[];
}

/** What {@link deepConjugateDirection} gives back. */
export interface DirectionReport extends SolveReport {
  /** Iterations that followed the residual in place of a proposal. */
  readonly fallbacks: number;
  /** Whether the model was given up and conjugate gradients finished. */
  readonly abandoned: boolean;
}

const KNOWN = [
  ...SOLVE_OPTIONS,
  'model',
  'history',
  'normalize',
  'grid',
  'safeguard',
  'stallWindow',
  'onNonFinite',
];

/**
 * Solves A x = b along directions that a model proposes from the residual: each is made A-orthogonal to the last two and
 * followed by an exact line search. A network trained on one size ({@link trainDirection}) solves others too, in a number of
 * iterations that hardly grows.
 *
 * The vectors are float64 on the host, so that only the model runs on the backend; it is awaited. Whatever the model gives,
 * the error's A-norm never grows, and a model that is no use is replaced by the residual and at last by conjugate gradients:
 * the solve converges for every symmetric positive definite A, given enough iterations.
 *
 * With the identity as the model this is conjugate gradients, with a linear preconditioner preconditioned ones.
 *
 * @param A - symmetric positive definite, `n × n`
 * @param b - `[n]`
 * @param options.tol - relative to the residual at the start. Default 1e-4
 * @param options.maxIter - default 1000
 * @throws TypeError or RangeError for shapes that do not match, numbers that are not finite (also of the model), `tol` <= 0,
 *   an unknown option, an A that is not symmetric, and a direction with qᵀAq < 0, which proves that A is not definite
 * @example
 * const { x, converged } = await deepConjugateDirection(poisson2d(64), b, { model: net, tol: 1e-6 });
 * @see Kaneda et al. 2023, algorithm 1; safeguards ours
 */
export async function deepConjugateDirection(
  A: SpdOperator,
  b: HostVector | Tensor1D,
  options: DeepConjugateDirectionOptions,
): Promise<DirectionReport> {
  const { x0, ...rest } = options;
  const [only] = await solveAll('deepConjugateDirection', A, [b], {
    ...rest,
    ...(x0 === undefined ? {} : { x0: [x0] }),
  });
  return only!;
}

/**
 * The same for many right-hand sides at once: they go on in step, so that the model is applied to all of them as one batch.
 * Each is solved as it would be alone.
 *
 * @param b - right-hand sides, each `[n]`; at least one
 * @returns one report for each, in their order
 * @throws as {@link deepConjugateDirection}; RangeError for no right-hand side, or another number of starts
 */
export function deepConjugateDirections(
  A: SpdOperator,
  b: readonly (HostVector | Tensor1D)[],
  options: DeepConjugateDirectionsOptions,
): Promise<DirectionReport[]> {
  return solveAll('deepConjugateDirections', A, b, options);
}

const onHost = async (x: HostVector | Tensor1D): Promise<HostVector> =>
  x instanceof Tensor ? await x.data() : x;

async function solveAll(
  caller: string,
  A: SpdOperator,
  b: readonly (HostVector | Tensor1D)[],
  options: DeepConjugateDirectionsOptions,
): Promise<DirectionReport[]> {
  if (!Array.isArray(b) || b.length === 0) {
    throw new RangeError(`${caller}: b must hold at least one right-hand side`);
  }
  const first = checkVector(caller, 'b', await onHost(b[0]!));
  const n = first.length;
  const { x0, onStep, ...plain } = options;
  const checked = checkSolveOptions(caller, n, plain, { tol: 1e-4, maxIter: 1000 }, KNOWN);
  const { history = 2, normalize = true, safeguard = 0.5, stallWindow = 50 } = options;
  const { onNonFinite = 'throw' } = options;
  checkInteger(caller, 'history', history, { min: 0 });
  checkBoolean(caller, 'normalize', normalize);
  checkNumber(caller, 'safeguard', safeguard, { min: 0, max: 1 });
  if (stallWindow !== Infinity) checkInteger(caller, 'stallWindow', stallWindow, { min: 1 });
  checkOneOf(caller, 'onNonFinite', onNonFinite, ['throw', 'fallback']);
  if (onStep !== undefined && typeof onStep !== 'function') {
    throw new TypeError(`${caller}: onStep must be a function, got ${typeof onStep}`);
  }
  if (x0 !== undefined && (!Array.isArray(x0) || x0.length !== b.length)) {
    throw new RangeError(`${caller}: x0 must hold ${b.length} starts`);
  }
  const operator = checkOperator(caller, A, n);
  const propose = checkModel(caller, options.model, n, options.grid ?? operator.matrix?.grid);
  const rights = await Promise.all(
    b.map(async (each) => checkVector(caller, 'b', await onHost(each), n)),
  );
  const starts = await Promise.all(
    (x0 ?? []).map(async (each) => checkVector(caller, 'x0', await onHost(each), n)),
  );
  const rules = { history, normalize, safeguard, stallWindow };
  const states = rights.map(
    (right, i) =>
      new DirectionState(
        caller,
        operator,
        right,
        starts[i],
        checked.relativeTo,
        checked.tol,
        rules,
      ),
  );

  for (let iteration = 1; iteration <= checked.maxIter; iteration++) {
    const active = states.filter(({ status }) => status === undefined);
    if (active.length === 0 || checked.signal?.aborted) break;
    const asking = active.filter(({ abandoned }) => !abandoned);
    const proposals = asking.length > 0 ? await propose(asking.map((state) => state.input())) : [];
    for (const [i, q] of proposals.entries()) checkProposal(caller, q, n, i, onNonFinite);
    for (const state of active) {
      const q = proposals[asking.indexOf(state)];
      state.advance(q && allFinite(q) ? q : undefined);
      onStep?.({
        iteration,
        index: states.indexOf(state),
        residual: state.residual,
        relativeResidual: state.reference > 0 ? state.residual / state.reference : 0,
        fallback: state.fellBack,
        x: state.x,
      });
    }
  }
  const unfinished = checked.signal?.aborted ? 'aborted' : 'maxIterations';
  return states.map(({ x, status, residuals, reference, fallbacks, abandoned }) => ({
    ...report(x, status ?? unfinished, residuals, reference),
    fallbacks,
    abandoned,
  }));
}

const allFinite = (q: ArrayLike<number>): boolean => {
  for (let i = 0; i < q.length; i++) if (!Number.isFinite(q[i])) return false;
  return true;
};

function checkProposal(
  caller: string,
  q: ArrayLike<number> | undefined,
  n: number,
  batch: number,
  onNonFinite: 'throw' | 'fallback',
): void {
  if (q?.length !== n) {
    throw new RangeError(`${caller}: model must give ${n} numbers, got ${q?.length}`);
  }
  if (onNonFinite === 'fallback') return;
  for (let i = 0; i < n; i++) {
    if (Number.isFinite(q[i])) continue;
    throw new RangeError(
      `${caller}: model must give finite numbers, got ${q[i]} at index ${i} of residual ${batch}`,
    );
  }
}
