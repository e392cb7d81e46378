import { checkOptions } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type ConvMatrixOptions, MATRIX_OPTIONS } from './convMatrix.js';
import { kernelSizes, perAxis } from './convShape.js';
import { boundFactor, lorth } from './lorth.js';
import { convSingularValues } from './singularValues.js';

/** How far a layer is from orthogonal on images of one size. */
export interface ConvResiduals {
  /** `‖𝒦𝒦ᵀ − I‖_F`, or of `𝒦ᵀ𝒦` where the matrix has fewer columns. */
  readonly fro: number;
  /** Spectral norm of the same. */
  readonly spectral: number;
  /** Least singular value of 𝒦. */
  readonly sigmaMin: number;
  /** Greatest singular value of 𝒦. */
  readonly sigmaMax: number;
  /** {@link lorth} of the kernel: `fro² / N^d` with circular padding. */
  readonly lorth: number;
  /** What `spectral` cannot exceed with circular padding, on images of any size: `√(a · lorth)`. */
  readonly bound: number;
}

/** `‖·‖_F` and `‖·‖₂` of `𝒦𝒦ᵀ − I` from the singular values of 𝒦, as many as its smaller side. */
export function residualNorms(values: ArrayLike<number>): { fro: number; spectral: number } {
  let squares = 0;
  let spectral = 0;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(values[i]! ** 2 - 1);
    squares += error * error;
    spectral = Math.max(spectral, error);
  }
  return { fro: Math.sqrt(squares), spectral };
}

/**
 * Measures a convolution layer's distance from orthogonality by its singular values, on the host in float64.
 *
 * @param kernel - `[kh, kw, in, out]`, or `[k, in, out]` of a 1-D convolution; odd numbers of taps
 * @throws (rejects with) as `convSingularValues` and {@link lorth}; RangeError also for a circular layer on less than
 *   `2k − 1` inputs an axis, where the kernel overlaps itself around the torus and `lorth` measures something else:
 *   `convSingularValues` and {@link residualNorms} still hold there
 * @example
 * const { sigmaMin, sigmaMax } = await convResiduals(kernel, { size: 14 });
 */
export async function convResiduals(
  kernel: Tensor,
  options: ConvMatrixOptions,
): Promise<ConvResiduals> {
  checkOptions('convResiduals', options, MATRIX_OPTIONS);
  const { size, stride = 1, padding = 'circular' } = options;
  const sizes = kernelSizes('convResiduals', kernel, stride);
  const sides = perAxis('convResiduals', 'size', size, sizes.dim);
  if (padding === 'circular' && sides.some((side, i) => side < 2 * sizes.taps[i]! - 1)) {
    throw new RangeError(
      `convResiduals: size must be >= 2k - 1 for kernel [${sizes.taps}], as fro² = N^d lorth does not hold below, got [${sides}]`,
    );
  }
  const penalty = lorth(kernel, { stride });
  const value = (await penalty.data())[0]!;
  penalty.dispose();
  const values = await convSingularValues(kernel, options);
  return {
    ...residualNorms(values),
    sigmaMin: values[values.length - 1]!,
    sigmaMax: values[0]!,
    lorth: value,
    bound: Math.sqrt(boundFactor(sizes) * Math.max(0, value)),
  };
}
