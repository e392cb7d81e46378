import { checkFinite, checkNumber, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  divNoNan,
  matMul,
  mul,
  relu,
  type Scalar,
  scalar,
  sqrt,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  Tensor as TensorClass,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { readMatrix, toTensor2D } from './denseMatrix.js';
import type { LinearMeasurement } from './linearMeasurement.js';
import { median } from './order.js';
import { type Factors, lossOf, productOf } from './robustLoss.js';
import type { ResolvedSubgmOptions, SubgmRecord } from './subgmOptions.js';

/** Why a run ended: all steps made, nothing left to change, numbers overflown, or told to stop. */
export type SubgmReason = 'steps' | 'stationary' | 'diverged' | 'aborted';

/** What both methods report. */
export interface SubgmReport {
  /** The matrix found, `[rows, columns]`; the caller disposes it. */
  readonly X: Tensor2D;
  readonly history: readonly SubgmRecord[];
  /** Steps made. */
  readonly iterations: number;
  readonly reason: SubgmReason;
  /**
   * Whether at least half of the measurements are met, to `tolerance`: what exact recovery from fewer than half
   * corrupted ones looks like. With dense noise it is false, and X still an estimate.
   */
  readonly converged: boolean;
  /** Median of |⟨A_i, X⟩ − y_i|, as a share of the median of |y_i|. */
  readonly medianResidual: number;
}

/** Measurements as a tensor of the loop's own, and on the host. */
export interface Measured {
  readonly y: Tensor1D;
  readonly values: ArrayLike<number>;
}

/**
 * Copies and checks measurements.
 * @throws TypeError or RangeError for another length, NaN, or zeros alone
 */
export async function readMeasurements(
  caller: string,
  A: LinearMeasurement,
  y: Tensor | ArrayLike<number>,
): Promise<Measured> {
  if (y instanceof TensorClass) checkTensor(caller, 'y', y, { shape: [A.m] });
  else if (y?.length !== A.m) {
    throw new RangeError(`${caller}: y must have ${A.m} entries, got ${y?.length}`);
  }
  const values = y instanceof TensorClass ? await y.data() : y;
  checkFinite(caller, 'y', values);
  if (Array.prototype.every.call(values, (value: number) => value === 0)) {
    throw new RangeError(`${caller}: y must not be all zeros`);
  }
  return { y: tensor1d(Float32Array.from(values)), values };
}

/** Steps whose numbers are read back together: on a GPU one read takes longer than many steps. */
const READ_EVERY = 50;

/** What one step of a method makes of the factors: new ones, and loss, ‖Q‖ and step as scalars. */
// A type, not an interface: tidy takes objects with an index signature.
export type Step = {
  readonly factors: Factors;
  readonly numbers: [Scalar, Scalar, Scalar];
};

/** `U ← U − η Q U`, or `L ← L − η Q R`, `R ← R − η Qᵀ L`. */
export function subgmStep(
  A: LinearMeasurement,
  y: Tensor1D,
  factors: Factors,
  { schedule, eta0, rho, optimum }: ResolvedSubgmOptions,
  t: number,
): Step {
  return tidy(() => {
    const { value, Q } = lossOf(A, y, factors);
    const qNorm = sqrt(sum(square(Q))) as Scalar;
    const [L, R] = factors;
    const directions = R ? [matMul(Q, R), matMul(Q, L, true)] : [matMul(Q, L)];
    let step: Tensor;
    if (schedule === 'polyak') step = mul(value, (Math.PI / 2) * eta0);
    else if (schedule === 'polyakKnown') {
      const squares = directions.map((D) => sum(square(D))).reduce((a, b) => add(a, b));
      step = divNoNan(relu(sub(value, optimum)), mul(squares, R ? 1 : 2));
    } else {
      const length = typeof schedule === 'function' ? schedule(t) : eta0 * rho ** t;
      checkNumber('subgm', `schedule(${t})`, length, { min: 0 });
      // Where Q is 0 the point is stationary, and stays.
      step = divNoNan(scalar(length), qNorm);
    }
    const next = [L, R]
      .filter((F) => F !== undefined)
      .map((F, i) => sub(F, mul(step, directions[i]!)) as Tensor2D);
    return {
      factors: next as unknown as Factors,
      numbers: [value, qNorm, step as Scalar] as [Scalar, Scalar, Scalar],
    };
  });
}

const disposeAll = (tensors: readonly Tensor[]) => {
  for (const x of tensors) x.dispose();
};

/**
 * Runs a method from `start`, which it owns, and reports. The factors it returns with the report are the caller's.
 */
export async function runSubgm(
  caller: string,
  A: LinearMeasurement,
  { y, values }: Measured,
  start: Factors,
  options: Pick<ResolvedSubgmOptions, 'steps' | 'tolerance' | 'truth' | 'onStep' | 'signal'>,
  stepOf: (factors: Factors, t: number) => Step | Promise<Step>,
): Promise<SubgmReport & { factors: Factors }> {
  const { steps, tolerance, onStep, signal } = options;
  const history: SubgmRecord[] = [];
  let factors = start;
  let checkpoint = factors.map((F) => F.clone()) as unknown as Factors;
  let pending: Tensor[] = [];
  let truth: Tensor2D | undefined;
  let scale = 1;
  let reason: SubgmReason = 'steps';
  try {
    if (options.truth !== undefined) {
      const known = await readMatrix(caller, 'truth', options.truth);
      if (`${known.shape}` !== `${[A.rows, A.columns]}`) {
        const rule = `${caller}: truth must have shape [${A.rows},${A.columns}]`;
        throw new RangeError(`${rule}, got shape [${known.shape}]`);
      }
      truth = toTensor2D(known);
      scale = Math.sqrt(known.data.reduce((total, x) => total + x * x, 0));
    }
    for (let t = 0; t < steps; t++) {
      if (signal?.aborted) {
        reason = 'aborted';
        break;
      }
      const step = await stepOf(factors, t);
      disposeAll(factors);
      factors = step.factors;
      pending.push(
        tidy(() => {
          const error = truth
            ? (sqrt(sum(square(sub(productOf(factors), truth)))) as Scalar)
            : scalar(0);
          return stack([...step.numbers, error]);
        }),
      );
      disposeAll(step.numbers);
      onStep?.({ iteration: t, factors });
      if (pending.length < READ_EVERY && t + 1 < steps) continue;
      const ended = await record();
      if (ended) {
        reason = ended;
        break;
      }
      disposeAll(checkpoint);
      checkpoint = factors.map((F) => F.clone()) as unknown as Factors;
    }
    const ended = await record();
    if (ended) reason = ended;
    if (reason === 'diverged') {
      disposeAll(factors);
      factors = checkpoint.map((F) => F.clone()) as unknown as Factors;
    }
    const X = productOf(factors);
    const residual = tidy(() => abs(sub(A.apply(X), y)));
    const typical = median(Array.from(values, Math.abs));
    const mean = Array.from(values).reduce((total, v) => total + Math.abs(v), 0) / A.m;
    const medianResidual = median(await residual.data()) / (typical > 0 ? typical : mean);
    residual.dispose();
    return {
      X,
      factors,
      history,
      iterations: history.length,
      reason,
      converged: reason !== 'diverged' && medianResidual <= tolerance,
      medianResidual,
    };
  } catch (error) {
    disposeAll(factors);
    throw error;
  } finally {
    disposeAll(pending);
    disposeAll(checkpoint);
    truth?.dispose();
  }

  /** Reads what is pending into the history; says whether the run is over. */
  async function record(): Promise<SubgmReason | undefined> {
    if (pending.length === 0) return undefined;
    const all = tidy(() => stack(pending));
    disposeAll(pending);
    const count = pending.length;
    pending = [];
    const numbers = await all.data();
    all.dispose();
    for (let i = 0; i < count; i++) {
      const [loss, qNorm, step, error] = numbers.slice(4 * i, 4 * i + 4) as unknown as number[];
      if (![loss, qNorm, step, error].every(Number.isFinite)) return 'diverged';
      history.push({
        loss: loss!,
        qNorm: qNorm!,
        step: step!,
        ...(truth && { relError: error! / scale }),
      });
      if (qNorm === 0) return 'stationary';
    }
    return undefined;
  }
}
