/** What the plug-and-play methods share: the denoiser, options, reports. */
import { checkInteger, checkNumber, checkTensor } from '@orth/backend';
import {
  add,
  div,
  keep,
  maximum,
  mul,
  sqrt,
  square,
  sub,
  sum,
  Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { type BoundOperator, type LinearOperator, Measurement } from '../sparse/linearOperator.js';
import { lipschitzTensor } from '../sparse/lipschitz.js';
import { pack } from '../sparse/packedComplex.js';
import { checkValues } from '../sparse/proximalGradient.js';
import { checkBatch } from '../sparse/sparseObjective.js';
import { checkFunction } from '../training/trainingArguments.js';
import { LPN } from './lpn.js';

/** A denoiser: a learned proximal network, or any function of a batch. */
export type Denoiser = LPN | ((x: Tensor) => Tensor);

/** Options that the plug-and-play methods share. */
export interface PlugAndPlayOptions {
  /** Start, shape of the solution. Default `Aᴴ b` */
  readonly x0?: Tensor;
  /**
   * Stops once every sample's error is at most this: the larger of the relative changes of an iteration (see the report).
   * Default 0: all iterations are made
   */
  readonly tolerance?: number;
  /** Called after each iteration. */
  readonly onStep?: (progress: PlugAndPlayStep, iterate: PlugAndPlayIterate) => void;
  /** Ends the work early; the result so far is returned. */
  readonly signal?: AbortSignal;
}

/** How an iteration went. */
export interface PlugAndPlayStep {
  /** From 1. */
  readonly iteration: number;
  /** What the tolerance is compared with, for the worst sample. */
  readonly error: number;
  /**
   * What the iteration minimises, `η/2 ‖A x − b‖² + R(x)` summed over the batch and up to a constant: for `pnpPgd` with an
   * {@link LPN} and without a box, where it never rises if the step is within its bound.
   */
  readonly objective?: number;
}

/** The iterates, as `onStep` sees them; disposed after the next iteration: clone what is to be kept. */
export interface PlugAndPlayIterate {
  readonly x: Tensor;
  /** Denoised copy, of `pnpAdmm`. */
  readonly z?: Tensor;
  /** Scaled multiplier, of `pnpAdmm`. */
  readonly u?: Tensor;
}

/** What a plug-and-play method found. */
export interface PlugAndPlayResult {
  /** The estimate; the caller disposes it. */
  readonly x: Tensor;
  readonly iterations: number;
  /** `'diverged'` when an entry is no longer finite. */
  readonly status: 'converged' | 'maxIterations' | 'diverged' | 'aborted';
  /** What the tolerance is compared with, of each sample, after the last iteration. */
  readonly error: Float32Array;
  /**
   * The convergence check: whether the denoiser is a proximal operator by construction and the step is within the bound
   * under which the iteration is known to converge to a fixed point (`η < 1/L`, or `ρ > 2 s L`; L = ‖AᴴA‖).
   */
  readonly guaranteed: boolean;
  /** Every iteration. */
  readonly history: readonly PlugAndPlayStep[];
}

/** A checked problem: operator, data, denoiser. Real unknowns only. */
export class Problem {
  readonly op: BoundOperator;
  /** Packed data. */
  readonly b: Tensor;
  readonly start: Tensor;
  private readonly measurement: Measurement;
  private readonly own: Tensor[] = [];

  constructor(
    readonly caller: string,
    private readonly A: LinearOperator,
    b: Tensor,
    private readonly denoiser: Denoiser,
    { x0, tolerance = 0, onStep }: PlugAndPlayOptions,
  ) {
    if (!(denoiser instanceof LPN)) checkFunction(caller, 'prox', denoiser);
    checkNumber(caller, 'tolerance', tolerance, { min: 0 });
    if (onStep !== undefined) checkFunction(caller, 'onStep', onStep);
    this.measurement = new Measurement(caller, A);
    try {
      this.op = this.measurement.bind(b, 'b');
      if (this.op.inputField === 'complex') {
        throw new TypeError(`${caller}: x must be real, got complex64 from A's adjoint`);
      }
      if (denoiser instanceof LPN) {
        const shape = [this.op.inputShape[0]!, ...denoiser.inputShape];
        if (`${shape}` !== `${this.op.inputShape}`) {
          throw new RangeError(
            `${caller}: prox must take samples of A's inputs [${this.op.inputShape}], got an LPN for [${shape}]`,
          );
        }
      }
      if (x0 !== undefined) checkBatch(caller, 'x0', x0, this.op);
      this.b = this.hold(() => pack(b).clone());
      this.start = this.hold(() => x0?.clone() ?? this.op.adjoint(this.b));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** @throws RangeError if a number given is not finite */
  check(): Promise<void> {
    const { A, b, start } = this;
    return checkValues(this.caller, { b, 'A or x0': start, ...realMatrix(A) });
  }

  private hold(make: () => Tensor): Tensor {
    const made = keep(tidy(make));
    this.own.push(made);
    return made;
  }

  get lpn(): LPN | undefined {
    return this.denoiser instanceof LPN ? this.denoiser : undefined;
  }

  /** The denoiser's output, which must have the shape of its input. */
  denoise(v: Tensor): Tensor {
    if (this.denoiser instanceof LPN) return this.denoiser.apply(v);
    const x = this.denoiser(v);
    checkTensor(this.caller, 'prox(x)', x, { shape: v.shape });
    return x;
  }

  /** Largest eigenvalue of AᴴA. */
  async lipschitz(): Promise<number> {
    const { A, caller, op } = this;
    let measurement = this.measurement;
    if (!(A instanceof Tensor)) {
      const { apply, adjoint } = A;
      measurement = new Measurement(caller, { apply, adjoint, inputShape: op.inputShape.slice(1) });
    }
    const L = lipschitzTensor(caller, measurement);
    const [value] = await L.data();
    L.dispose();
    return value!;
  }

  dispose(): void {
    for (const x of this.own) x.dispose();
    this.measurement.dispose();
  }
}

const realMatrix = (A: LinearOperator): Record<string, Tensor> =>
  A instanceof Tensor && A.dtype === 'float32' ? { A } : {};

/** `‖a − b‖ / ‖a‖` of each sample, `[B]`. */
export function relativeChange(a: Tensor, b: Tensor): Tensor {
  const axes = a.shape.map((_, axis) => axis).slice(1);
  const size = (x: Tensor) => sqrt(sum(square(x), axes));
  return div(size(sub(a, b)), maximum(size(a), 1e-30));
}

/** Sums over all but the batch axis, kept for broadcasting. */
export function perSample(x: Tensor): Tensor {
  return sum(x, x.shape.map((_, axis) => axis).slice(1), true);
}

/** Decides after each iteration whether to go on. */
export class Watch {
  readonly history: PlugAndPlayStep[] = [];
  error: Float32Array = new Float32Array(0);
  status: PlugAndPlayResult['status'] = 'maxIterations';

  constructor(
    private readonly iterations: number,
    private readonly options: PlugAndPlayOptions,
  ) {}

  /** Whether to make another iteration. */
  get goes(): boolean {
    if (this.status !== 'maxIterations' || this.history.length >= this.iterations) return false;
    if (this.options.signal?.aborted) this.status = 'aborted';
    return this.status === 'maxIterations';
  }

  /** Takes what an iteration gave. */
  see(error: Float32Array, iterate: PlugAndPlayIterate, objective?: number): void {
    const { tolerance = 0, onStep } = this.options;
    this.error = error;
    const worst = Math.max(...error);
    const step = {
      iteration: this.history.length + 1,
      error: worst,
      ...(objective !== undefined && { objective }),
    };
    this.history.push(step);
    if (!Number.isFinite(worst)) this.status = 'diverged';
    else if (tolerance > 0 && worst <= tolerance) this.status = 'converged';
    onStep?.(step, iterate);
  }
}

/** @throws RangeError unless `iterations` is a positive integer */
export function checkIterations(caller: string, iterations: unknown): void {
  checkInteger(caller, 'iterations', iterations, { min: 1 });
}

/** `a + f b`. */
export const plus = (a: Tensor, b: Tensor, f: number): Tensor => add(a, mul(b, f));
