/** Learned proximal networks: denoisers that are proximal operators by construction. */
import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  add,
  dispose,
  mul,
  relu,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import {
  checkNetworkState,
  loadWeights,
  type NetworkState,
  saveNetwork,
} from '../training/networkState.js';
import { convexConv } from './convexConv.js';
import { convexMlp } from './convexMlp.js';
import type { ConvexNetwork } from './convexNetwork.js';
import { type InvertOptions, type InvertResult, invertGradient } from './invertGradient.js';

/** Options that all architectures share. */
interface CommonLpnOptions {
  /** Sharpness β of the softplus, > 0. Default 10 */
  readonly beta?: number;
  /** `α‖x‖²` is added to the potential, which makes it 2α-strongly convex and its gradient invertible; >= 0. */
  readonly alpha?: number;
  /**
   * `'default'`: uniform in ±1/√fanIn, negative entries of non-negative weights set to 0; `'exp'`: those weights are
   * `exp(N(−10, 0.1²))`, as the authors begin with images; or the two numbers. Default `'default'`
   */
  readonly init?: 'default' | 'exp' | { readonly mean: number; readonly standardDeviation: number };
  /** Of the initial weights. Default 0 */
  readonly seed?: number;
}

/** Options of a network on vectors. */
export interface LpnMlpOptions extends CommonLpnOptions {
  readonly architecture?: 'mlp';
  /** Length of a vector. */
  readonly dim: number;
  /** Units of a layer. Default 50 */
  readonly hidden?: number;
  /** Layers with non-negative weights before the last one, >= 1. Default 4 */
  readonly layers?: number;
  /** Default 0 */
  readonly alpha?: number;
}

/** Options of a network on images. */
export interface LpnConvOptions extends CommonLpnOptions {
  readonly architecture: 'conv';
  /** Height and width, each a multiple of the product of the strides. */
  readonly size: readonly [number, number];
  /** Default 1 */
  readonly channels?: number;
  /** Channels of a hidden layer. Default 64 */
  readonly hidden?: number;
  /** Stride of each convolution, 1 or 2. Default `[1, 2, 1, 2]` */
  readonly strides?: readonly number[];
  /** Units of the dense layer at the end. Default 64 */
  readonly dense?: number;
  /** Whether the first convolution has a bias. Default false */
  readonly firstBias?: boolean;
  /** Default 0.01 */
  readonly alpha?: number;
}

/** Options of {@link LPN}. */
export type LpnOptions = LpnMlpOptions | LpnConvOptions;

/** The prior of a network at some points. */
export interface PriorResult extends InvertResult {
  /** `R(x)` of each sample, `[B]`, up to a constant; the caller disposes it. */
  readonly value: Tensor1D;
}

/**
 * `f = ∇ψ` of an input-convex network ψ: exactly the proximal operator of
 * `R(x) = ⟨y, x⟩ − ½‖x‖² − ψ(y)`, `y = f⁻¹(x)`, which may be non-convex and is learned with it.
 *
 * Trained by {@link trainLpn} it becomes the maximum a posteriori denoiser; {@link LPN.prior} evaluates R, and
 * {@link pnpAdmm} and {@link pnpPgd} solve inverse problems with it. `apply` is first-order tfjs code, so that it can be
 * trained on every backend (convolutions on wasm: after `useBackend('wasm')`, which adds the filter's gradient).
 *
 * @example
 * const model = new LPN({ dim: 2, hidden: 32, layers: 2 });
 * await trainLpn(model, (batch) => random.normalTensor([batch, 2]), { sigma: 0.1, steps: 2000 });
 * const denoised = model.apply(noisy);
 * @see Fang, Buchanan, Sulam 2024, "What's in a prior? Learned proximal networks for inverse problems", ICLR
 */
export class LPN {
  /** Shape of one sample: `[dim]`, or `[height, width, channels]`. */
  readonly inputShape: readonly number[];
  /** Sharpness of the softplus. */
  readonly beta: number;
  /** Strong convexity of the potential is 2α. */
  readonly alpha: number;
  /** Weights by name: `W0` free, `U…` non-negative, `V…` skip connections, `c…` biases. */
  readonly weights: Readonly<Record<string, Variable>>;
  private readonly network: ConvexNetwork;
  private readonly config: Readonly<Record<string, unknown>>;

