/** The loop of the classical solvers: proximal gradient with or without momentum, over a batch, with a report. */
import { checkFinite, checkInteger, checkNumber, checkTensor } from '@orth/backend';
import {
  add,
  concat,
  dispose,
  div,
  gather,
  keep,
  max,
  maximum,
  minimum,
  mul,
  reshape,
  type Scalar,
  scalar,
  sqrt,
  square,
  sub,
  Tensor,
  type Tensor1D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkFunction } from '../training/trainingArguments.js';
import { type BoundOperator, type LinearOperator, Measurement } from './linearOperator.js';
import { inverseLipschitz } from './lipschitz.js';
import { magnitude, pack, sumSamples, unpack } from './packedComplex.js';
import { type ShrinkageRule, shrinkageStep } from './shrinkageStep.js';
import { checkBatch, objectivePacked } from './sparseObjective.js';

/** Options that the classical solvers share. */
export interface SparseSolverOptions {
  /** Weight of the penalty, >= 0. */
  readonly lambda: number;
  /** Steps at most. Default 100, or the number of step sizes given */
  readonly steps?: number;
  /** One step size, one for each step (array or tensor), each >= 0. Default `1/L` by power iteration */
  readonly stepSize?: number | readonly number[] | Tensor1D;
  /**
   * Stops once every sample is solved to this: for the l1 problem with `lambda > 0` the duality gap relative to the
   * objective (float32 gives about 1e-6), else `‖x⁺ − x‖ / ‖x⁺‖`. Default 0: all steps are made
   */
  readonly tolerance?: number;
  /** Steps between two looks at the tolerance. Default 10 */
  readonly checkEvery?: number;
  /** Start, shape and dtype of the solution; not modified. Default 0 */
  readonly x0?: Tensor;
  /** Whether to report the objective after every step. Default false */
  readonly history?: boolean;
  /** Called at each look at the tolerance and at the end. */
  readonly onStep?: (progress: SparseProgress) => void;
  /** Ends the work early; the result so far is returned. */
  readonly signal?: AbortSignal;
}

/** What `onStep` is told. */
export interface SparseProgress {
  readonly step: number;
  readonly total: number;
  /** What the tolerance is compared with, for the worst sample. */
  readonly error: number;
  /** The iterate; disposed after the call: clone what is to be kept. */
  readonly x: Tensor;
}

/** What a solver found. */
export interface SparseResult {
  /** Solution, `[B, N]` or as the operator's functions have it; the caller disposes it. */
  readonly x: Tensor;
  /** Objective of each sample. */
  readonly objective: Float32Array;
  /** What the tolerance is compared with, of each sample (see `tolerance`); NaN for a sample that diverged. */
  readonly error: Float32Array;
  /** Whether `error` is at most the tolerance, for each sample; false throughout if there was none. */
  readonly converged: readonly boolean[];
  /** Steps made. */
  readonly iterations: number;
  /** `'diverged'` when an entry is no longer finite: a step size was too large. */
  readonly status: 'converged' | 'maxSteps' | 'diverged' | 'aborted';
  /** Objective of each sample after each step, if asked for. */
  readonly history?: readonly Float32Array[];
}

export const SOLVER_OPTIONS = [
  'lambda',
  'steps',
  'stepSize',
  'tolerance',
  'checkEvery',
  'x0',
  'history',
  'onStep',
  'signal',
] as const;

