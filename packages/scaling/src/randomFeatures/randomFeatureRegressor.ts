import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  dispose,
  keep,
  matMul,
  reshape,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkNumbers } from '../checks.js';
import {
  type HostMatrix,
  meanSquaredError,
  productTransposed,
  toHostMatrix,
  transposed,
} from '../hostMatrix.js';
import {
  applyFeatures,
  drawFeatures,
  type FeatureFunction,
  type FeatureKind,
  type FeatureWeights,
} from './featureMaps.js';
import { ridgePathSolver, solveRidge } from './gramSolve.js';
import { gaussianKernel, gaussianKernelHost, reluKernel, reluKernelHost } from './kernels.js';
import {
  checkRegressorState,
  type PlainTensor,
  type RegressorState,
  stamp,
} from './regressorState.js';
import { ridgeSolve, symmetricSolver } from './ridgeSolve.js';

/** Options of {@link RandomFeatureRegressor}. */
export interface RandomFeatureRegressorOptions {
  /** Kind of features, or a map of one's own. Default `'relu'` */
  readonly features?: FeatureKind | FeatureFunction;
  /** Features, integer >= 1; Infinity uses the kernel itself (not with a map of one's own). */
  readonly k: number;
  /** Ridge δ >= 0 added to the n×n matrix F Fᵀ of O(1) entries. Default 0: least norm */
  readonly ridge?: number;
  /** Seed of the features. Default 0 */
  readonly seed?: number;
  /** Length scale of Fourier features, > 0. Default 1 */
  readonly bandwidth?: number;
  /** Directions W, `[k, d]`, in place of drawn ones; copied. Not with a map of one's own */
  readonly directions?: Tensor2D;
}

/** Errors at one ridge. */
export interface RidgeErrors {
  readonly ridge: number;
  /** Mean over samples of the squared error, summed over outputs. */
  readonly trainError: number;
  readonly testError: number;
}

const KNOWN = ['features', 'k', 'ridge', 'seed', 'bandwidth', 'directions'];

interface Fitted {
  readonly weights?: FeatureWeights;
  /** Training points; kernel only. */
  readonly points?: Tensor2D;
  /** `[k, C]`, or `[n, C]` over training points. */
  readonly coefficients: Tensor2D;
  readonly vector: boolean;
}

/**
 * Ridge regression on random features: f̂(x) = F(x) Fᵀ(F Fᵀ + δI)⁻¹ y, the thing that {@link rfRisk} predicts.
 *
 * Features and predictions are computed on the device in float32; the regression is solved on the host in float64,
 * over samples or features, whichever are fewer: Cholesky's factors of the device's product with refinement, or the
 * product in float64 where the ridge is too small for that. Good up to some two thousand of the fewer.
 *
 * @example
 * const model = new RandomFeatureRegressor({ k: 500, ridge: 0.1, seed: 1 });
 * await model.fit(X, y);
 * const predictions = model.predict(X);
 * @see Rahimi and Recht 2007; conventions of Simon et al. 2024, "More is Better in Modern Machine Learning"
 */
export class RandomFeatureRegressor {
  private readonly features: FeatureKind | FeatureFunction;
  /** Features; Infinity for the kernel itself. */
  readonly k: number;
  /** Ridge δ. */
  readonly ridge: number;
  private readonly seed: number;
  private readonly bandwidth: number;
  private readonly given: Tensor2D | undefined;
  private fitted: Fitted | undefined;

  /**
   * A regressor, not yet fitted.
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: RandomFeatureRegressorOptions) {
    const caller = 'RandomFeatureRegressor';
    checkOptions(caller, options, KNOWN);
    const { features = 'relu', k, ridge = 0, seed = 0, bandwidth = 1, directions } = options;
    const own = typeof features === 'function';
    if (!own) checkOneOf(caller, 'features', features, ['relu', 'fourier']);
    if (k !== Infinity || own) checkInteger(caller, 'k', k, { min: 1 });
    checkNumber(caller, 'ridge', ridge, { min: 0 });
    checkInteger(caller, 'seed', seed);
    checkNumber(caller, 'bandwidth', bandwidth, { above: 0 });
    if (directions !== undefined) {
      checkTensor(caller, 'directions', directions, { shape: [k === Infinity ? 0 : k, null] });
      if (own) {
        throw new TypeError(`${caller}: directions must not be given with a feature map`);
      }
      this.given = keep(directions.clone());
    }
    this.features = features;
    this.k = k;
    this.ridge = ridge;
    this.seed = seed;
    this.bandwidth = bandwidth;
  }

  /**
   * Fits to samples; an earlier fit is replaced once this one is done.
   *
   * @param X - samples, `[n, d]`, float32
   * @param y - targets, `[n]` or `[n, C]`, float32
   * @returns this regressor
   * @throws TypeError or RangeError if the shapes do not fit or an entry is not finite
   */
  async fit(X: Tensor2D, y: Tensor1D | Tensor2D): Promise<this> {
    const caller = 'RandomFeatureRegressor.fit';
    const { Y, vector } = await this.targets(caller, X, y);
    const points = await toHostMatrix(caller, 'X', X);
    if (this.k === Infinity) {
      const dual = ridgeSolve(this.kernelHost(points, points), Y, this.ridge);
      this.replace({ points: keep(X.clone()), coefficients: toDevice(dual), vector });
      return this;
    }
    const weights = this.draw(X.shape[1]);
    const F = this.map(caller, X, weights);
    try {
      const solution = await solveRidge(
        F,
        await toHostMatrix(caller, 'features', F),
        Y,
        this.ridge,
      );
      this.replace({ ...(weights && { weights }), coefficients: toDevice(solution), vector });
    } catch (error) {
      disposeWeights(weights);
      throw error;
    } finally {
      F.dispose();
    }
    return this;
  }

