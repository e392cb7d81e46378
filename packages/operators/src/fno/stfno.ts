/** The spatiotemporal Fourier neural operator. */
import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  type Random,
  seededRandom,
} from '@orth/backend';
import {
  add,
  broadcastTo,
  concat,
  matMul,
  mean,
  mul,
  reshape,
  rsqrt,
  slice,
  square,
  sub,
  type Tensor,
  type Tensor2D,
  tensor,
  tidy,
  transpose,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import {
  checkModes,
  fromKeptSpectrum,
  keptSpectrum,
  type Modes,
  mixChannels,
} from '../spectral/spectralConv.js';
import { ACTIVATIONS, type Activation, activate } from './activation.js';
import { outputFrames, outputSpectrum } from './outputOperator.js';
import { decodeTensor, encodeNumbers, type TensorState } from './tensorState.js';

/** Options of {@link STFNO}. */
export interface STFNOOptions {
  /** Frequencies kept along x, y and t: at most ⌊n/2⌋, ⌊n/2⌋ and ⌊latentSteps/2⌋ + 1. */
  readonly modes: Modes;
  /** Channels; even, > 3. */
  readonly width: number;
  /** Spectral layers, the lifting one included, >= 1. Default 4 */
  readonly layers?: number;
  /** Frames inside the network; an input must have as many or more. Default 10 */
  readonly latentSteps?: number;
  /** Growth rate of the positional encoding in time. Default 0.01 */
  readonly beta?: number;
  /** Scale of the output layer's bias. Default 0.1 */
  readonly delta?: number;
  /** Default `'gelu'`, by the error function */
  readonly activation?: Activation;
  /** 1: vorticity or another scalar; 2: velocity, whose prediction is made divergence-free. Default 1 */
  readonly channels?: 1 | 2;
  /** Hidden channels of the pointwise networks, in multiples of `width`. Default 4 */
  readonly expansion?: number;
  /** Frames after which the encoding's time is 1. Default 100 */
  readonly timeScale?: number;
  /** Of the initial weights; integer. Default 0 */
  readonly seed?: number;
}

/** A network as JSON. */
export interface STFNOState {
  readonly format: 'orth-stfno';
  readonly version: 1;
  readonly config: Required<STFNOOptions>;
  readonly weights: Readonly<Record<string, TensorState>>;
}

const OPTIONS = [
  'modes',
  'width',
  'layers',
  'latentSteps',
  'beta',
  'delta',
  'activation',
  'channels',
  'expansion',
  'timeScale',
  'seed',
];

const NORM_EPSILON = 1e-7;

function resolve(options: STFNOOptions): Required<STFNOOptions> {
  const caller = 'STFNO';
  checkOptions(caller, options, OPTIONS);
  const { modes, width, layers = 4, latentSteps = 10, beta = 0.01, delta = 0.1 } = options;
  const { activation = 'gelu', channels = 1, expansion = 4, timeScale = 100, seed = 0 } = options;
  if (!Array.isArray(modes) || modes.length !== 3) {
    throw new TypeError(`${caller}: modes must be three integers, got ${String(modes)}`);
  }
  for (const m of modes) checkInteger(caller, 'modes', m, { min: 1 });
  checkInteger(caller, 'width', width, { min: 4 });
  if (width % 2) throw new RangeError(`${caller}: width must be even, got ${width}`);
  checkInteger(caller, 'layers', layers, { min: 1 });
  checkInteger(caller, 'latentSteps', latentSteps, { min: 1 });
  checkNumber(caller, 'beta', beta);
  checkNumber(caller, 'delta', delta);
  checkOneOf(caller, 'activation', activation, ACTIVATIONS);
  checkOneOf(caller, 'channels', channels, [1, 2]);
  checkInteger(caller, 'expansion', expansion, { min: 1 });
  checkNumber(caller, 'timeScale', timeScale, { above: 0 });
  checkInteger(caller, 'seed', seed);
  if (modes[2] > Math.floor(latentSteps / 2) + 1) {
    throw new RangeError(
      `${caller}: modes must keep at most ${Math.floor(latentSteps / 2) + 1} frequencies of ${latentSteps} latent steps, got ${modes[2]}`,
    );
  }
  return {
    modes: [...modes] as unknown as Modes,
    width,
    layers,
    latentSteps,
    beta,
    delta,
    activation,
    channels,
    expansion,
    timeScale,
    seed,
  };
}

type Draw = (random: Random) => number;

/** Name, shape and distribution of every parameter, in the order of the forward pass. */
function parameterSpecs(config: Required<STFNOOptions>): [string, number[], Draw][] {
  const { modes, width: C, layers, channels: d, expansion } = config;
  const spectrum = [2, modes[2], 2 * modes[1], 2 * modes[0]];
  const hidden = expansion * C;
  const constant = (value: number) => () => value;
  const spectral = (ci: number, co: number): Draw => {
    return (random) => (0.5 / (ci * co)) * random.uniform();
  };
  const dense = (name: string, co: number, ci: number): [string, number[], Draw][] => {
    const draw: Draw = (random) => (2 * random.uniform() - 1) / Math.sqrt(ci);
    return [
      [`${name}/kernel`, [co, ci], draw],
      [`${name}/bias`, [co], draw],
    ];
  };
  const ffn = (name: string) => [
    ...dense(`${name}/ffn1`, hidden, C),
    ...dense(`${name}/ffn2`, C, hidden),
  ];
  const specs: [string, number[], Draw][] = [
    ['lifting/norm/gamma', [C], constant(1)],
    ['lifting/norm/beta', [C], constant(0)],
    ...dense('lifting/projection', C, C),
    ['lifting/spectral', [...spectrum, C, C], spectral(C, C)],
    ...ffn('lifting'),
  ];
  for (let layer = 1; layer < layers; layer++) {
    specs.push(
      [`block${layer}/spectral`, [...spectrum, C, C], spectral(C, C)],
      ...ffn(`block${layer}`),
      ...dense(`block${layer}/skip`, C, C),
    );
  }
  return [
    ...specs,
    ...dense('reduction', d, C),
    ['output/weight', [...spectrum, d, d], spectral(d, d)],
    ['output/bias', spectrum, constant(0)],
  ];
}

/**
 * Spatiotemporal Fourier neural operator: maps a trajectory of any length to the trajectory that follows, of any length, on
 * any grid that has the kept frequencies.
 *
 * Trajectories are `[batch, t, n, n]`, or `[batch, t, 2, n, n]` for velocities. Weights are in {@link weights}.
 *
 * @example
 * const model = new STFNO({ modes: [8, 8, 5], width: 8 });
 * const next = model.predict(known, { outSteps: 10 }); // known: [batch, 10, 32, 32]
 * @see Cao et al. 2025, "Spectral-Refiner", arXiv:2405.17211
 */
export class STFNO {
  /** Options with their defaults filled in. */
  readonly config: Required<STFNOOptions>;
  /** Parameters by name; training changes them in place. */
  readonly weights: ReadonlyMap<string, Variable>;

  /** @throws TypeError or RangeError for a bad or unknown option */
  constructor(options: STFNOOptions) {
    this.config = resolve(options);
    const random = seededRandom(this.config.seed);
    this.weights = new Map(
      parameterSpecs(this.config).map(([name, shape, draw], index) => {
        const source = random.fork(index);
        const size = shape.reduce((product, n) => product * n, 1);
        const values = Float32Array.from({ length: size }, () => draw(source));
        const start = tensor(values, shape);
        const w = variable(start);
        start.dispose();
        return [name, w] as const;
      }),
    );
  }

  /**
   * The frames that follow `x`.
   * @param x - `[batch, t, n, n]` (`[batch, t, 2, n, n]` for velocities), t >= latentSteps
   * @param options.outSteps - frames to predict. Default t
   * @returns as `x`, with `outSteps` frames. Differentiable in `x` and the weights
   * @throws TypeError or RangeError for a bad shape or option
   */
  predict(x: Tensor, options: { readonly outSteps?: number } = {}): Tensor {
    const caller = 'STFNO.predict';
    checkOptions(caller, options, ['outSteps']);
    this.check(caller, x);
    const { outSteps = x.shape[1]! } = options;
    checkInteger(caller, 'outSteps', outSteps, { min: 1 });
    return tidy(() => {
      const v = this.inward(x);
      return this.outward(this.output(this.trunk(v), lastFrame(v), outSteps));
    });
  }

  /**
   * What the output layer gets: everything before it. Fine-tuning freezes it.
   * @param x - as for {@link predict}
   * @returns as `x`, with `latentSteps` frames
   * @throws as {@link predict}
   */
  latent(x: Tensor): Tensor {
    this.check('STFNO.latent', x);
    return tidy(() => this.outward(this.trunk(this.inward(x))));
  }

  /**
   * Replaces parameters.
   * @param values - by name; float32, of the parameters' shapes. What is not named stays
   * @throws TypeError or RangeError for an unknown name or another shape, nothing changed
   */
  setWeights(values: Readonly<Record<string, Tensor>>): void {
    for (const [name, value] of Object.entries(values)) {
      const own = this.weights.get(name);
      if (!own) throw new RangeError(`STFNO.setWeights: there is no parameter ${name}`);
      checkTensor('STFNO.setWeights', name, value, { shape: own.shape });
    }
    for (const [name, value] of Object.entries(values)) this.weights.get(name)!.assign(value);
  }

  /** Options and parameters as JSON, bit for bit. */
  async saveState(): Promise<STFNOState> {
    const entries = [...this.weights].map(async ([name, w]) => {
      const data = encodeNumbers((await w.data()) as Float32Array);
      return [name, { shape: w.shape, data }] as const;
    });
    const weights = Object.fromEntries(await Promise.all(entries));
    return { format: 'orth-stfno', version: 1, config: this.config, weights };
  }

  /**
   * Puts a saved state's parameters in place of this network's.
   * @throws CheckpointError if the state is damaged or of another architecture, nothing changed
   */
  loadState(state: STFNOState): void {
    const caller = 'STFNO.loadState';
    checkFormat(caller, state);
    const values = [...this.weights].map(
      ([name, w]) => [w, decodeTensor(caller, name, state.weights[name], w.shape)] as const,
    );
    tidy(() => {
      for (const [w, data] of values) w.assign(tensor(data, w.shape));
    });
  }

  /**
   * A network from a saved state.
   * @throws CheckpointError if the state is damaged
   */
  static fromState(state: STFNOState): STFNO {
    checkFormat('STFNO.fromState', state);
    const model = new STFNO(state.config);
    try {
      model.loadState(state);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return model;
  }

  /** Frees the parameters; twice is once. */
  dispose(): void {
    for (const w of this.weights.values()) w.dispose();
  }

  /** How many real numbers the network learns. */
  get parameterCount(): number {
    return [...this.weights.values()].reduce((sum, w) => sum + w.size, 0);
  }

  /** Checks an input. */
  private check(caller: string, x: Tensor): void {
    const { channels, latentSteps, modes } = this.config;
    checkTensor(caller, 'x', x, {
      shape: channels === 1 ? [null, null, null, null] : [null, null, 2, null, null],
    });
    const [nx, ny] = x.shape.slice(-2) as [number, number];
    const t = x.shape[1]!;
    if (nx !== ny) {
      throw new RangeError(`${caller}: x must have a square grid, got [${x.shape}]`);
    }
    if (t < latentSteps) {
      throw new RangeError(`${caller}: x must have at least ${latentSteps} frames, got ${t}`);
    }
    checkModes(caller, modes, [nx, ny, latentSteps]);
  }

  /** To `[channels, batch, x, y, t]`. */
  private inward(x: Tensor): Tensor {
    const [batch, t] = x.shape as [number, number];
    const [nx, ny] = x.shape.slice(-2) as [number, number];
    const { channels } = this.config;
    return transpose(reshape(x, [batch, t, channels, nx, ny]), [2, 0, 3, 4, 1]);
  }

  private outward(v: Tensor): Tensor {
    const [channels, batch, nx, ny, t] = v.shape as [number, number, number, number, number];
    const moved = transpose(v, [1, 4, 0, 2, 3]);
    return channels === 1 ? reshape(moved, [batch, t, nx, ny]) : moved;
  }

  private weight(name: string): Tensor {
    return this.weights.get(name)! as Tensor;
  }

  /** 1×1 convolution: channels come first, so it is one product. */
  private dense(name: string, v: Tensor): Tensor {
    const [channels, ...rest] = v.shape as [number, ...number[]];
    const product = matMul(
      this.weight(`${name}/kernel`) as Tensor2D,
      reshape(v, [channels, -1]) as Tensor2D,
    );
    const shifted = add(product, reshape(this.weight(`${name}/bias`), [-1, 1]));
    return reshape(shifted, [product.shape[0], ...rest]);
  }

  private ffn(name: string, v: Tensor): Tensor {
    const hidden = activate(this.config.activation, this.dense(`${name}/ffn1`, v));
    return this.dense(`${name}/ffn2`, hidden);
  }

  /** Spectral convolution without bias; `steps` frames of output. */
  private spectral(name: string, v: Tensor, steps: number): Tensor {
    const [, , nx, ny] = v.shape as [number, number, number, number];
    const mixed = mixChannels(keptSpectrum(v, this.config.modes), this.weight(name));
    return fromKeptSpectrum(mixed, { nx, ny, frames: steps, last: steps });
  }

  private trunk(input: Tensor): Tensor {
    const { layers, latentSteps, activation } = this.config;
    const encoded = this.encode(input);
    let v = this.normalizeAndProject(encoded);
    const lifted = this.ffn('lifting', this.spectral('lifting/spectral', v, latentSteps));
    v = activate(activation, add(lastFrame(v), lifted));
    for (let layer = 1; layer < layers; layer++) {
      const name = `block${layer}`;
      const mixed = this.ffn(name, this.spectral(`${name}/spectral`, v, latentSteps));
      v = activate(activation, add(mixed, this.dense(`${name}/skip`, v)));
    }
    return this.dense('reduction', v);
  }

  /** Adds the positional encoding, which makes `width` channels of the input's. */
  private encode(input: Tensor): Tensor {
    const { width, beta, timeScale, channels } = this.config;
    const [, , nx, ny, t] = input.shape as [number, number, number, number, number];
    const line = (n: number) => Array.from({ length: n }, (_, i) => (n > 1 ? i / (n - 1) : 0));
    const times = Array.from({ length: t }, (_, i) => (i + 1) / timeScale);
    const waves = Array.from({ length: width - 3 }, (_, k) =>
      times.map((s) => {
        const angle = Math.PI * (k + 1) * s;
        return Math.exp(beta * s) * (k % 2 ? Math.cos(angle) : Math.sin(angle));
      }),
    );
    const space = (values: number[], shape: number[]) =>
      broadcastTo(tensor(values, shape), [1, 1, nx, ny, t]);
    const temporal = tensor([times, ...waves].flat(), [width - 2, 1, 1, 1, t]);
    const encoding = concat(
      [
        space(line(nx), [1, 1, nx, 1, 1]),
        space(line(ny), [1, 1, 1, ny, 1]),
        broadcastTo(temporal, [width - 2, 1, nx, ny, t]),
      ],
      0,
    );
    if (channels === 1) return add(input, encoding);
    return add(concat(new Array(width / channels).fill(input), 0), encoding);
  }

  /**
   * Layer norm over all but the batch, then the projection; scale and shift of the norm are merged into the projection,
   * `W(γ x̂ + β) + b = (W diag γ) x̂ + (W β + b)`.
   */
  private normalizeAndProject(v: Tensor): Tensor {
    const [C, batch, ...rest] = v.shape as [number, number, ...number[]];
    const axes = [0, 2];
    const x = reshape(v, [C, batch, -1]);
    const centred = sub(x, mean(x, axes, true));
    const variance = mean(square(centred), axes, true);
    const normal = mul(centred, rsqrt(add(variance, NORM_EPSILON)));
    const kernel = this.weight('lifting/projection/kernel') as Tensor2D;
    const gamma = reshape(this.weight('lifting/norm/gamma'), [1, C]);
    const beta = reshape(this.weight('lifting/norm/beta'), [C, 1]) as Tensor2D;
    const shift = add(
      matMul(kernel, beta),
      reshape(this.weight('lifting/projection/bias'), [C, 1]),
    );
    const product = matMul(mul(kernel, gamma) as Tensor2D, reshape(normal, [C, -1]) as Tensor2D);
    return reshape(add(product, shift), [C, batch, ...rest]);
  }

  private output(latent: Tensor, last: Tensor, outSteps: number): Tensor {
    const { modes, delta } = this.config;
    const z = outputSpectrum(latent, last, modes);
    const bias = mul(this.weight('output/bias'), delta);
    const mixed = mixChannels(z, this.weight('output/weight'), bias);
    return outputFrames(mixed, last, latent.shape[4]!, outSteps);
  }
}

/** The name of version 1 of the paper; elsewhere "SFNO" is the spherical operator. */
export const SFNO = STFNO;
/** An {@link STFNO}. */
export type SFNO = STFNO;

function lastFrame(v: Tensor): Tensor {
  const [channels, batch, nx, ny, t] = v.shape as [number, number, number, number, number];
  const rows = reshape(v, [-1, t]);
  return reshape(slice(rows, [0, t - 1], [rows.shape[0]!, 1]), [channels, batch, nx, ny, 1]);
}

function checkFormat(caller: string, state: STFNOState): void {
  if (state?.format === 'orth-stfno' && state.version === 1 && state.config && state.weights) {
    return;
  }
  throw new CheckpointError(`${caller}: this is not a saved STFNO of version 1`);
}
