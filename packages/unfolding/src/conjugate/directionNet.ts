import {
  CheckpointError,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import { type Tensor, tensor, type Variable, variable } from '@tensorflow/tfjs-core';
import {
  checkNetworkState,
  loadWeights,
  type NamedVariables,
  type NetworkState,
  saveNetwork,
} from '../training/networkState.js';
import {
  convolutionCount,
  type DirectionLevels,
  type DirectionWeights,
  directionNetwork,
  RESIDUAL_PAIRS,
} from './directionNetwork.js';

/** Options of {@link directionNet}. */
export interface DirectionNetOptions {
  /** Axes of the grid. Default 2 */
  readonly dim?: 2 | 3;
  /** Channels of every convolution, integer >= 1. Default 16 */
  readonly filters?: number;
  /** 15 or 21 convolutions: the authors' for grids of 64 or of 128 points. Default `'small'` */
  readonly levels?: DirectionLevels;
  /** Seed of the weights, integer. Default 0 */
  readonly seed?: number;
}

const CLASS_NAME = 'DirectionNet';

/** Shape of each weight in order: kernel, bias, kernel, …, dense kernel, dense bias. */
function weightShapes(dim: number, filters: number, levels: DirectionLevels): number[][] {
  const taps: number[] = new Array(dim).fill(3);
  const shapes: number[][] = [];
  for (let i = 0; i < convolutionCount(levels); i++) {
    shapes.push([...taps, i === 0 ? 1 : filters, filters], [filters]);
  }
  return [...shapes, [filters, 1], [1]];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);

/**
 * The network that proposes directions: convolutions by 3 points an axis on two levels of a grid. It works on grids of every
 * even size, whatever size it was trained on. Made by {@link directionNet}; owns its variables until `dispose()`.
 */
export class DirectionNet {
  /** Kernel, bias, kernel, bias, …, dense kernel, dense bias. */
  readonly variables: readonly Variable[];

  /** Use {@link directionNet} or {@link loadDirectionNet}. */
  constructor(
    readonly dim: 2 | 3,
    readonly filters: number,
    readonly levels: DirectionLevels,
    values: readonly Float32Array[],
  ) {
    const shapes = weightShapes(dim, filters, levels);
    this.variables = shapes.map((shape, i) => {
      const initial = tensor(values[i]!, shape, 'float32');
      const own = variable(initial);
      initial.dispose();
      return own;
    });
  }

  /** Numbers in all weights. */
  get parameterCount(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Directions for residuals; differentiable in the weights and in `x`.
   *
   * @param x - `[batch, height, width]` or `[batch, depth, height, width]`, float32, even lengths; of norm 1 each, as the
   *   solver and the training give them
   * @returns same shape
   * @throws TypeError or RangeError for another dtype or rank, or an odd length; Error after `dispose()`
   */
  predict(x: Tensor): Tensor {
    const caller = 'DirectionNet.predict';
    checkTensor(caller, 'x', x, { rank: this.dim + 1 });
    if (x.shape.slice(1).some((length) => length % 2 !== 0)) {
      throw new RangeError(`${caller}: x must have a grid of even lengths, got shape [${x.shape}]`);
    }
    if (this.variables[0]!.isDisposed) throw new Error(`${caller}: the network was disposed`);
    return directionNetwork(this.weights(), this.levels, x);
  }

  private weights(): DirectionWeights {
    const count = convolutionCount(this.levels);
    const pick = (odd: number) =>
      Array.from({ length: count }, (_, i) => this.variables[2 * i + odd]!);
    return {
      kernels: pick(0),
      biases: pick(1),
      denseKernel: this.variables[2 * count]!,
      denseBias: this.variables[2 * count + 1]!,
    };
  }

  /** @internal Weights by their names in saved states. */
  named(): NamedVariables {
    const count = convolutionCount(this.levels);
    return this.variables.map((own, i) => {
      const kind = i % 2 === 0 ? 'kernel' : 'bias';
      if (i < 2 * count) return [`${kind}${i >> 1}`, own] as const;
      return [i % 2 === 0 ? 'denseKernel' : 'denseBias', own] as const;
    });
  }

  /** Weights and shape as plain data ({@link encodeNetwork} makes bytes of it); reads the weights back, hence asynchronous. */
  save(): Promise<NetworkState> {
    const { dim, filters, levels } = this;
    return saveNetwork(CLASS_NAME, { dim, filters, levels }, this.named());
  }

  /**
   * Takes the weights of a saved network of the same shape.
   * @throws CheckpointError for a damaged or another state; nothing is changed then
   */
  restore(state: NetworkState): void {
    const caller = 'DirectionNet.restore';
    const config = checkConfig(caller, state);
    for (const key of ['dim', 'filters', 'levels'] as const) {
      if (config[key] === this[key]) continue;
      throw new CheckpointError(`${caller}: ${key} must be ${this[key]}, got ${config[key]}`);
    }
    loadWeights(caller, this.named(), state.weights);
  }

  /** Frees the weights; may be called twice. */
  dispose(): void {
    for (const each of this.variables) each.dispose();
  }
}

function checkConfig(caller: string, state: NetworkState) {
  const { dim, filters, levels } = checkNetworkState(caller, state, CLASS_NAME).config ?? {};
  const fits =
    (dim === 2 || dim === 3) &&
    Number.isInteger(filters) &&
    (filters as number) >= 1 &&
    Object.hasOwn(RESIDUAL_PAIRS, levels as string);
  if (!fits) {
    throw new CheckpointError(
      `${caller}: dim, filters and levels must be those of a network, got ${dim}, ${filters} and ${levels}`,
    );
  }
  return { dim: dim as 2 | 3, filters: filters as number, levels: levels as DirectionLevels };
}

/**
 * A network with random weights: Glorot's uniform distribution, biases 0. 16 filters make 32,577 parameters in two
 * dimensions and 97,457 in three; 8 filters, enough for Poisson problems in two, 8,265.
 *
 * @throws TypeError or RangeError for an option out of range or unknown
 * @example
 * const net = directionNet({ filters: 8, seed: 1 });
 * await trainDirection(net, poisson2d(16), data, { learningRate: 1e-3 });
 * @see Kaneda et al. 2023, figure 2; in three dimensions the authors' network
 */
export function directionNet(options: DirectionNetOptions = {}): DirectionNet {
  const caller = 'directionNet';
  checkOptions(caller, options, ['dim', 'filters', 'levels', 'seed']);
  const { dim = 2, filters = 16, levels = 'small', seed = 0 } = options;
  checkOneOf(caller, 'dim', dim, [2, 3]);
  checkInteger(caller, 'filters', filters, { min: 1 });
  checkOneOf(caller, 'levels', levels, ['small', 'large']);
  const random = seededRandom(seed);
  const values = weightShapes(dim, filters, levels).map((shape) => {
    const size = sizeOf(shape);
    if (shape.length === 1) return new Float32Array(size);
    const taps = sizeOf(shape.slice(0, -2));
    const bound = Math.sqrt(6 / (taps * (shape.at(-2)! + shape.at(-1)!)));
    return Float32Array.from({ length: size }, () => bound * (2 * random.uniform() - 1));
  });
  return new DirectionNet(dim, filters, levels, values);
}

/**
 * A network from what {@link DirectionNet.save} gave.
 * @throws CheckpointError for a damaged or another state
 */
export function loadDirectionNet(state: NetworkState): DirectionNet {
  const caller = 'loadDirectionNet';
  const { dim, filters, levels } = checkConfig(caller, state);
  const zeros = weightShapes(dim, filters, levels).map((shape) => new Float32Array(sizeOf(shape)));
  const net = new DirectionNet(dim, filters, levels, zeros);
  try {
    loadWeights(caller, net.named(), state.weights);
  } catch (error) {
    net.dispose();
    throw error;
  }
  return net;
}