  /**
   * Predictions, `[n]` or `[n, C]` as the targets were.
   * @param X - points, `[n, d]`, float32
   * @throws Error before a fit; TypeError or RangeError if `X` has another dimension than the samples had
   */
  predict(X: Tensor2D): Tensor {
    const caller = 'RandomFeatureRegressor.predict';
    const { weights, points, coefficients, vector } = this.state(caller);
    const d = (points ?? weights?.directions)?.shape[1] ?? null;
    checkTensor(caller, 'X', X, { shape: [null, d] });
    return tidy(() => {
      const F = points ? this.kernel(X, points) : this.map(caller, X, weights);
      const out = matMul(F, coefficients);
      return vector ? reshape(out, [X.shape[0]]) : out;
    });
  }

  /**
   * Mean squared error (summed over outputs) and R², the part of the variance that is explained.
   * @throws as {@link predict}
   */
  async score(X: Tensor2D, y: Tensor1D | Tensor2D): Promise<{ mse: number; r2: number }> {
    const caller = 'RandomFeatureRegressor.score';
    this.state(caller);
    const { Y } = await this.targets(caller, X, y);
    const out = this.predict(X);
    const predicted = await toHostMatrix(caller, 'predictions', out as Tensor2D);
    out.dispose();
    const mse = meanSquaredError(predicted, Y);
    const [rows, columns] = Y.shape;
    const means = Array.from({ length: columns }, (_, c) => {
      let sum = 0;
      for (let i = 0; i < rows; i++) sum += Y.data[i * columns + c]!;
      return sum / rows;
    });
    const centre = { shape: Y.shape, data: Y.data.map((_, i) => means[i % columns]!) };
    return { mse, r2: 1 - mse / meanSquaredError(Y, centre) };
  }

  /**
   * Errors at many ridges after one eigendecomposition; leaves the fit as it is.
   *
   * @param train - samples and targets
   * @param test - points and targets to judge by
   * @param ridges - each >= 0
   * @throws TypeError or RangeError if the shapes do not fit or a ridge is negative
   */
  async ridgePath(
    train: { readonly X: Tensor2D; readonly y: Tensor1D | Tensor2D },
    test: { readonly X: Tensor2D; readonly y: Tensor1D | Tensor2D },
    ridges: readonly number[],
  ): Promise<RidgeErrors[]> {
    const caller = 'RandomFeatureRegressor.ridgePath';
    checkNumbers(caller, 'ridges', ridges, { min: 0 });
    const { Y } = await this.targets(caller, train.X, train.y);
    const unseen = (await this.targets(caller, test.X, test.y)).Y;
    checkTensor(caller, 'test.X', test.X, { shape: [null, train.X.shape[1]] });
    const { inner, outer, solve } = await this.pathSystem(caller, train.X, test.X, Y);
    return ridges.map((ridge) => {
      const solution = transposed(solve(ridge));
      const trainError = meanSquaredError(productTransposed(inner, solution), Y);
      const testError = meanSquaredError(productTransposed(outer, solution), unseen);
      return { ridge, trainError, testError };
    });
  }

  /**
   * The fit as plain JSON; `RandomFeatureRegressor.restore` continues from it.
   * @throws Error before a fit
   */
  async save(): Promise<RegressorState> {
    const { weights, points, coefficients, vector } = this.state('RandomFeatureRegressor.save');
    const parts: Record<string, Tensor | undefined> = { ...weights, points, coefficients };
    const tensors: Record<string, PlainTensor> = {};
    for (const [name, part] of Object.entries(parts)) {
      if (part) tensors[name] = { shape: part.shape, data: Array.from(await part.data()) };
    }
    const { features, k, ridge, seed, bandwidth } = this;
    return stamp({
      features: typeof features === 'function' ? 'function' : features,
      k: k === Infinity ? 'Infinity' : k,
      ridge,
      seed,
      bandwidth,
      vector,
      tensors,
    });
  }