  /**
   * Makes a network on vectors (`{ dim }`) or images (`{ architecture: 'conv', size }`).
   * @throws TypeError or RangeError for an unknown option or a value out of range
   */
  constructor(options: LpnOptions) {
    const caller = 'LPN';
    const conv = options?.architecture === 'conv';
    const { architecture = 'mlp', beta = 10, alpha = conv ? 0.01 : 0 } = options ?? {};
    const { init = 'default', seed = 0, ...rest } = options ?? {};
    if (architecture !== 'mlp' && architecture !== 'conv') {
      throw new RangeError(`${caller}: architecture must be 'mlp' or 'conv', got ${architecture}`);
    }
    const known = conv
      ? ['size', 'channels', 'hidden', 'strides', 'dense', 'firstBias']
      : ['dim', 'hidden', 'layers'];
    checkOptions(caller, options, ['architecture', 'beta', 'alpha', 'init', 'seed', ...known]);
    checkNumber(caller, 'beta', beta, { above: 0 });
    checkNumber(caller, 'alpha', alpha, { min: 0 });
    checkInteger(caller, 'seed', seed);
    const exponents = readInit(caller, init);
    this.network = conv
      ? makeConv(caller, options as LpnConvOptions, beta)
      : makeMlp(caller, options as LpnMlpOptions, beta);
    this.config = { ...rest, architecture, beta, alpha };
    this.inputShape = this.network.inputShape;
    this.beta = beta;
    this.alpha = alpha;
    const random = seededRandom(seed);
    const made = this.network.specs.map(({ name, shape, fanIn, nonNegative }) => {
      const size = shape.reduce((product, n) => product * n, 1);
      const bound = 1 / Math.sqrt(fanIn);
      const draw = () => {
        if (!nonNegative) return bound * (2 * random.uniform() - 1);
        if (exponents) return Math.exp(random.normal(...exponents));
        return Math.max(bound * (2 * random.uniform() - 1), 0);
      };
      const initial = tensor(Float32Array.from({ length: size }, draw), shape, 'float32');
      const v = variable(initial);
      initial.dispose();
      return [name, v] as const;
    });
    this.weights = Object.fromEntries(made);
  }

  /** The authors' network for 28×28 images with one channel: convolutions of stride 1, 2, 1, 2. */
  static conv28(options: Partial<Omit<LpnConvOptions, 'architecture' | 'size'>> = {}): LPN {
    return new LPN({ strides: [1, 2, 1, 2], ...options, architecture: 'conv', size: [28, 28] });
  }

  /**
   * The authors' network for 128×128 images with three channels: strides 1, 2, 1, 2, 1, 2, 256 channels, β 100,
   * α 1e-6.
   */
  static conv128(options: Partial<Omit<LpnConvOptions, 'architecture' | 'size'>> = {}): LPN {
    return new LPN({
      channels: 3,
      hidden: 256,
      strides: [1, 2, 1, 2, 1, 2],
      firstBias: true,
      beta: 100,
      alpha: 1e-6,
      ...options,
      architecture: 'conv',
      size: [128, 128],
    });
  }

  /** All weights, in a fixed order. */
  get variables(): Variable[] {
    return Object.values(this.weights);
  }

  private check(caller: string, x: Tensor, argument = 'x'): void {
    checkTensor(caller, argument, x, { shape: [null, ...this.inputShape] });
  }

  /**
   * The convex potential ψ of each sample; differentiable.
   *
   * @param x - `[B, …inputShape]`
   * @returns `[B]`
   * @throws TypeError or RangeError for another shape
   */
  scalar(x: Tensor): Tensor1D {
    this.check('LPN.scalar', x);
    return tidy(() => {
      const psi = this.network.potential(this.weights, x);
      return this.alpha === 0 ? psi : (add(psi, mul(squares(x), this.alpha)) as Tensor1D);
    });
  }

  /**
   * `f(x) = ∇ψ(x)`: the denoiser, the proximal operator; differentiable in `x` and the weights.
   *
   * @param x - `[B, …inputShape]`
   * @returns shape of `x`
   * @throws TypeError or RangeError for another shape
   */
  apply<T extends Tensor>(x: T): T {
    this.check('LPN.apply', x);
    return tidy(() => {
      const g = this.network.gradient(this.weights, x);
      // A network whose gradient does not depend on x (all U zero) still has a row for each sample.
      return add(g, mul(x, 2 * this.alpha)) as T;
    });
  }

  /** Sets negative entries of the weights that must not be to 0, which makes ψ convex again. */
  clip(): void {
    tidy(() => {
      for (const { name, nonNegative } of this.network.specs) {
        if (nonNegative) this.weights[name]!.assign(relu(this.weights[name]!));
      }
    });
  }

  /**
   * The y with `f(y) = x`, by minimising `ψ(y) − ⟨x, y⟩`, for a batch. Reads values back.
   *
   * @param x - `[B, …inputShape]`, in the range of f: every x is if α > 0; else y may run away, which the result reports
   * @returns `y` (the caller disposes it), the residual `‖f(y) − x‖` of each sample and whether it is within the tolerance
   * @throws TypeError or RangeError for a wrong argument or numbers that are not finite
   */
  async invert(x: Tensor, options: InvertOptions = {}): Promise<InvertResult> {
    this.check('LPN.invert', x);
    return invertGradient('LPN.invert', (y) => this.apply(y), x, options);
  }

