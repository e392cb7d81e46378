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
  convolutionCount,
  type DirectionLevels,
  type DirectionWeights,
  directionNetwork,
  RESIDUAL_PAIRS,
} from './directionNetwork.js';
import { decodeFloat32, encodeFloat32, type Float32Text } from './float32Text.js';

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

/** A saved {@link DirectionNet}: plain JSON. */
export interface SavedDirectionNet {
  readonly format: 'orth-direction-net';
  readonly version: 1;
  readonly dim: 2 | 3;
  readonly filters: number;
  readonly levels: DirectionLevels;
  /** All weights one after another, in the order of `variables`. */
  readonly weights: Float32Text;
}

const FORMAT = 'orth-direction-net';

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

  /** Weights and shape as plain JSON; reads the weights back, hence asynchronous. */
  async save(): Promise<SavedDirectionNet> {
    const all = new Float32Array(this.parameterCount);
    let at = 0;
    for (const values of await Promise.all(this.variables.map((each) => each.data()))) {
      all.set(values, at);
      at += values.length;
    }
    const { dim, filters, levels } = this;
    return { format: FORMAT, version: 1, dim, filters, levels, weights: encodeFloat32(all) };
  }

  /**
   * Takes the weights of a saved network of the same shape.
   * @throws CheckpointError for a damaged or another state; nothing is changed then
   */
  restore(saved: SavedDirectionNet): void {
    const read = readSaved('DirectionNet.restore', saved);
    for (const key of ['dim', 'filters', 'levels'] as const) {
      if (read[key] === this[key]) continue;
      throw new CheckpointError(
        `DirectionNet.restore: ${key} must be ${this[key]}, got ${read[key]}`,
      );
    }
    for (const [i, own] of this.variables.entries()) {
      const next = tensor(read.values[i]!, own.shape, 'float32');
      own.assign(next);
      next.dispose();
    }
  }

  /** Frees the weights; may be called twice. */
  dispose(): void {
    for (const each of this.variables) each.dispose();
  }
}

function split(all: Float32Array, shapes: readonly number[][]): Float32Array[] {
  let at = 0;
  return shapes.map((shape) => {
    const from = at;
    at += sizeOf(shape);
    return all.slice(from, at);
  });
}

function readSaved(caller: string, saved: SavedDirectionNet) {
  const fail = (problem: string) => new CheckpointError(`${caller}: ${problem}`);
  if (saved?.format !== FORMAT) {
    throw fail(`format must be ${FORMAT}, got ${String(saved?.format)}`);
  }
  if (saved.version !== 1) throw fail(`version must be 1, got ${String(saved.version)}`);
  const { dim, filters, levels } = saved;
  if (dim !== 2 && dim !== 3) throw fail(`dim must be 2 or 3, got ${String(dim)}`);
  if (!Number.isInteger(filters) || filters < 1) {
    throw fail(`filters must be an integer >= 1, got ${String(filters)}`);
  }
  if (!Object.hasOwn(RESIDUAL_PAIRS, levels)) {
    throw fail(`levels must be small or large, got ${String(levels)}`);
  }
  const shapes = weightShapes(dim, filters, levels);
  const count = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const values = split(decodeFloat32(caller, 'weights', saved.weights, count), shapes);
  return { dim, filters, levels, values };
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
export function loadDirectionNet(saved: SavedDirectionNet): DirectionNet {
  const { dim, filters, levels, values } = readSaved('loadDirectionNet', saved);
  return new DirectionNet(dim, filters, levels, values);
}
