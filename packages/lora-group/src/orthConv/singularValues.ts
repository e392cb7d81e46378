import { checkFinite, checkOneOf, checkOptions } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { innerProducts, rowsOf, symmetricEigen, transposeRows } from '../lora/hostMatrices.js';
import { type ConvMatrixOptions, convMatrix, MATRIX_OPTIONS } from './convMatrix.js';
import { type KernelSizes, kernelSizes, PADDINGS, perAxis } from './convShape.js';

/** Beyond this side a dense eigenvalue problem takes minutes. */
const MOST_DENSE = 1024;

/**
 * All singular values of a convolution layer's matrix, on the host in float64. With circular padding exactly, by Fourier
 * transform: at each of the `N^d` frequencies those of an `out × in·ΠS` matrix. With other paddings those of {@link convMatrix},
 * whose smaller side may be 1024 at most. Small ones are good to 1e-8 of the greatest.
 *
 * @param kernel - `[kh, kw, in, out]`, or `[k, in, out]` of a 1-D convolution
 * @returns in descending order, as many as the matrix' smaller side
 * @throws (rejects with) TypeError or RangeError for a kernel of another rank or not finite, a wrong option, or a size that
 *   does not fit or is too large
 * @example
 * const values = await convSingularValues(kernel, { size: 14, stride: 2 });
 * @see Sedghi, Gupta, Long 2019, "The Singular Values of Convolutional Layers", for stride 1; strides by polyphase
 *   components, derived here
 */
export async function convSingularValues(
  kernel: Tensor,
  options: ConvMatrixOptions,
): Promise<Float64Array> {
  const caller = 'convSingularValues';
  checkOptions(caller, options, MATRIX_OPTIONS);
  const { size, stride = 1, padding = 'circular' } = options;
  const sizes = kernelSizes(caller, kernel, stride);
  const sides = perAxis(caller, 'size', size, sizes.dim);
  checkOneOf(caller, 'padding', padding, PADDINGS);
  if (padding !== 'circular') return denseValues(caller, kernel, options);
  sides.forEach((side, i) => {
    if (side % sizes.strides[i]! === 0) return;
    throw new RangeError(
      `${caller}: size must be a multiple of the stride [${sizes.strides}], got [${sides}]`,
    );
  });
  const values = await kernel.data();
  checkFinite(caller, 'kernel', values);
  return circularValues(values, sizes, sides);
}

async function denseValues(
  caller: string,
  kernel: Tensor,
  options: ConvMatrixOptions,
): Promise<Float64Array> {
  const matrix = convMatrix(kernel, options);
  const [rows, columns] = matrix.shape;
  try {
    if (Math.min(rows, columns) > MOST_DENSE) {
      throw new RangeError(
        `${caller}: size must give a matrix with a side <= ${MOST_DENSE}, got [${matrix.shape}]`,
      );
    }
    const values = await matrix.data();
    checkFinite(caller, 'kernel', values);
    const list = rowsOf(values, rows, columns);
    const short = rows <= columns ? list : transposeRows(list);
    return roots(symmetricEigen(innerProducts(short, short)).values);
  } finally {
    matrix.dispose();
  }
}

const roots = (values: Float64Array) => values.map((x) => Math.sqrt(Math.max(0, x)));

/**
 * A layer of stride S is, on the components `x_a[n] = x[S n + a]`, one of stride 1, and that is at each frequency ω a product with
 * `H_a(ω) = Σ_q K[S q + a] exp(2πi ω q / N)`. Real kernels have the same singular values at ω and −ω.
 */
function circularValues(
  values: ArrayLike<number>,
  sizes: KernelSizes,
  sides: readonly number[],
): Float64Array {
  const { taps, strides, inChannels: C, outChannels: M } = sizes;
  const [kh, kw] = [taps[0]!, taps[1] ?? 1];
  const [Sh, Sw] = [strides[0]!, strides[1] ?? 1];
  const [Nh, Nw] = [sides[0]! / Sh, (sides[1] ?? 1) / Sw];
  const columns = C * Sh * Sw;
  const found: number[] = [];
  for (let u = 0; u < Nh; u++) {
    for (let v = 0; v < Nw; v++) {
      const opposite = ((Nh - u) % Nh) * Nw + ((Nw - v) % Nw);
      if (opposite < u * Nw + v) continue;
      const real = zeroRows(M, columns);
      const imaginary = zeroRows(M, columns);
      for (let y = 0; y < kh; y++) {
        for (let x = 0; x < kw; x++) {
          const [qy, qx] = [Math.floor(y / Sh), Math.floor(x / Sw)];
          const angle = 2 * Math.PI * ((u * qy) / Nh + (v * qx) / Nw);
          const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
          const first = ((y % Sh) * Sw + (x % Sw)) * C;
          for (let c = 0; c < C; c++) {
            for (let m = 0; m < M; m++) {
              const tap = values[((y * kw + x) * C + c) * M + m]!;
              real[m]![first + c]! += tap * cos;
              imaginary[m]![first + c]! += tap * sin;
            }
          }
        }
      }
      const here = complexSingularValues(real, imaginary);
      found.push(...here);
      if (opposite !== u * Nw + v) found.push(...here);
    }
  }
  return Float64Array.from(found).sort((a, b) => b - a);
}

const zeroRows = (rows: number, columns: number) =>
  Array.from({ length: rows }, () => new Float64Array(columns));

/**
 * Those of `A + iB`, by the Hermitian Gram matrix `G = X + iY` of the smaller side: `[[X, −Y], [Y, X]]` has each eigenvalue of G
 * twice.
 */
function complexSingularValues(A: Float64Array[], B: Float64Array[]): Float64Array {
  const wide = A.length <= A[0]!.length;
  const [re, im] = wide ? [A, B] : [transposeRows(A), transposeRows(B)];
  const k = re.length;
  const [rr, ii, ri] = [innerProducts(re, re), innerProducts(im, im), innerProducts(re, im)];
  const G = zeroRows(2 * k, 2 * k);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < k; j++) {
      const x = rr[i]![j]! + ii[i]![j]!;
      const y = ri[j]![i]! - ri[i]![j]!;
      G[i]![j] = x;
      G[k + i]![k + j] = x;
      G[i]![k + j] = -y;
      G[k + i]![j] = y;
    }
  }
  const { values } = symmetricEigen(G);
  return roots(Float64Array.from({ length: k }, (_, i) => values[2 * i]!));
}
