import { checkInteger, checkOptions, checkTensor, seededRandom } from '@orth/backend';
import {
  add,
  conv2d,
  conv2dTranspose,
  relu,
  type Tensor,
  type Tensor4D,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';

/** Options of {@link ConvAutoencoder}. */
export interface ConvAutoencoderOptions {
  /** Channels of the input and of each layer, `[1, 10, 5]` for two layers. */
  readonly channels: readonly number[];
  /** Side of each layer's kernel. */
  readonly kernels: readonly number[];
  /** Integer. Default 0 */
  readonly seed?: number;
}

/**
 * Convolutional auto-encoder: layers of stride-2 'same' convolution and ReLU, mirrored by transposed convolutions and
 * ReLU, each of which doubles the sides.
 *
 * The weights are variables; training is the caller's, e.g. `optimizer.minimize(() => …, false, net.trainable)`.
 *
 * @see Ji et al. 2017, "Deep subspace clustering networks"; Sindicic and Kopriva 2025
 */
export class ConvAutoencoder {
  readonly channels: readonly number[];
  readonly kernels: readonly number[];
  private readonly variables: Variable[];

  /** @throws TypeError or RangeError for a bad option */
  constructor(options: ConvAutoencoderOptions) {
    const caller = 'ConvAutoencoder';
    checkOptions(caller, options, ['channels', 'kernels', 'seed']);
    const { channels, kernels, seed = 0 } = options;
    checkArchitecture(caller, channels, kernels);
    checkInteger(caller, 'seed', seed);
    this.channels = [...channels];
    this.kernels = [...kernels];
    const random = seededRandom(seed);
    // Uniform in ±1/√fanIn, as the authors' framework starts: the input, which needs no learning, then outweighs the
    // layers at first. With larger starts C fits random features before the encoder has learnt any.
    const start = (shape: number[], fanIn: number) => {
      const bound = 1 / Math.sqrt(fanIn);
      const values = random.uniformTensor(shape, -bound, bound);
      const made = variable(values);
      values.dispose();
      return made;
    };
    const pair = (side: number, from: number, to: number, decoder: boolean) => {
      const shape = decoder ? [side, side, to, from] : [side, side, from, to];
      // That framework counts the outputs of a transposed convolution as its inputs.
      const fanIn = side * side * (decoder ? to : from);
      return [start(shape, fanIn), start([to], fanIn)];
    };
    const layers = kernels.map((side, l) => ({ side, from: channels[l]!, to: channels[l + 1]! }));
    this.variables = [
      ...layers.flatMap(({ side, from, to }) => pair(side, from, to, false)),
      ...layers.reverse().flatMap(({ side, from, to }) => pair(side, to, from, true)),
    ];
  }

  /** All variables: kernel and bias of each encoder layer, then of each decoder layer from the innermost on. */
  get trainable(): Variable[] {
    return [...this.variables];
  }

  /** Variables of the encoder alone. */
  get encoderVariables(): Variable[] {
    return this.variables.slice(0, 2 * this.kernels.length);
  }

  /**
   * Outputs of the encoder's layers, from the first to the innermost; the caller disposes them.
   *
   * @param x - images, shape `[n, height, width, channels]`; sides divisible by 2 for each layer
   * @throws TypeError or RangeError for another shape
   */
  encode(x: Tensor4D): Tensor4D[] {
    checkImages('encode', x, this.channels, this.kernels);
    const layers: Tensor4D[] = [];
    this.kernels.forEach((_, l) => {
      const [kernel, bias] = this.variables.slice(2 * l, 2 * l + 2);
      const from = l === 0 ? x : layers[l - 1]!;
      layers.push(tidy(() => relu(add(conv2d(from, kernel as never, 2, 'same'), bias!))));
    });
    return layers;
  }

  /**
   * Images for the innermost layer's output.
   *
   * @param code - shape `[n, height / 2^L, width / 2^L, channels[L]]`
   * @returns shape `[n, height, width, channels[0]]`; the caller disposes it
   * @throws TypeError or RangeError for another shape
   */
  decode(code: Tensor4D): Tensor4D {
    const depth = this.kernels.length;
    checkTensor('decode', 'code', code, { shape: [null, null, null, this.channels[depth]!] });
    return tidy(() => {
      let out = code;
      for (let l = depth; l < 2 * depth; l++) {
        const [kernel, bias] = this.variables.slice(2 * l, 2 * l + 2);
        const [n, height, width] = out.shape;
        const shape = [n, 2 * height, 2 * width, kernel!.shape[2]!] as const;
        const grown = conv2dTranspose(out, kernel as never, [...shape], 2, 'same');
        out = relu(add(grown, bias!)) as Tensor4D;
      }
      return out;
    });
  }

  /** Weights in the order of {@link trainable}, copied; the caller disposes them. */
  getWeights(): Tensor[] {
    return this.variables.map((v) => v.clone());
  }

  /**
   * Takes weights as {@link getWeights} gives them; they stay the caller's.
   * @throws TypeError or RangeError for other shapes, with nothing changed
   */
  setWeights(weights: readonly Tensor[]): void {
    if (weights.length !== this.variables.length) {
      const rule = `setWeights: weights must be ${this.variables.length} tensors`;
      throw new RangeError(`${rule}, got ${weights.length}`);
    }
    this.variables.forEach(({ shape }, i) => {
      checkTensor('setWeights', `weights[${i}]`, weights[i], { shape });
    });
    this.variables.forEach((v, i) => {
      v.assign(weights[i]!);
    });
  }

  /** Frees the variables; a second call does nothing. */
  dispose(): void {
    for (const v of this.variables) if (!v.isDisposed) v.dispose();
  }
}

/** @throws TypeError or RangeError for a bad architecture */
export function checkArchitecture(caller: string, channels: unknown, kernels: unknown): void {
  for (const [name, list] of Object.entries({ channels, kernels })) {
    if (!Array.isArray(list) || list.length === 0) {
      throw new TypeError(`${caller}: ${name} must be an array of numbers`);
    }
    for (const [i, value] of list.entries())
      checkInteger(caller, `${name}[${i}]`, value, { min: 1 });
  }
  const [c, k] = [(channels as number[]).length, (kernels as number[]).length];
  if (c !== k + 1) {
    throw new RangeError(
      `${caller}: channels must have one entry more than kernels, got ${c} and ${k}`,
    );
  }
}

/** @throws TypeError or RangeError for images that the network cannot halve at each layer */
export function checkImages(
  caller: string,
  x: Tensor4D,
  channels: readonly number[],
  kernels: readonly number[],
): void {
  checkTensor(caller, 'x', x, { shape: [null, null, null, channels[0]!] });
  const factor = 2 ** kernels.length;
  const [, height, width] = x.shape;
  if (height % factor !== 0 || width % factor !== 0) {
    throw new RangeError(
      `${caller}: x must have sides divisible by ${factor} for ${kernels.length} layers, got ${height}×${width}`,
    );
  }
}