  /**
   * The learned prior `R(x) = ⟨y, x⟩ − ½‖x‖² − ψ(y)`, `y = f⁻¹(x)`, of each sample, up to a constant: a negative
   * log-density where the network is a good MAP denoiser. Reads values back.
   *
   * @throws as {@link LPN.invert}
   */
  async prior(x: Tensor, options: InvertOptions = {}): Promise<PriorResult> {
    this.check('LPN.prior', x);
    const inverse = await invertGradient('LPN.prior', (y) => this.apply(y), x, options);
    return { ...inverse, value: this.priorAt(x, inverse.y) };
  }

  /**
   * R at `x = f(y)` for a known y, without inverting; nothing is read back.
   *
   * @param x - `f(y)`, `[B, …inputShape]`
   * @returns `[B]`
   */
  priorAt(x: Tensor, y: Tensor): Tensor1D {
    this.check('LPN.priorAt', x);
    checkTensor('LPN.priorAt', 'y', y, { shape: x.shape });
    return tidy(() => {
      const rest = mul(sub(y, mul(x, 0.5)), x);
      return sub(sum(rest, axesOf(x)), this.scalar(y)) as Tensor1D;
    });
  }

  /** Weights and options. */
  saveState(): Promise<NetworkState> {
    return saveNetwork('LPN', this.config, Object.entries(this.weights));
  }

  /**
   * Makes the network of a saved state.
   * @throws CheckpointError if the state is damaged or something else
   */
  static fromState(state: NetworkState): LPN {
    const { config } = checkNetworkState('LPN.fromState', state, 'LPN');
    const model = new LPN(config as unknown as LpnOptions);
    try {
      model.loadState(state);
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /**
   * Takes over saved weights.
   * @throws CheckpointError, with nothing changed, if a name, shape or number does not fit
   */
  loadState(state: NetworkState): void {
    const caller = 'LPN.loadState';
    const { weights } = checkNetworkState(caller, state, 'LPN');
    loadWeights(caller, Object.entries(this.weights), weights);
  }

  /** Frees the weights. */
  dispose(): void {
    dispose(this.variables);
  }
}

const axesOf = (x: Tensor) => x.shape.map((_, axis) => axis).slice(1);
const squares = (x: Tensor) => sum(square(x), axesOf(x));

function readInit(caller: string, init: unknown): [number, number] | undefined {
  if (init === 'default') return undefined;
  if (init === 'exp') return [-10, 0.1];
  if (typeof init !== 'object') {
    throw new TypeError(
      `${caller}: init must be 'default', 'exp' or { mean, standardDeviation }, got ${String(init)}`,
    );
  }
  checkOptions(caller, init, ['mean', 'standardDeviation']);
  const { mean, standardDeviation } = init as Record<string, number>;
  checkNumber(caller, 'init.mean', mean);
  checkNumber(caller, 'init.standardDeviation', standardDeviation, { min: 0 });
  return [mean, standardDeviation];
}

function makeMlp(caller: string, options: LpnMlpOptions, beta: number): ConvexNetwork {
  const { dim, hidden = 50, layers = 4 } = options;
  checkInteger(caller, 'dim', dim, { min: 1 });
  checkInteger(caller, 'hidden', hidden, { min: 1 });
  checkInteger(caller, 'layers', layers, { min: 1 });
  return convexMlp(dim, hidden, layers, beta);
}

function makeConv(caller: string, options: LpnConvOptions, beta: number): ConvexNetwork {
  const { size, channels = 1, hidden = 64, strides = [1, 2, 1, 2], dense = 64 } = options;
  const { firstBias = false } = options;
  checkInteger(caller, 'channels', channels, { min: 1 });
  checkInteger(caller, 'hidden', hidden, { min: 1 });
  checkInteger(caller, 'dense', dense, { min: 1 });
  checkBoolean(caller, 'firstBias', firstBias);
  const good =
    Array.isArray(strides) && strides.length > 0 && strides.every((s) => s === 1 || s === 2);
  if (!good) {
    throw new RangeError(`${caller}: strides must hold 1s and 2s, got [${String(strides)}]`);
  }
  const factor = strides.reduce((product, s) => product * s, 1);
  if (!Array.isArray(size) || size.length !== 2) {
    throw new TypeError(`${caller}: size must be [height, width], got ${String(size)}`);
  }
  for (const [i, n] of size.entries()) {
    checkInteger(caller, `size[${i}]`, n, { min: 1 });
    if (n % factor === 0) continue;
    throw new RangeError(`${caller}: size[${i}] must be a multiple of ${factor}, got ${n}`);
  }
  const shape = { size: size as [number, number], channels, hidden, strides, dense, firstBias };
  return convexConv(shape, beta);
}
