/**
 * The spectral convolution of Fourier neural operators: transform over x, y and t, keep the lowest frequencies, mix
 * channels with a complex matrix for each of them, transform back, to any number of frames.
 */
import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  matMul,
  mul,
  reshape,
  slice,
  stack,
  sub,
  type Tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { contract, lastToSecond, permute, secondToLast } from './contract.js';
import { fourierTable, halfLength, multiplicity, range } from './tables.js';

/** How many frequencies are kept: |k_x| < `m_x` with −m_x besides, likewise in y, and 0 … m_t − 1 in time. */
export type Modes = readonly [x: number, y: number, t: number];

/** Options of {@link spectralConv}. */
export interface SpectralConvOptions {
  /** Complex coefficients `[2, m_t, 2m_y, 2m_x]` added to the spectrum of every output channel. Default none */
  readonly bias?: Tensor;
  /** What `bias` is multiplied by. Default 1 */
  readonly biasScale?: number;
  /** Frames of the result. Default as the input has */
  readonly outSteps?: number;
  /** Puts as many zero frames in front as the input has, and takes the last `outSteps` frames. Default false */
  readonly temporalPadding?: boolean;
}

/** The kept frequencies of an axis in the order of the weights: 0 … m − 1, −m … −1. */
export const keptFrequencies = (m: number): number[] => [...range(0, m), ...range(-m, 0)];

/**
 * Demands that an axis has the frequencies that are kept of it.
 * @throws RangeError where modes reach beyond the highest frequency
 */
export function checkModes(caller: string, modes: Modes, [x, y, t]: readonly number[]): void {
  const bounds = [Math.floor(x! / 2), Math.floor(y! / 2), halfLength(t!)];
  modes.forEach((m, axis) => {
    if (m <= bounds[axis]!) return;
    const name = 'xyt'[axis]!;
    throw new RangeError(
      `${caller}: modes must be at most ${bounds[axis]} along ${name}, of length ${[x, y, t][axis]}, got ${m}`,
    );
  });
}

/**
 * The kept part of the transform of `v`.
 * @param v - `[channels, batch, x, y, t]`
 * @param padding - zero frames in front
 * @returns `[channels, batch, m_t, 2m_y, 2, 2m_x]`, the axis of length 2 being the real and imaginary part
 */
export function keptSpectrum(v: Tensor, [mx, my, mt]: Modes, padding = 0): Tensor {
  const [channels, batch, X, Y, T] = v.shape as [number, number, number, number, number];
  const R = channels * batch;
  const time = fourierTable(`kept/t/${T}/${padding}/${mt}`, () => ({
    n: T + padding,
    sign: -1,
    rows: range(padding, padding + T),
    columns: range(0, mt),
    realInput: true,
  }));
  const space = (n: number, m: number) =>
    fourierTable(`kept/${n}/${m}`, () => ({
      n,
      sign: -1,
      rows: range(0, n),
      columns: keptFrequencies(m),
    }));
  const overT = contract(reshape(v, [R, X, Y, T]), time, [2, mt], 1);
  const overY = contract(permute(overT, [0, 1, 4, 3, 2]), space(Y, my), [2, 2 * my]);
  const overX = contract(secondToLast(overY), space(X, mx), [2, 2 * mx]);
  return reshape(overX, [channels, batch, mt, 2 * my, 2, 2 * mx]);
}

/** Where the result of {@link fromKeptSpectrum} is sampled. */
export interface Samples {
  readonly nx: number;
  readonly ny: number;
  /** Frames of the whole inverse transform. */
  readonly frames: number;
  /** The last so many of them are returned. */
  readonly last: number;
}

/**
 * Inverse of {@link keptSpectrum} with all other frequencies zero, for any number of frames: frequencies that so few
 * frames do not have are dropped, and nothing is rescaled for the change of length.
 * @returns `[channels, batch, x, y, last]`
 */
export function fromKeptSpectrum(z: Tensor, { nx, ny, frames, last }: Samples): Tensor {
  const [channels, batch, mt, ky, , kx] = z.shape as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const R = channels * batch;
  const space = (n: number, kept: number) =>
    fourierTable(`unkept/${n}/${kept}`, () => ({
      n,
      sign: 1,
      rows: keptFrequencies(kept / 2),
      columns: range(0, n),
      factor: () => [1 / n, 0],
    }));
  const time = fourierTable(`unkept/t/${frames}/${last}/${mt}`, () => ({
    n: frames,
    sign: 1,
    rows: range(0, mt),
    columns: range(frames - last, frames),
    factor: (k) => [2 * k <= frames ? multiplicity(k, frames) / frames : 0, 0],
    realOutput: true,
  }));
  const overX = contract(reshape(z, [R, mt, ky, 2, kx]), space(nx, kx), [2, nx]);
  const overY = contract(lastToSecond(overX), space(ny, ky), [2, ny]);
  const overT = contract(permute(overY, [0, 1, 4, 3, 2]), time, [last]);
  return reshape(overT, [channels, batch, nx, ny, last]);
}

/**
 * Mixes the channels of every frequency.
 * @param z - `[c_i, batch, m_t, 2m_y, 2, 2m_x]`
 * @param weight - `[2, m_t, 2m_y, 2m_x, c_o, c_i]`
 * @param bias - `[2, m_t, 2m_y, 2m_x]`, scaled
 * @returns `[c_o, batch, m_t, 2m_y, 2, 2m_x]`
 */
