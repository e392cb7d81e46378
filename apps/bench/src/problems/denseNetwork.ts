/** Fully connected networks for reproductions, with batch normalisation where asked. */
import type { Random } from '@orth/backend';
import {
  add,
  batchNorm,
  matMul,
  moments,
  mul,
  ones,
  relu,
  type Tensor,
  type Tensor2D,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';

/** Options of {@link DenseNetwork}. */
export interface DenseNetworkOptions {
  /** Widths, from the inputs to the outputs. */
  readonly widths: readonly number[];
  /** Whether batch normalisation follows each ReLU. Default false */
  readonly normalized?: boolean;
}

interface Layer {
  readonly kernel: Variable;
  readonly bias: Variable;
  readonly norm?: { scale: Variable; offset: Variable; mean: Variable; variance: Variable };
}

/** PyTorch's defaults: momentum of the running statistics, and what keeps the variance from 0. */
const MOMENTUM = 0.1;
const EPSILON = 1e-5;

let networks = 0;

/** A network of dense layers with ReLU, initialised as PyTorch does. */
export class DenseNetwork {
  private readonly layers: Layer[] = [];
  /** What training changes by gradients. */
  readonly variables: Variable[] = [];
  private readonly statistics: Variable[] = [];

  constructor(random: Random, { widths, normalized = false }: DenseNetworkOptions) {
    const prefix = `dense${networks++}`;
    const make = (initial: Tensor, name: string, trainable = true) => {
      const result = variable(initial, trainable, `${prefix}/${name}`);
      initial.dispose();
      (trainable ? this.variables : this.statistics).push(result);
      return result;
    };
    for (let i = 0; i + 1 < widths.length; i++) {
      const [inputs, outputs] = [widths[i]!, widths[i + 1]!];
      const bound = 1 / Math.sqrt(inputs);
      const kernel = make(random.uniformTensor([inputs, outputs], -bound, bound), `kernel${i}`);
      const bias = make(random.uniformTensor([outputs], -bound, bound), `bias${i}`);
      const norm = normalized &&
        i + 2 < widths.length && {
          scale: make(ones([outputs]), `scale${i}`),
          offset: make(zeros([outputs]), `offset${i}`),
          mean: make(zeros([outputs]), `mean${i}`, false),
          variance: make(ones([outputs]), `variance${i}`, false),
        };
      this.layers.push({ kernel, bias, ...(norm && { norm }) });
    }
  }

  /**
   * Outputs for rows of inputs; the caller disposes them.
   * @param training - whether statistics of the batch are used, and remembered
   */
  apply(x: Tensor, training = false): Tensor {
    return tidy(() =>
      this.layers.reduce((input, { kernel, bias, norm }, i) => {
        const output = add(matMul(input as Tensor2D, kernel as Tensor as Tensor2D), bias);
        if (i + 1 === this.layers.length) return output;
        const active = relu(output);
        return norm ? normalize(active, norm, training) : active;
      }, x),
    );
  }

  dispose(): void {
    for (const v of [...this.variables, ...this.statistics]) v.dispose();
  }
}

function normalize(x: Tensor, norm: NonNullable<Layer['norm']>, training: boolean): Tensor {
  const { scale, offset, mean, variance } = norm;
  const apply = (m: Tensor, v: Tensor) =>
    batchNorm(x as Tensor2D, m as never, v as never, offset as never, scale as never, EPSILON);
  if (!training) return apply(mean, variance);
  const batch = moments(x, 0);
  const n = x.shape[0]!;
  const unbiased = mul(batch.variance, n / (n - 1));
  mean.assign(add(mul(mean, 1 - MOMENTUM), mul(batch.mean, MOMENTUM)));
  variance.assign(add(mul(variance, 1 - MOMENTUM), mul(unbiased, MOMENTUM)));
  return apply(batch.mean, batch.variance);
}

/** Rows of a data set on the host. */
export interface Rows {
  readonly count: number;
  readonly width: number;
  readonly values: Float32Array;
}

/** Some rows of a data set, flat. */
export function takeRows({ width, values }: Rows, rows: readonly number[]): Float32Array {
  const taken = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) {
    taken.set(values.subarray(row * width, (row + 1) * width), i * width);
  }
  return taken;
}

/** The rows of an epoch in a random order, in batches; the last may be smaller. */
export function batchesOf(random: Random, count: number, size: number): number[][] {
  const order = random.shuffle([...Array(count).keys()]);
  return Array.from({ length: Math.ceil(count / size) }, (_, i) =>
    order.slice(i * size, (i + 1) * size),
  );
}
