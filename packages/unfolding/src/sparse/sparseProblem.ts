/** The random problem of compressed sensing, to train and to test on. */
import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { add, matMul, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';

/** Options of {@link sparseProblem}. */
export interface SparseProblemOptions {
  /** Measurements. */
  readonly m: number;
  /** Unknowns. */
  readonly n: number;
  /** Probability of an entry of x not to be 0, in [0, 1]. Default 0.1 */
  readonly density?: number;
  /** Standard deviation of the noise, >= 0. Default 0 */
  readonly noise?: number;
  /** Default 0 */
  readonly seed?: number;
}

/** A source of sparse signals and their measurements. */
export interface SparseProblem {
  /** `[m, n]`, entries N(0, 1/m). */
  readonly A: Tensor2D;
  /** Fresh signals `x` `[B, n]` and measurements `y = A x + v` `[B, m]`; the caller disposes both. */
  sample(batch: number): { x: Tensor2D; y: Tensor2D };
  /** Frees A. */
  dispose(): void;
}

/**
 * Bernoulli–Gaussian signals seen through a Gaussian matrix: entries of x are N(0, 1) with probability `density`, else 0.
 *
 * @throws TypeError or RangeError for an unknown option or a value out of range
 */
export function sparseProblem(options: SparseProblemOptions): SparseProblem {
  const caller = 'sparseProblem';
  checkOptions(caller, options, ['m', 'n', 'density', 'noise', 'seed']);
  const { m, n, density = 0.1, noise = 0, seed = 0 } = options;
  checkInteger(caller, 'm', m, { min: 1 });
  checkInteger(caller, 'n', n, { min: 1 });
  checkNumber(caller, 'density', density, { min: 0, max: 1 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  const random = seededRandom(seed);
  const A = random.normalTensor([m, n], 0, 1 / Math.sqrt(m)) as Tensor2D;
  return {
    A,
    sample(batch) {
      checkInteger(`${caller}.sample`, 'batch', batch, { min: 1 });
      const values = Float32Array.from({ length: batch * n }, () =>
        random.uniform() < density ? random.normal() : 0,
      );
      const x = tensor2d(values, [batch, n]);
      const y = tidy(() => {
        const clean = matMul(x, A, false, true);
        return noise === 0 ? clean : add(clean, random.normalTensor([batch, m], 0, noise));
      }) as Tensor2D;
      return { x, y };
    },
    dispose: () => A.dispose(),
  };
}