/** Runs a solver; the caller has checked the names of the options. */
export async function proximalGradient(
  caller: string,
  kind: ShrinkageRule['kind'],
  momentum: boolean,
  A: LinearOperator,
  y: Tensor,
  options: SparseSolverOptions,
): Promise<SparseResult> {
  const { lambda, tolerance = 0, checkEvery = 10, x0, history = false, onStep, signal } = options;
  checkNumber(caller, 'lambda', lambda, { min: 0 });
  checkNumber(caller, 'tolerance', tolerance, { min: 0 });
  checkInteger(caller, 'checkEvery', checkEvery, { min: 1 });
  if (onStep !== undefined) checkFunction(caller, 'onStep', onStep);
  const stepSizes = await readStepSizes(caller, options.stepSize);
  const { steps = stepSizes && stepSizes.length > 1 ? stepSizes.length : 100 } = options;
  checkInteger(caller, 'steps', steps, { min: 0 });
  if (stepSizes && stepSizes.length > 1 && stepSizes.length < steps) {
    throw new RangeError(
      `${caller}: stepSize must hold one number or one for each of the ${steps} steps, got ${stepSizes.length}`,
    );
  }
  const measurement = new Measurement(caller, A);
  const state: Tensor[] = [];
  try {
    const op = measurement.bind(y);
    if (x0 !== undefined) checkBatch(caller, 'x0', x0, op);
    await checkValues(caller, { y, ...(x0 && { x0 }), ...(A instanceof Tensor && { A }) });
    const rule = { kind, lambda };
    const target = tidy(() => pack(y).clone());
    const alphas = tidy(() =>
      stepSizes
        ? tensor1d(stepSizes)
        : (reshape(stepOf(caller, A, measurement, op), [1]) as Tensor1D),
    );
    state.push(target, alphas);
    return await iterate({
      op,
      rule,
      momentum,
      target,
      alphas,
      steps,
      tolerance,
      checkEvery,
      history,
      onStep,
      signal,
      start: x0 && tidy(() => pack(x0).clone()),
    });
  } finally {
    dispose(state);
    measurement.dispose();
  }
}

/** 1/L; functions without a shape are bound to that of the batch. */
function stepOf(
  caller: string,
  A: LinearOperator,
  measurement: Measurement,
  op: BoundOperator,
): Scalar {
  if (measurement.packedMatrix || (!(A instanceof Tensor) && A.inputShape && A.inputType)) {
    return inverseLipschitz(caller, measurement);
  }
  const { apply, adjoint } = A as Exclude<LinearOperator, Tensor>;
  const complex = op.inputField === 'complex';
  const shape = op.inputShape.slice(complex ? 2 : 1);
  const inputType = complex ? ('complex64' as const) : ('float32' as const);
  return inverseLipschitz(
    caller,
    new Measurement(caller, { apply, adjoint, inputShape: shape, inputType }),
  );
}

async function readStepSizes(caller: string, given: unknown): Promise<number[] | undefined> {
  if (given === undefined) return undefined;
  let values: readonly unknown[];
  if (given instanceof Tensor) {
    checkTensor(caller, 'stepSize', given, { rank: 1 });
    values = Array.from(await given.data());
  } else values = Array.isArray(given) ? given : [given];
  if (values.length === 0) throw new RangeError(`${caller}: stepSize must not be empty, got []`);
  for (const [i, value] of values.entries()) {
    const name = values.length === 1 ? 'stepSize' : `stepSize[${i}]`;
    checkNumber(caller, name, value, { min: 0 });
  }
  return values as number[];
}

/** @throws RangeError naming the first entry that is not finite */
export async function checkValues(caller: string, tensors: Record<string, Tensor>): Promise<void> {
  for (const [name, x] of Object.entries(tensors)) checkFinite(caller, name, await x.data());
}

interface Run {
  readonly op: BoundOperator;
  readonly rule: ShrinkageRule;
  readonly momentum: boolean;
  readonly target: Tensor;
  readonly alphas: Tensor1D;
  readonly steps: number;
  readonly tolerance: number;
  readonly checkEvery: number;
  readonly history: boolean;
  readonly onStep: SparseSolverOptions['onStep'];
  readonly signal: AbortSignal | undefined;
  readonly start: Tensor | undefined;
}

