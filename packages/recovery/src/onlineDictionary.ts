import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import { polar as newtonSchulzPolar } from '@orth/newton-schulz';
import {
  add,
  keep,
  mul,
  type Scalar,
  square,
  stack,
  sum,
  Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';
import { type MatrixInput, matrixShape, readMatrixSync, readSync } from './denseMatrix.js';
import { checkState, type OnlineDictionaryState, stateChecksum } from './dictionaryState.js';
import { dictionaryGradient, frankWolfeUpdate } from './dictionaryStep.js';
import {
  defaultGamma,
  defaultRho,
  type OnlineDictionaryOptions,
  optionsFromState,
  type ResolvedDictionaryOptions,
  type RestoreDictionaryOptions,
  resolveDictionaryOptions,
} from './onlineDictionaryOptions.js';
import { orthonormalColumns } from './orthonormal.js';
import { partialIsometry, spectralNorm } from './partialIsometry.js';
import { decodeSparse, encodeSparse, type SparseCodeOptions } from './sparseCode.js';

/** What a step reports. */
export interface DictionaryReport {
  /** Batches seen, this one included. */
  readonly step: number;
  /** Frank–Wolfe gap before the step, >= 0 up to rounding, with respect to the averaged gradient. */
  readonly gap: number;
  /** `−(1/B) ‖DᵀY‖_p^p` of this batch before the step. */
  readonly objective: number;
  /** Weight of the batch, and step taken; both 0 where the batch was refused. */
  readonly rho: number;
  readonly gamma: number;
  /** Why the dictionary stayed as it was: the averaged gradient is 0, or the batch was not finite. */
  readonly skipped?: 'zeroGradient' | 'nonFinite';
}

/** Options of {@link OnlineOrthogonalDictionary.fit}. */
export interface FitStreamOptions {
  /** Called after each batch. */
  readonly onStep?: (report: DictionaryReport) => void;
  /** Stops before the next batch. */
  readonly signal?: AbortSignal;
  /** Whether to dispose tensors of the stream once they are used. Default false */
  readonly disposeBatches?: boolean;
}

/** A step that waits for values: the same code runs with synchronous and with asynchronous reads. */
type Steps<T> = Generator<Tensor, T, ArrayLike<number>>;

const isFiniteAll = (values: ArrayLike<number>) => {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
};

/**
 * Learns an orthogonal dictionary from a stream, without keeping the stream: `D` such that the codes `Dᵀy` are sparse.
 *
 * Maximises `E ‖Dᵀy‖_p^p` over the convex hull of the orthogonal group `{‖D‖₂ <= 1}` by Frank–Wolfe steps towards minus
 * the polar factor of a running mean of gradients. Whatever the stream's length, two `N × N` matrices are kept. For
 * codes that are Gaussian rather than sparse no dictionary is better than another, and none is found.
 *
 * @example
 * const learner = new OnlineOrthogonalDictionary(20);
 * for (const Y of batches) learner.update(Y);          // Y: [20, B], samples are columns
 * const codes = learner.encode(Y, { k: 5 });
 * @see Xue and Lau 2021, arXiv 2103.01484, with the schedules of the specification derived from its rate
 */
export class OnlineOrthogonalDictionary {
  /** N. */
  readonly size: number;
  private readonly options: ResolvedDictionaryOptions;
  private D: Tensor2D;
  private G: Tensor2D;
  private counts = { step: 0, samples: 0, nonFiniteBatches: 0 };
  private queue: Promise<unknown> = Promise.resolve();
  private busy = 0;
  private disposed = false;

  /**
   * @param n - dimension of the samples, integer >= 1
   * @throws TypeError or RangeError for a bad option, or a start whose spectral norm exceeds 1 by more than 1e−4
   */
  constructor(n: number, options: OnlineDictionaryOptions = {}) {
    const caller = 'OnlineOrthogonalDictionary';
    checkInteger(caller, 'n', n, { min: 1 });
    this.options = resolveDictionaryOptions(caller, options);
    const { init, seed } = this.options;
    const start = init ? checkInit(caller, init, n) : orthonormalColumns(seededRandom(seed), n, n);
    this.size = n;
    this.D = keep(tensor2d(Float32Array.from(start.data), [n, n]));
    this.G = keep(zeros([n, n]));
  }

  /** Batches seen, refused ones not counted. */
  get step(): number {
    return this.counts.step;
  }

  /** Samples seen, refused ones not counted. */
  get samples(): number {
    return this.counts.samples;
  }

  /** Batches skipped because they held NaN or an infinity. */
  get nonFiniteBatches(): number {
    return this.counts.nonFiniteBatches;
  }

  /**
   * Learns from one batch.
   *
   * Reads a few numbers back; on WebGPU in Node, where that cannot be done synchronously, use {@link updateAsync}.
   *
   * @param Y - samples as columns, shape `[N, B]`, B >= 1; a tensor is not disposed
   * @throws TypeError or RangeError for a batch of another shape, or one that is not finite (unless it is to be
   *   skipped); RangeError for a schedule outside (0, 1]. The state is then as it was
   */
  update(Y: MatrixInput): DictionaryReport {
    this.checkAlive('update');
    if (this.busy > 0) {
      throw new Error('update: must not be called while an updateAsync is under way');
    }
    const steps = this.advance('update', Y);
    let next = steps.next();
    while (!next.done) {
      try {
        next = steps.next(readSync('update', next.value));
      } catch (error) {
        next = steps.throw(error);
      }
    }
    return next.value;
  }

  /** {@link update} with asynchronous reads; calls take effect in the order in which they were made. */
  async updateAsync(Y: MatrixInput): Promise<DictionaryReport> {
    this.checkAlive('updateAsync');
    matrixShape('updateAsync', 'Y', Y);
    this.busy++;
    const run = async () => {
      this.checkAlive('updateAsync');
      const steps = this.advance('updateAsync', Y);
      let next = steps.next();
      while (!next.done) {
        try {
          next = steps.next(await next.value.data());
        } catch (error) {
          next = steps.throw(error);
        }
      }
      return next.value;
    };
    const result = this.queue.then(run);
    this.queue = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.busy--;
    }
  }

  /**
   * Learns from a stream of batches until it ends.
   *
   * @param stream - an iterable or asynchronous iterable of batches as for {@link update}
   * @returns the last report, or undefined for an empty stream
   * @throws as {@link update}, by rejecting; what was learnt before stays
   */
  async fit(
    stream: Iterable<MatrixInput> | AsyncIterable<MatrixInput>,
    options: FitStreamOptions = {},
  ): Promise<DictionaryReport | undefined> {
    checkOptions('fit', options, ['onStep', 'signal', 'disposeBatches']);
    const { onStep, signal, disposeBatches = false } = options;
    checkBoolean('fit', 'disposeBatches', disposeBatches);
    let last: DictionaryReport | undefined;
    if (signal?.aborted) return last;
    for await (const Y of stream) {
      try {
        last = await this.updateAsync(Y);
      } finally {
        if (disposeBatches && Y instanceof Tensor) Y.dispose();
      }
      onStep?.(last);
      if (signal?.aborted) break;
    }
    return last;
  }

  /** The step: yields tensors to be read, commits at the very end. */
  private *advance(caller: string, Y: MatrixInput): Steps<DictionaryReport> {
    const { p, rho: rhoOf, gamma: gammaOf, onNonFinite } = this.options;
    const n = this.size;
    const shape = matrixShape(caller, 'Y', Y);
    if (shape[0] !== n) {
      throw new RangeError(`${caller}: Y must have shape [${n},*], got shape [${shape}]`);
    }
    const t = this.counts.step + 1;
    const [rho, gamma] = [rhoOf(t), gammaOf(t)];
    checkNumber(caller, `rho(${t})`, rho, { above: 0, max: 1 });
    checkNumber(caller, `gamma(${t})`, gamma, { above: 0, max: 1 });
    const values = Y instanceof Tensor ? yield Y : hostValues(Y);
    const bad = Array.prototype.findIndex.call(values, (x: number) => !Number.isFinite(x));
    if (bad >= 0) return this.refuse(caller, values[bad]!, bad);

    const made: Tensor[] = [];
    try {
      const batch =
        Y instanceof Tensor && Y.dtype === 'float32'
          ? (Y as Tensor2D)
          : tensor2d(Float32Array.from(values), shape);
      if (batch !== Y) made.push(batch);
      const { G, objective } = tidy(() => {
        const found = dictionaryGradient(this.D, batch, p);
        const fresh = rho === 1 ? found.gradient.clone() : mul(found.gradient, rho);
        const mean = rho === 1 ? fresh : add(mul(this.G, 1 - rho), fresh);
        return { G: mean as Tensor2D, objective: found.objective };
      });
      made.push(G, objective);
      const polarFactor = yield* this.polarFactor(G);
      made.push(polarFactor);
      const next = frankWolfeUpdate(this.D, { G, polarFactor, gamma });
      made.push(next.D, next.S, next.gap);
      const numbers = tidy(() => stack([objective, next.gap, sum(square(G)) as Scalar]));
      made.push(numbers);
      const [objectiveValue, gap, square2] = (yield numbers) as unknown as number[];
      if (!isFiniteAll([objectiveValue!, gap!, square2!])) {
        // Finite samples whose powers overflow float32.
        if (onNonFinite === 'skip') return this.refuse(caller, Number.POSITIVE_INFINITY, 0);
        throw new RangeError(
          `${caller}: Y must not overflow float32 when raised to the power ${p}`,
        );
      }
      const zero = square2 === 0;
      this.commit(G, zero ? undefined : next.D, shape[1]);
      made.splice(made.indexOf(G), 1);
      if (!zero) made.splice(made.indexOf(next.D), 1);
      return {
        step: t,
        gap: gap!,
        objective: objectiveValue!,
        rho,
        gamma: zero ? 0 : gamma,
        ...(zero && { skipped: 'zeroGradient' as const }),
      };
    } finally {
      for (const x of made) x.dispose();
    }
  }

  private refuse(caller: string, value: number, index: number): DictionaryReport {
    if (this.options.onNonFinite === 'throw') {
      throw new RangeError(`${caller}: Y must be finite, got ${value} at index ${index}`);
    }
    this.counts.nonFiniteBatches++;
    const skipped = 'nonFinite';
    const { step } = this.counts;
    return { step, gap: Number.NaN, objective: Number.NaN, rho: 0, gamma: 0, skipped };
  }

  private commit(G: Tensor2D, D: Tensor2D | undefined, batch: number): void {
    this.G.dispose();
    this.G = keep(G);
    if (D) {
      this.D.dispose();
      this.D = keep(D);
    }
    this.counts.step++;
    this.counts.samples += batch;
  }

  private *polarFactor(G: Tensor2D): Steps<Tensor2D> {
    const { polar, rankTolerance } = this.options;
    const { shape } = G;
    if (typeof polar === 'function') {
      const factor = polar(G);
      checkTensor('OnlineOrthogonalDictionary', 'polar(G)', factor, { shape });
      return factor === G ? G.clone() : factor;
    }
    if (polar === 'newtonSchulz') return newtonSchulzPolar(G) as Tensor2D;
    const values = yield G;
    // An overflown gradient has no polar factor; the numbers read at the end of the step say so.
    if (!isFiniteAll(values)) return zeros(shape);
    const factor = partialIsometry({ shape, data: Float64Array.from(values) }, rankTolerance);
    return tensor2d(Float32Array.from(factor.data), shape);
  }

  /**
   * The dictionary, atoms are columns.
   *
   * @param options.project - its polar factor, orthogonal to 1e−5, rather than the iterate, which lies strictly inside
   *   the ball. Default true
   * @returns shape `[N, N]`, float32; the caller disposes it
   */
  dictionary(options: { readonly project?: boolean } = {}): Tensor2D {
    this.checkAlive('dictionary');
    checkOptions('dictionary', options, ['project']);
    const { project = true } = options;
    checkBoolean('dictionary', 'project', project);
    return project ? (newtonSchulzPolar(this.D, PROJECTION) as Tensor2D) : this.D.clone();
  }

  /** The running mean of gradients, shape `[N, N]`; the caller disposes it. */
  averageGradient(): Tensor2D {
    this.checkAlive('averageGradient');
    return this.G.clone();
  }

  /**
   * Codes `DᵀY` of the projected dictionary, all of them or sparse.
   *
   * @param Y - samples as columns, shape `[N, B]`
   * @returns shape `[N, B]`; the caller disposes it
   * @throws TypeError or RangeError for another shape or a bad option
   */
  encode(Y: Tensor2D, options: SparseCodeOptions = {}): Tensor2D {
    return tidy(() => encodeSparse(this.dictionary(), Y, options));
  }

  /**
   * Samples `D Z` for codes.
   *
   * @param Z - codes as columns, shape `[N, B]`
   * @returns shape `[N, B]`; the caller disposes it
   */
  decode(Z: Tensor2D): Tensor2D {
    return tidy(() => decodeSparse(this.dictionary(), Z));
  }

  /** All that is needed to go on later, exactly; waits for updates under way. */
  async state(): Promise<OnlineDictionaryState> {
    this.checkAlive('state');
    await this.queue;
    this.checkAlive('state');
    const { D, G, counts } = this;
    const held = [D.clone(), G.clone()] as const;
    const body = { ...counts };
    const [dictionary, gradient] = await Promise.all(held.map((x) => x.data()));
    for (const x of held) x.dispose();
    const { p, polar, rho, gamma } = this.options;
    const state = {
      format: 'orth/online-orthogonal-dictionary' as const,
      version: 1 as const,
      size: this.size,
      p,
      ...body,
      polar: typeof polar === 'function' ? ('custom' as const) : polar,
      customRho: rho !== defaultRho,
      customGamma: gamma !== defaultGamma,
      dictionary: Array.from(dictionary!),
      gradient: Array.from(gradient!),
    };
    return { ...state, checksum: stateChecksum(state) };
  }

  /**
   * A learner that goes on from a saved state, bit for bit on the same backend.
   *
   * @param options - functions that were used as `rho`, `gamma` or `polar` must be given again; others may change
   * @throws CheckpointError for a state that is damaged, of something else, or whose functions are missing
   */
  static restore(
    state: OnlineDictionaryState,
    options: RestoreDictionaryOptions = {},
  ): OnlineOrthogonalDictionary {
    checkState('restore', state);
    const resolved = optionsFromState('restore', state, options);
    const { size: n, step, samples, nonFiniteBatches } = state;
    const zero = { shape: [n, n], data: new Float32Array(n * n) };
    const learner = new OnlineOrthogonalDictionary(n, { ...resolved, init: zero });
    learner.D.dispose();
    learner.G.dispose();
    learner.D = keep(tensor2d(Float32Array.from(state.dictionary), [n, n]));
    learner.G = keep(tensor2d(Float32Array.from(state.gradient), [n, n]));
    learner.counts = { step, samples, nonFiniteBatches };
    return learner;
  }

  /** Frees the two matrices; a second call does nothing. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.D.dispose();
    this.G.dispose();
  }

  private checkAlive(caller: string): void {
    if (this.disposed) throw new Error(`${caller}: the dictionary must not be disposed`);
  }
}

/** Rounding of a float32 product leaves about 1e−6. */
const PROJECTION = { tolerance: 1e-6 };

function hostValues(Y: MatrixInput): ArrayLike<number> {
  return 'data' in Y ? (Y.data as ArrayLike<number>) : (Y as readonly number[][]).flat();
}

function checkInit(caller: string, init: MatrixInput, n: number) {
  const start = readMatrixSync(caller, 'init', init);
  if (`${start.shape}` !== `${[n, n]}`) {
    throw new RangeError(`${caller}: init must have shape [${n},${n}], got shape [${start.shape}]`);
  }
  const norm = spectralNorm(start);
  if (norm > 1 + 1e-4) {
    throw new RangeError(`${caller}: init must have a spectral norm <= 1, got ${norm}`);
  }
  return start;
}
