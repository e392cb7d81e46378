/**
 * The spectral convolution of Fourier neural operators: transform over x, y and t, keep the lowest frequencies, mix
 * channels with a complex matrix for each of them, transform back, to any number of frames.
 */
import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  concat,
  matMul,
  mul,
  neg,
  reshape,
  slice,
  squeeze,
  stack,
  sub,
  type Tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { contract, permute } from './contract.js';
import { fourierTable, halfLength, multiplicity, range } from './tables.js';

/** How many frequencies are kept: |k_x| < `m_x` with −m_x besides, likewise in y, and 0 … m_t − 1 in time. */
export type Modes = readonly [x: number, y: number, t: number];

/** Options of {@link spectralConv}. */
export interface SpectralConvOptions {
  /** Complex coefficients `[2, 2m_x, 2m_y, m_t]` added to the spectrum of every output channel. Default none */
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
  const overX = contract(permute(overY, [0, 2, 4, 3, 1]), space(X, mx), [2, 2 * mx]);
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
  const overY = contract(permute(overX, [0, 4, 1, 3, 2]), space(ny, ky), [2, ny]);
  const overT = contract(permute(overY, [0, 1, 4, 3, 2]), time, [last]);
  return reshape(overT, [channels, batch, nx, ny, last]);
}

/**
 * Mixes the channels of every frequency.
 * @param z - `[c_i, batch, m_t, 2m_y, 2, 2m_x]`
 * @param weight - `[2, 2m_x, 2m_y, m_t, c_i, c_o]`
 * @param bias - `[2, 2m_x, 2m_y, m_t]`, scaled
 * @returns `[c_o, batch, m_t, 2m_y, 2, 2m_x]`
 */
export function mixChannels(z: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [ci, batch, mt, ky, , kx] = z.shape as [number, number, number, number, number, number];
  const co = weight.shape[5]!;
  const K = kx * ky * mt;
  const part = (w: Tensor, index: number, shape: number[]) =>
    reshape(slice(w, [index, ...w.shape.slice(1).map(() => 0)], [1, ...w.shape.slice(1)]), shape);
  if (ci === 1 && co === 1) {
    // A product of numbers: faster entry by entry than as K tiny matrices.
    const parts = permute(squeeze(z, [0]), [3, 4, 2, 1, 0]);
    const [re, im] = [part(parts, 0, [K, batch]), part(parts, 1, [K, batch])];
    const [a, b] = [part(weight, 0, [K, 1]), part(weight, 1, [K, 1])];
    const mixed = stack([sub(mul(re, a), mul(im, b)), add(mul(re, b), mul(im, a))]);
    const shifted = bias ? add(mixed, reshape(bias, [2, K, 1])) : mixed;
    const back = permute(reshape(shifted, [2, kx, ky, mt, batch]), [4, 3, 2, 0, 1]);
    return reshape(back, [1, batch, mt, ky, 2, kx]);
  }
  const rows = reshape(transpose(z, [5, 3, 2, 1, 4, 0]), [K, batch, 2 * ci]);
  const [a, b] = [part(weight, 0, [K, ci, co]), part(weight, 1, [K, ci, co])];
  const matrix = concat([concat([a, b], 2), concat([neg(b), a], 2)], 1);
  const mixed = matMul(rows, matrix);
  const shifted = bias
    ? add(
        reshape(mixed, [K, batch, 2, co]),
        reshape(transpose(reshape(bias, [2, K])), [K, 1, 2, 1]),
      )
    : mixed;
  return transpose(reshape(shifted, [kx, ky, mt, batch, 2, co]), [5, 3, 2, 1, 4, 0]);
}

/** {@link spectralConv} for `[channels, batch, x, y, t]`, without checks. */
export function spectralConvCore(
  v: Tensor,
  weight: Tensor,
  { bias, biasScale = 1, outSteps, temporalPadding = false }: SpectralConvOptions,
): Tensor {
  const [, , nx, ny, t] = v.shape as [number, number, number, number, number];
  const [, kx, ky, mt] = weight.shape as [number, number, number, number];
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
 * @param weight - `[2, 2m_x, 2m_y, m_t, c_i, c_o]`: real and imaginary part, frequencies 0 … m − 1, −m … −1 along x and y
 * @returns `[batch, c_o, n_x, n_y, outSteps]`
 * @throws TypeError or RangeError for bad shapes or options, or modes beyond the highest frequency of an axis
 * @see Li et al. 2021, "Fourier neural operator", eq. 5; Cao et al. 2025, arXiv:2405.17211
 */
export function spectralConv(v: Tensor, weight: Tensor, options: SpectralConvOptions = {}): Tensor {
  const caller = 'spectralConv';
  checkOptions(caller, options, OPTIONS);
  checkTensor(caller, 'v', v, { rank: 5 });
  const [, channels, nx, ny, t] = v.shape as [number, number, number, number, number];
  checkTensor(caller, 'weight', weight, { shape: [2, null, null, null, channels, null] });
  const [, kx, ky, mt] = weight.shape as [number, number, number, number];
  if (kx % 2 || ky % 2) {
    throw new RangeError(`${caller}: weight must have even axes 1 and 2, got [${weight.shape}]`);
  }
  const { bias, biasScale, outSteps, temporalPadding } = options;
  if (bias !== undefined) checkTensor(caller, 'bias', bias, { shape: [2, kx, ky, mt] });
  if (biasScale !== undefined) checkNumber(caller, 'biasScale', biasScale);
  if (outSteps !== undefined) checkInteger(caller, 'outSteps', outSteps, { min: 1 });
  if (temporalPadding !== undefined) checkBoolean(caller, 'temporalPadding', temporalPadding);
  checkModes(caller, [kx / 2, ky / 2, mt], [nx, ny, temporalPadding ? 2 * t : t]);
  return tidy(() =>
    transpose(spectralConvCore(transpose(v, [1, 0, 2, 3, 4]), weight, options), [1, 0, 2, 3, 4]),
  );
}
