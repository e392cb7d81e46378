import { checkOneOf, checkOptions } from '@orth/backend';
import {
  add,
  customGrad,
  eye,
  matMul,
  mul,
  pad,
  reshape,
  type Scalar,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../adapters/target.js';
import {
  type ConvPadding,
  isColumnCase,
  type KernelSizes,
  kernelSizes,
  PADDINGS,
  type PerAxis,
  squareChannels,
} from './convShape.js';
import { orthogonalConvExists } from './existence.js';

/** Options of {@link lorth}. */
export interface LorthOptions {
  /** Default 1 */
  readonly stride?: PerAxis;
  /**
   * The layer's padding; the value does not depend on it, {@link LorthOptions.onImpossible} does. Default `'circular'`
   */
  readonly padding?: ConvPadding;
  /**
   * What to do about a layer that cannot be orthogonal, for which the value cannot be 0: `'throw'`, `'ignore'`, or call a
   * function with the reason. Default `'ignore'`
   */
  readonly onImpossible?: 'ignore' | 'throw' | ((reason: string) => void);
  /** Whether a kernel with an even number of taps is taken, which the theory does not treat. Default false */
  readonly allowEven?: boolean;
}

/** Names of {@link LorthOptions}. */
export const LORTH_OPTIONS: readonly (keyof LorthOptions)[] = [
  'stride',
  'padding',
  'onImpossible',
  'allowEven',
];

/**
 * How far a convolution layer is from orthogonal, from its kernel K alone, whatever the image's size:
 * `‖R − I₀‖_F² − max(0, M − C ΠS)`, R the inner products of each output filter with each filter shifted by a multiple of the stride,
 * `I₀` the identity at shift 0. With circular padding on N outputs an axis (`S N >= 2k − 1`) it is
 * `‖𝒦𝒦ᵀ − I‖_F² / N^d`, or that of `𝒦ᵀ𝒦` where the layer's matrix 𝒦 has fewer columns; without padding, and fewer rows, a
 * bound on it.
 *
 * Products of the overlapping parts of the kernel, half of the shifts by symmetry: for 3×3 taps a fifth of the operations of the
 * convolution of the kernel with itself that is usual. Needs no convolution of the backend; differentiable once on each.
 *
 * In the column case rounding can leave a little less than 0.
 *
 * @param kernel - `[kh, kw, in, out]`, or `[k, in, out]` of a 1-D convolution
 * @returns a scalar
 * @throws TypeError or RangeError for another rank, a stride < 1, an even number of taps (unless allowed), or, if so asked, a
 *   layer that cannot be orthogonal
 * @example
 * const loss = () => add(task(), mul(lorth(kernel, { stride: 2 }), 0.1));
 * @see Wang et al. 2020, "Orthogonal Convolutional Neural Networks", eq. 7, whose code pads by 1 whatever the kernel and so
 *   misses shifts; Achour, Malgouyres, Mamalet 2022, theorem 5, for the identity and the value in the column case
 */
export function lorth(kernel: Tensor, options: LorthOptions = {}): Scalar {
  const sizes = checkLorth('lorth', kernel, options);
  const { taps, strides, inChannels, outChannels } = sizes;
  const [kh, kw] = [taps[0]!, taps[1] ?? 1];
  const shifts = halfOfShifts(kh, kw, strides[0]!, strides[1] ?? 1);
  const excess = Math.max(0, outChannels - squareChannels(sizes));
  const shape = [kh, kw, inChannels, outChannels] as const;
  const recording = isRecording();
  const op = customGrad((input, save) => {
    const K = input as Tensor;
    // Added up as they come: WebGPU adds no more than a few tensors at once.
    const [value, gradient] = tidy(() =>
      shifts
        .map((shift) => () => atShift(K, shape, shift, recording))
        .reduce<Tensor[]>(
          (total, next) => tidy(() => next().map((x, i) => (total[i] ? add(total[i], x) : x))),
          [],
        ),
    );
    if (recording) (save as (tensors: Tensor[]) => void)([gradient!]);
    return {
      value: sub(value!, excess),
      gradFunc: (dy: Tensor, saved: Tensor[]) => mul(saved[0]!, dy),
    };
  });
  return tidy(() => {
    const K = reshape(kernel, [...shape]);
    return op(K) as Scalar;
  });
}

/** Demands a kernel and options for {@link lorth}, and acts on a layer that cannot be orthogonal. */
export function checkLorth(caller: string, kernel: unknown, options: LorthOptions): KernelSizes {
  checkLorthOptions(caller, options);
  const { stride = 1, padding = 'circular', onImpossible = 'ignore', allowEven = false } = options;
  const sizes = kernelSizes(caller, kernel, stride);
  const { taps, strides, inChannels, outChannels } = sizes;
  if (!allowEven && taps.some((k) => k % 2 === 0)) {
    throw new RangeError(
      `${caller}: kernel must have odd numbers of taps (or allowEven be set), got [${taps}]`,
    );
  }
  if (onImpossible === 'ignore') return sizes;
  const found = orthogonalConvExists({
    inChannels,
    outChannels,
    kernel: taps,
    stride: strides,
    padding,
  });
  if (found.exists === false) {
    if (typeof onImpossible === 'function') onImpossible(found.reason);
    else
      throw new RangeError(
        `${caller}: kernel must be of a layer that can be orthogonal, but ${found.reason}`,
      );
  }
  return sizes;
}

/** Demands options of {@link lorth}. */
export function checkLorthOptions(caller: string, options: LorthOptions): void {
  checkOptions(caller, options, LORTH_OPTIONS);
  const { padding = 'circular', onImpossible = 'ignore' } = options;
  checkOneOf(caller, 'padding', padding, PADDINGS);
  if (typeof onImpossible !== 'function') {
    checkOneOf(caller, 'onImpossible', onImpossible, ['ignore', 'throw']);
  }
}

type Shift = readonly [number, number];

/** Multiples of the strides at which the kernel overlaps itself, one of each pair of opposite ones. */
function halfOfShifts(kh: number, kw: number, Sh: number, Sw: number): Shift[] {
  const [most, side] = [Math.floor((kh - 1) / Sh), Math.floor((kw - 1) / Sw)];
  const list: Shift[] = [];
  for (let i = 0; i <= most; i++) {
    for (let j = i === 0 ? 0 : -side; j <= side; j++) list.push([i * Sh, j * Sw]);
  }
  return list;
}

/** `‖R_δ − I₀‖²`, twice if δ ≠ 0 for its opposite, and its gradient, of two parts on the overlap of the kernels. */
function atShift(
  K: Tensor,
  [kh, kw, C, M]: readonly [number, number, number, number],
  [dy, dx]: Shift,
  recording: boolean,
): Tensor[] {
  return tidy(() => {
    const central = dy === 0 && dx === 0;
    const size = [kh - dy, kw - Math.abs(dx), C, M] as const;
    const from = [0, Math.max(0, -dx)] as const;
    const to = [dy, Math.max(0, dx)] as const;
    const part = (start: readonly [number, number]) =>
      central ? K : slice(K, [...start, 0, 0], [...size]);
    const rows = size[0] * size[1] * C;
    const A = reshape(part(from), [rows, M]);
    const B = central ? A : reshape(part(to), [rows, M]);
    const R = matMul(A, B, true);
    const E = central ? sub(R, eye(M)) : R;
    const value = sum(square(E));
    if (!recording) return [central ? value : mul(value, 2)];
    const put = (gradient: Tensor, [y, x]: readonly [number, number]) =>
      pad(reshape(mul(gradient, 4), [...size]), [
        [y, kh - size[0] - y],
        [x, kw - size[1] - x],
        [0, 0],
        [0, 0],
      ]);
    if (central) return [value, put(matMul(A, E), from)];
    return [mul(value, 2), add(put(matMul(B, E, false, true), from), put(matMul(A, E), to))];
  });
}

/** What {@link spectralBounds} finds. */
export interface SpectralBounds {
  /** Bound on the spectral norm of `𝒦𝒦ᵀ − I` (or `𝒦ᵀ𝒦 − I`). */
  readonly error: number;
  /** All singular values lie between this … */
  readonly least: number;
  /** … and this. */
  readonly greatest: number;
}

/**
 * The number a in `‖𝒦𝒦ᵀ − I‖₂² <= a lorth(K)`: `M Π(2⌊(k−1)/S⌋ + 1)` for rows, `C Π(2k − 1)` for columns, the smaller of the two for a
 * square matrix.
 */
export function boundFactor(sizes: KernelSizes): number {
  const { taps, strides, inChannels: C, outChannels: M } = sizes;
  const row = taps.reduce((most, k, i) => most * (2 * Math.floor((k - 1) / strides[i]!) + 1), M);
  const column = taps.reduce((most, k) => most * (2 * k - 1), C);
  const square = squareChannels(sizes);
  if (M === square) return Math.min(row, column);
  return isColumnCase(sizes) ? column : row;
}

/**
 * Bounds on all singular values of a circular layer, for images of every size, from its kernel alone: with
 * `e = √(a · lorth(K))`, they lie in `[√(1 − e), √(1 + e)]`.
 *
 * @param kernel - as of {@link lorth}
 * @throws (rejects with) as {@link lorth}
 * @see Achour, Malgouyres, Mamalet 2022, theorem 6 and proposition 7
 */
export async function spectralBounds(
  kernel: Tensor,
  options: LorthOptions = {},
): Promise<SpectralBounds> {
  const sizes = checkLorth('spectralBounds', kernel, options);
  const penalty = lorth(kernel, options);
  const value = (await penalty.data())[0]!;
  penalty.dispose();
  return boundsOf(Math.sqrt(boundFactor(sizes) * Math.max(0, value)));
}

/** The interval of singular values for an error of their squares. */
export const boundsOf = (error: number): SpectralBounds => ({
  error,
  least: Math.sqrt(Math.max(0, 1 - error)),
  greatest: Math.sqrt(1 + error),
});