  /**
   * The regressor that {@link save} wrote.
   * @param features - the feature map, if it was one of one's own
   * @throws CheckpointError if `state` is damaged or foreign; TypeError if the feature map is missing
   */
  static restore(state: RegressorState, features?: FeatureFunction): RandomFeatureRegressor {
    const caller = 'RandomFeatureRegressor.restore';
    checkRegressorState(caller, state);
    const { features: kind, k, ridge, seed, bandwidth, vector, tensors } = state;
    if (kind === 'function' && typeof features !== 'function') {
      throw new TypeError(`${caller}: features must be given: the state has a map of one's own`);
    }
    const regressor = new RandomFeatureRegressor({
      features: kind === 'function' ? features! : kind,
      k: k === 'Infinity' ? Infinity : k,
      ridge,
      seed,
      bandwidth,
    });
    const load = (name: string) => {
      const { shape, data } = tensors[name]!;
      return keep(tensor([...data], [...shape], 'float32'));
    };
    const { directions, phases, points } = tensors;
    regressor.fitted = {
      coefficients: load('coefficients') as Tensor2D,
      vector,
      ...(directions && {
        weights: {
          directions: load('directions') as Tensor2D,
          ...(phases && { phases: load('phases') as Tensor1D }),
        },
      }),
      ...(points && { points: load('points') as Tensor2D }),
    };
    return regressor;
  }

  /** Frees the fit and the given directions. */
  dispose(): void {
    this.release();
    if (this.given && !this.given.isDisposed) this.given.dispose();
  }

  private state(caller: string): Fitted {
    if (this.fitted) return this.fitted;
    throw new Error(`${caller}: the regressor must be fitted first`);
  }

  private release(): void {
    if (!this.fitted) return;
    const { weights, points, coefficients } = this.fitted;
    disposeWeights(weights);
    dispose([coefficients, ...(points ? [points] : [])]);
    this.fitted = undefined;
  }

  private replace(fitted: Fitted): void {
    this.release();
    this.fitted = fitted;
  }

  private async targets(caller: string, X: Tensor2D, y: Tensor1D | Tensor2D) {
    checkTensor(caller, 'X', X, { rank: 2 });
    checkTensor(caller, 'y', y, { minRank: 1 });
    if (y.rank > 2 || y.shape[0] !== X.shape[0]) {
      throw new RangeError(
        `${caller}: y must have shape [${X.shape[0]}] or [${X.shape[0]},C], got shape [${y.shape}]`,
      );
    }
    return { Y: await toHostMatrix(caller, 'y', y), vector: y.rank === 1 };
  }

  private draw(d: number): FeatureWeights | undefined {
    const { features, given, k, seed } = this;
    if (typeof features === 'function') return undefined;
    if (!given) {
      const { directions, phases } = drawFeatures(features, k, d, seed);
      return { directions: keep(directions), ...(phases && { phases: keep(phases) }) };
    }
    checkTensor('RandomFeatureRegressor.fit', 'directions', given, { shape: [null, d] });
    const { directions, phases } = drawFeatures(features, k, 1, seed);
    directions.dispose();
    return { directions: keep(given.clone()), ...(phases && { phases: keep(phases) }) };
  }

  private map(caller: string, X: Tensor2D, weights: FeatureWeights | undefined): Tensor2D {
    const { features, bandwidth } = this;
    if (typeof features !== 'function') return applyFeatures(features, X, weights!, bandwidth);
    const F = tidy(() => features(X));
    checkTensor(caller, 'result of features', F, { shape: [X.shape[0], this.k] });
    return F;
  }

  private kernel(X: Tensor2D, X2: Tensor2D): Tensor2D {
    return this.features === 'relu' ? reluKernel(X, X2) : gaussianKernel(X, X2, this.bandwidth);
  }

  private kernelHost(X: HostMatrix, X2: HostMatrix): HostMatrix {
    if (this.features === 'relu') return reluKernelHost(X, X2);
    return gaussianKernelHost(X, X2, this.bandwidth);
  }

  private async pathSystem(caller: string, X: Tensor2D, X2: Tensor2D, Y: HostMatrix) {
    if (this.k === Infinity) {
      const points = await toHostMatrix(caller, 'X', X);
      const inner = this.kernelHost(points, points);
      const outer = this.kernelHost(await toHostMatrix(caller, 'X', X2), points);
      const solver = symmetricSolver(inner, Y);
      return { inner, outer, solve: (ridge: number) => solver.solve(ridge) };
    }
    const weights = this.draw(X.shape[1]);
    const maps: Tensor2D[] = [];
    try {
      for (const points of [X, X2]) maps.push(this.map(caller, points, weights));
      const inner = await toHostMatrix(caller, 'features', maps[0]!);
      const outer = await toHostMatrix(caller, 'features', maps[1]!);
      return { inner, outer, solve: ridgePathSolver(inner, Y) };
    } finally {
      dispose(maps);
      disposeWeights(weights);
    }
  }
}

const toDevice = ({ shape, data }: HostMatrix): Tensor2D =>
  keep(tensor2d(Float32Array.from(data), [...shape] as [number, number]));

function disposeWeights(weights: FeatureWeights | undefined): void {
  if (weights) dispose([weights.directions, ...(weights.phases ? [weights.phases] : [])]);
}
