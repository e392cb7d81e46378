/**
 * The last layer Q of the network: a spectral convolution in time of [last input frame, latent], which fine-tuning widens to
 * all frequencies.
 */
import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  concat,
  mul,
  reshape,
  slice,
  sub,
  type Tensor,
  tensor,
  tidy,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';
import {
  checkModes,
  fromKeptSpectrum,
  keptFrequencies,
  keptSpectrum,
  type Modes,
  mixChannels,
  partOf,
} from '../spectral/spectralConv.js';

/** Spectrum of [last frame, latent] behind as many zero frames; arguments as `[channels, batch, x, y, t]`. */
export function outputSpectrum(latent: Tensor, last: Tensor, modes: Modes): Tensor {
  return keptSpectrum(concat([last, latent], 4), modes, latent.shape[4]! + 1);
}

/** Frames of a mixed spectrum, added to the last input frame: `[channels, batch, x, y, outSteps]`. */
export function outputFrames(
  mixed: Tensor,
  last: Tensor,
  latentSteps: number,
  outSteps: number,
): Tensor {
  const [channels, , nx, ny] = last.shape as [number, number, number, number];
  const free = channels === 2 ? divergenceFree(mixed, nx, ny) : mixed;
  const frames = outSteps + latentSteps + 2;
  return add(last, fromKeptSpectrum(free, { nx, ny, frames, last: outSteps }));
}

/** Leray projection of velocity spectra `[2, batch, m_t, 2m_y, 2, 2m_x]`: û − k (k·û)/|k|². */
function divergenceFree(z: Tensor, nx: number, ny: number): Tensor {
  const [, batch, mt, ky, , kx] = z.shape as [number, number, number, number, number, number];
  const [fx, fy] = [keptFrequencies(kx / 2), keptFrequencies(ky / 2)];
  // A real field has no divergence at the Nyquist frequency.
  const wave = (k: number, n: number) => (2 * Math.abs(k) === n ? 0 : k);
  const table = (f: (p: number, q: number) => number) =>
    tensor(
      fy.flatMap((q) => fx.map((p) => f(wave(p, nx), wave(q, ny)))),
      [ky, 1, kx],
    );
  const share = (f: (p: number, q: number) => number) =>
    table((p, q) => (p === 0 && q === 0 ? 0 : f(p, q) / (p * p + q * q)));
  const parts = reshape(z, [2, batch * mt, ky, 2, kx]);
  const cross = share((p, q) => p * q);
  const [xx, yy] = [share((p) => p * p), share((_, q) => q * q)];
  const weights = reshape(concat([xx, yy], 0), [2, 1, ky, 1, kx]);
  const component = (index: 0 | 1) => partOf(parts, index, [1, batch * mt, ky, 2, kx]);
  const swapped = concat([component(1), component(0)], 0);
  const removed = add(mul(parts, weights), mul(swapped, cross));
  return reshape(sub(parts, removed), z.shape);
}

/** Options of {@link spectralOutput}. */
export interface SpectralOutputOptions {
  /** Frames to predict. */
  readonly outSteps: number;
  /** What `bias` is multiplied by. Default 0.1 */
  readonly biasScale?: number;
}

/**
 * The output layer Q as a function: frames after `lastFrame`, from the latent trajectory.
 *
 * @param latent - `[batch, t, n, n]`, as `STFNO.latent` gives it
 * @param lastFrame - `[batch, n, n]`, the last known frame
 * @param layer.weight - `[2, m_t, 2m_y, 2m_x, 1, 1]`
 * @param layer.bias - `[2, m_t, 2m_y, 2m_x]`
 * @returns `[batch, outSteps, n, n]`. Differentiable
 * @throws TypeError or RangeError for bad shapes or options
 */
export function spectralOutput(
  latent: Tensor,
  lastFrame: Tensor,
  layer: OutputLayer & SpectralOutputOptions,
): Tensor {
  const caller = 'spectralOutput';
  checkOptions(caller, layer, ['weight', 'bias', 'outSteps', 'biasScale']);
  const { weight, bias, outSteps, biasScale = 0.1 } = layer;
  checkTensor(caller, 'latent', latent, { rank: 4 });
  const [batch, t, nx, ny] = latent.shape as [number, number, number, number];
  checkTensor(caller, 'lastFrame', lastFrame, { shape: [batch, nx, ny] });
  checkTensor(caller, 'weight', weight, { shape: [2, null, null, null, 1, 1] });
  checkTensor(caller, 'bias', bias, { shape: weight.shape.slice(0, 4) });
  checkInteger(caller, 'outSteps', outSteps, { min: 1 });
  checkNumber(caller, 'biasScale', biasScale);
  const modes = modesOf(weight);
  checkModes(caller, modes, [nx, ny, 2 * (t + 1)]);
  return tidy(() => {
    const last = reshape(lastFrame, [1, batch, nx, ny, 1]);
    const own = reshape(transpose(latent, [0, 2, 3, 1]), [1, batch, nx, ny, t]);
    const mixed = mixChannels(outputSpectrum(own, last, modes), weight, mul(bias, biasScale));
    const frames = outputFrames(mixed, last, t, outSteps);
    return transpose(reshape(frames, [batch, nx, ny, outSteps]), [0, 3, 1, 2]);
  });
}

/** Weight and bias of an output layer. */
export interface OutputLayer {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Modes of a weight `[2, m_t, 2m_y, 2m_x, …]`. */
export function modesOf({ shape }: Tensor): Modes {
  const [, mt, ky, kx] = shape as [number, number, number, number];
  return [kx / 2, ky / 2, mt];
}

/**
 * The same layer with more frequencies, whose coefficients are 0: predictions stay what they were.
 *
 * @param layer - `weight` of shape `[2, m_t, 2m_y, 2m_x, c_o, c_i]`, `bias` of shape `[2, m_t, 2m_y, 2m_x]`
 * @param modes - at least those of the layer
 * @throws RangeError for fewer modes than the layer has
 */
export function widenModes(layer: OutputLayer, modes: Modes): OutputLayer {
  const { weight, bias } = layer;
  const caller = 'widenModes';
  checkTensor(caller, 'weight', weight, { rank: 6 });
  checkTensor(caller, 'bias', bias, { shape: weight.shape.slice(0, 4) });
  const old = modesOf(weight);
  modes.forEach((m, axis) => {
    checkInteger(caller, 'modes', m, { min: old[axis]! });
  });
  return tidy(() => ({ weight: widened(weight, modes), bias: widened(bias, modes) }));
}

function widened(x: Tensor, modes: Modes): Tensor {
  const old = modesOf(x);
  let wide = x;
  // New frequencies lie between the first m, 0 … m − 1, and the last m, −m … −1.
  for (const axis of [2, 3]) {
    const [m, wanted] = [old[3 - axis]!, modes[3 - axis]!];
    const [first, last] = [0, m].map((at) => {
      const begin = wide.shape.map((_, i) => (i === axis ? at : 0));
      return slice(
        wide,
        begin,
        wide.shape.map((length, i) => (i === axis ? m : length)),
      );
    });
    const gap = wide.shape.map((length, i) => (i === axis ? 2 * (wanted - m) : length));
    wide = concat([first!, zeros(gap), last!], axis);
  }
  const gap = wide.shape.map((length, i) => (i === 1 ? modes[2] - old[2] : length));
  return concat([wide, zeros(gap)], 1);
}