export function mixChannels(z: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [ci, batch, mt, ky, , kx] = z.shape as [number, number, number, number, number, number];
  const co = weight.shape[4]!;
  const [M, K] = [mt * ky, mt * ky * kx];
  const columns = transpose(reshape(z, [ci * batch, M * 2 * kx]));
  const parts = reshape(columns, [M, 2, kx * ci * batch]);
  const single = ci === 1 && co === 1;
  const [right, left] = single
    ? [
        [K, batch],
        [K, 1],
      ]
    : [
        [K, ci, batch],
        [K, co, ci],
      ];
  const numbers = (index: number) =>
    reshape(slice(parts, [0, index, 0], [M, 1, kx * ci * batch]), right);
  const [re, im] = [numbers(0), numbers(1)];
  const [a, b] = [partOf(weight, 0, left), partOf(weight, 1, left)];
  // Numbers are faster multiplied entry by entry than as K matrices of one.
  const times = (w: Tensor, x: Tensor) => (single ? mul(w, x) : matMul(w, x));
  const shift = (x: Tensor, index: 0 | 1) => {
    const rows = reshape(x, [K, co * batch]);
    const shifted = bias ? add(rows, partOf(bias, index, [K, 1])) : rows;
    return reshape(shifted, [M, kx * co * batch]);
  };
  const mixed = stack(
    [shift(sub(times(a, re), times(b, im)), 0), shift(add(times(b, re), times(a, im)), 1)],
    1,
  );
  return reshape(transpose(reshape(mixed, [M * 2 * kx, co * batch])), [co, batch, mt, ky, 2, kx]);
}

/** The real (0) or imaginary (1) half of a tensor whose first axis is that of the parts. */
export function partOf(x: Tensor, index: 0 | 1, shape: number[]): Tensor {
  // Two axes: the gradient of a slice pads, which tfjs's webgpu backend cannot do with more than four.
  const rows = reshape(x, [2, -1]);
  return reshape(slice(rows, [index, 0], [1, rows.shape[1]!]), shape);
}

/** {@link spectralConv} for `[channels, batch, x, y, t]`, without checks. */
export function spectralConvCore(
  v: Tensor,
  weight: Tensor,
  { bias, biasScale = 1, outSteps, temporalPadding = false }: SpectralConvOptions,
): Tensor {
  const [, , nx, ny, t] = v.shape as [number, number, number, number, number];
  const [, mt, ky, kx] = weight.shape as [number, number, number, number];
  const padding = temporalPadding ? t : 0;
  const last = outSteps ?? t;
  const z = keptSpectrum(v, [kx / 2, ky / 2, mt], padding);
  const mixed = mixChannels(z, weight, bias && mul(bias, biasScale));
  return fromKeptSpectrum(mixed, { nx, ny, frames: last + padding, last });
}

const OPTIONS = ['bias', 'biasScale', 'outSteps', 'temporalPadding'];

/**
 * Spectral convolution over x, y and t: `V̂_o(k) = Σ_i v̂_i(k) W_io(k) + biasScale · bias(k)` for the kept frequencies,
 * 0 for all others. Differentiable in everything; no complex tensors are needed.
 *
 * The result may have another number of frames than the input: the inverse transform is then evaluated on the new
 * length, without a correction of amplitude, as the authors do.
 *
 * @param v - `[batch, c_i, n_x, n_y, t]`, float32
 * @param weight - `[2, m_t, 2m_y, 2m_x, c_o, c_i]`: real and imaginary part, frequencies 0 … m − 1, −m … −1 along x and y
 * @returns `[batch, c_o, n_x, n_y, outSteps]`
 * @throws TypeError or RangeError for bad shapes or options, or modes beyond the highest frequency of an axis
 * @see Li et al. 2021, "Fourier neural operator", eq. 5; Cao et al. 2025, arXiv:2405.17211
 */
export function spectralConv(v: Tensor, weight: Tensor, options: SpectralConvOptions = {}): Tensor {
  const caller = 'spectralConv';
  checkOptions(caller, options, OPTIONS);
  checkTensor(caller, 'v', v, { rank: 5 });
  const [, channels, nx, ny, t] = v.shape as [number, number, number, number, number];
  checkTensor(caller, 'weight', weight, { shape: [2, null, null, null, null, channels] });
  const [, mt, ky, kx] = weight.shape as [number, number, number, number];
  if (kx % 2 || ky % 2) {
    throw new RangeError(`${caller}: weight must have even axes 2 and 3, got [${weight.shape}]`);
  }
  const { bias, biasScale, outSteps, temporalPadding } = options;
  if (bias !== undefined) checkTensor(caller, 'bias', bias, { shape: [2, mt, ky, kx] });
  if (biasScale !== undefined) checkNumber(caller, 'biasScale', biasScale);
  if (outSteps !== undefined) checkInteger(caller, 'outSteps', outSteps, { min: 1 });
  if (temporalPadding !== undefined) checkBoolean(caller, 'temporalPadding', temporalPadding);
  checkModes(caller, [kx / 2, ky / 2, mt], [nx, ny, temporalPadding ? 2 * t : t]);
  return tidy(() =>
    transpose(spectralConvCore(transpose(v, [1, 0, 2, 3, 4]), weight, options), [1, 0, 2, 3, 4]),
  );
}
