import {
  CheckpointError,
  checkInteger,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  add,
  customGrad,
  div,
  matMul,
  mul,
  reshape,
  type Scalar,
  sqrt,
  square,
  squeeze,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { freeName } from '../adapters/target.js';

const EPSILON = 1e-12;

/** What {@link spectralNormalize} finds. */
export interface SpectralNormalized {
  /** `W / σ`, W's shape; differentiable. */
  readonly weight: Tensor;
  /** Estimate of the greatest singular value, a scalar. */
  readonly sigma: Scalar;
  /** Left vector to go on from, `[m, 1]`. */
  readonly u: Tensor;
}

const unit = (x: Tensor) => div(x, add(sqrt(sum(square(x))), EPSILON));

/**
 * `W / σ` with the greatest singular value σ by steps of a power iteration `v = Wᵀu / ‖·‖`, `u = W v / ‖·‖`, `σ = uᵀ W v`. Vectors are
 * taken for constant: `dW` is `(dY − ⟨dY, W/σ⟩ u vᵀ) / σ`.
 *
 * @param W - `[m, n]`, or a kernel `[…, in, out]`, viewed as `[… · in, out]`
 * @param u - start, shape `[m, 1]`: the last step's
 * @param iterations - integer >= 1. Default 1
 * @throws TypeError or RangeError if the shapes do not fit or `iterations` is wrong
 * @see Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", algorithm 1
 */
export function spectralNormalize(W: Tensor, u: Tensor, iterations = 1): SpectralNormalized {
  checkTensor('spectralNormalize', 'W', W, { minRank: 2 });
  const n = W.shape[W.rank - 1]!;
  const m = W.size / n;
  checkTensor('spectralNormalize', 'u', u, { shape: [m, 1] });
  checkInteger('spectralNormalize', 'iterations', iterations, { min: 1 });
  return tidy(() => {
    const x = reshape(W, [m, n]);
    // What is computed here reaches the result through the op's closure only, so that no gradient flows back to it.
    let [left, right] = [u, u];
    for (let i = 0; i < iterations; i++) {
      right = unit(matMul(x, left, true));
      left = unit(matMul(x, right));
    }
    const sigma = add(matMul(left, matMul(x, right), true), EPSILON);
    const op = customGrad((input, save) => {
      const value = div(input as Tensor, sigma);
      (save as (tensors: Tensor[]) => void)([left, right, sigma, value]);
      return {
        value,
        gradFunc: (dy: Tensor, saved: Tensor[]) =>
          tidy(() => {
            const [a, b, s, y] = saved as [Tensor, Tensor, Tensor, Tensor];
            const along = mul(matMul(a, b, false, true), sum(mul(dy, y)));
            return div(sub(dy, along), s);
          }),
      };
    });
    return { weight: reshape(op(x), W.shape), sigma: squeeze(sigma) as Scalar, u: left };
  });
}

/** Options of {@link SpectralNorm}. */
export interface SpectralNormOptions {
  /** Steps of the power iteration at each use, integer >= 1. Default 1 */
  readonly iterations?: number;
  /** Seed of the first vector. Default 0 */
  readonly seed?: number;
}

/** A {@link SpectralNorm} as plain data, fit for JSON. */
export interface SpectralNormState {
  readonly iterations: number;
  readonly u: readonly number[];
}

/**
 * Keeps a weight at spectral norm 1: `apply(W)` is `W / σ`, with a power iteration that goes on from use to use.
 * @example
 * const normalize = new SpectralNorm([64, 64]);
 * optimizer.minimize(() => loss(matMul(x, normalize.apply(W))));
 */
export class SpectralNorm {
  private readonly u: Variable;
  private readonly iterations: number;

  /**
   * @param shape - the weight's
   * @throws TypeError or RangeError for a wrong shape or option
   */
  constructor(shape: readonly number[], options: SpectralNormOptions = {}) {
    checkOptions('SpectralNorm', options, ['iterations', 'seed']);
    const { iterations = 1, seed = 0 } = options;
    if (!Array.isArray(shape) || shape.length < 2) {
      throw new TypeError(`SpectralNorm: shape must have rank >= 2, got ${JSON.stringify(shape)}`);
    }
    for (const size of shape) checkInteger('SpectralNorm', 'shape', size, { min: 1 });
    checkInteger('SpectralNorm', 'iterations', iterations, { min: 1 });
    checkInteger('SpectralNorm', 'seed', seed);
    this.iterations = iterations;
    const m = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    this.u = tidy(() =>
      variable(unit(seededRandom(seed).normalTensor([m, 1])), false, freeName('spectralNorm/u')),
    );
  }

  /**
   * `W / σ`; differentiable.
   * @param training - whether to keep the power iteration's new vector. Default true
   * @throws TypeError or RangeError for a weight of another shape
   */
  apply(W: Tensor, training = true): Tensor {
    return tidy(() => {
      const { weight, u } = spectralNormalize(W, this.u, this.iterations);
      if (training) this.u.assign(u);
      return weight;
    });
  }

  /** Its state; {@link SpectralNorm.fromJSON} goes on from it. */
  async toJSON(): Promise<SpectralNormState> {
    return { iterations: this.iterations, u: [...(await this.u.data())] };
  }

  /** @throws CheckpointError if the state is damaged */
  static fromJSON(state: SpectralNormState): SpectralNorm {
    const { iterations, u } = (state ?? {}) as SpectralNormState;
    const whole = Number.isInteger(iterations) && iterations > 0;
    if (!whole || !Array.isArray(u) || u.length === 0 || !u.every(Number.isFinite)) {
      throw new CheckpointError('SpectralNorm.fromJSON: state must be one of toJSON');
    }
    const restored = new SpectralNorm([u.length, 1], { iterations });
    const values = tensor2d([...u], [u.length, 1]);
    restored.u.assign(values);
    values.dispose();
    return restored;
  }

  /** Frees its vector. */
  dispose(): void {
    this.u.dispose();
  }
}