async function iterate(run: Run): Promise<SparseResult> {
  const { op, rule, momentum, target, alphas, steps, tolerance, checkEvery } = run;
  const { onStep, signal, start } = run;
  const field = op.inputField;
  const B = op.inputShape[field === 'complex' ? 1 : 0]!;
  const histories: Tensor[] = [];
  // x is the iterate, z the point from which the next step is made; undefined for 0.
  let x = start;
  let z = start?.clone();
  let t = 1;
  let status: SparseResult['status'] = 'maxSteps';
  let looked: Look | undefined;
  let iterations = 0;
  try {
    while (iterations < steps) {
      if (signal?.aborted) {
        status = 'aborted';
        break;
      }
      const next = (1 + Math.sqrt(1 + 4 * t * t)) / 2;
      const weight = momentum ? (t - 1) / next : 0;
      const at = Math.min(iterations, alphas.shape[0] - 1);
      const due = (iterations + 1) % checkEvery === 0 || iterations + 1 === steps;
      const [x1, z1, change] = tidy(() => {
        const a = reshape(gather(alphas, [at]), []);
        const x1 = shrinkageStep(op, rule, z, target, a);
        const before = x ?? mul(x1, 0);
        const z1 = weight === 0 ? x1.clone() : add(x1, mul(sub(x1, before), weight));
        if (run.history) histories.push(keep(objectivePacked(op, rule, x1, target)));
        if (!due) return [x1, z1];
        const moved = sqrt(sumSamples(square(sub(x1, before)), field));
        const size = sqrt(sumSamples(square(x1), field));
        return [x1, z1, div(moved, maximum(size, 1e-30))];
      }) as [Tensor, Tensor, Tensor | undefined];
      dispose([x, z].filter((v) => v !== undefined));
      [x, z, t] = [x1, z1, next];
      iterations += 1;
      if (!change) continue;
      looked = await look(op, rule, x, target, change);
      if (onStep) {
        const seen = tidy(() => unpack(x1, field));
        onStep({ step: iterations, total: steps, error: looked.worst, x: seen });
        if (seen !== x1) seen.dispose();
      }
      if (!looked.finite) status = 'diverged';
      else if (tolerance > 0 && looked.worst <= tolerance) status = 'converged';
      if (status !== 'maxSteps') break;
    }
    x ??= tidy(() => mul(op.adjoint(target), 0));
    if (!looked || status === 'aborted') {
      looked = await look(op, rule, x, target, tensor1d(new Array(B).fill(Infinity)));
    }
    const error = looked.error;
    const history = [];
    for (const h of histories) history.push((await h.data()) as Float32Array);
    const result = x;
    return {
      x: tidy(() => unpack(field === 'real' ? result.clone() : result, field)),
      objective: looked.objective,
      error,
      converged: Array.from(error, (e) => tolerance > 0 && e <= tolerance),
      iterations,
      status,
      ...(run.history && { history }),
    };
  } finally {
    dispose([...[x, z].filter((v) => v !== undefined), ...histories]);
  }
}

interface Look {
  readonly objective: Float32Array;
  readonly error: Float32Array;
  readonly worst: number;
  readonly finite: boolean;
}

/** Objective and what the tolerance is compared with; disposes `change`. */
async function look(
  op: BoundOperator,
  rule: ShrinkageRule,
  x: Tensor,
  y: Tensor,
  change: Tensor,
): Promise<Look> {
  const both = tidy(() => {
    const F = objectivePacked(op, rule, x, y);
    const certified = rule.kind === 'ista' && rule.lambda > 0;
    const error = certified ? dualityGap(op, rule.lambda, x, y, F) : change;
    return concat([F, error as Tensor1D]);
  });
  change.dispose();
  const values = (await both.data()) as Float32Array;
  both.dispose();
  const [objective, error] = [values.slice(0, values.length / 2), values.slice(values.length / 2)];
  const finite = objective.every(Number.isFinite);
  for (const [i, F] of objective.entries()) if (!Number.isFinite(F)) error[i] = Number.NaN;
  return { objective, error, worst: Math.max(...error), finite };
}

/** `(F(x) − D(ν)) / F(x)` with the dual point `ν = min(1, λ/‖Aᴴr‖∞) r`, `D(ν) = ½‖y‖² − ½‖y − ν‖²`. */
function dualityGap(
  op: BoundOperator,
  lambda: number,
  x: Tensor,
  y: Tensor,
  F: Tensor1D,
): Tensor1D {
  const field = op.inputField;
  const r = sub(y, op.apply(x));
  const correlation = magnitude(op.adjoint(r), field);
  const largest = max(reshape(correlation, [correlation.shape[0]!, -1]), 1);
  const s = minimum(div(scalar(lambda), maximum(largest, 1e-30)), 1);
  // ‖y‖² − ‖y − s r‖² = s ⟨r, 2y − s r⟩, which does not cancel.
  const ry = sumSamples(mul(r, y), op.outputField);
  const rr = sumSamples(square(r), op.outputField);
  const D = mul(s, sub(ry, mul(mul(s, rr), 0.5)));
  return div(maximum(sub(F, D), 0), maximum(F, 1e-30)) as Tensor1D;
}
