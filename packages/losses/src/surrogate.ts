import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  add,
  exp,
  gather,
  leakyRelu,
  matMul,
  mean,
  mul,
  reshape,
  slice,
  softplus,
  square,
  sub,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import {
  ConservativeObjective,
  type ConservativeOptions,
  plainStep,
} from './conservativeObjective.js';
import {
  SurrogateGradientNorm,
  type SurrogateGradientNormOptions,
} from './surrogateGradientNorm.js';

/**
 * Negative log-likelihood of normal distributions, mean over examples: `½ ((y − μ)/σ)² + log σ + ½ log 2π`.
 *
 * @param means - μ, any shape, float32
 * @param logDeviations - log σ, same shape
 * @param y - same shape
 * @returns scalar, in nats
 */
export function gaussianNegativeLogLikelihood(
  means: Tensor,
  logDeviations: Tensor,
  y: Tensor,
): Tensor {
  checkTensor('gaussianNegativeLogLikelihood', 'means', means);
  const { shape } = means;
  checkTensor('gaussianNegativeLogLikelihood', 'logDeviations', logDeviations, { shape });
  checkTensor('gaussianNegativeLogLikelihood', 'y', y, { shape });
  return tidy(() => {
    const z = mul(sub(y, means), exp(mul(logDeviations, -1)));
    return add(mean(add(mul(square(z), 0.5), logDeviations)), 0.5 * Math.log(2 * Math.PI));
  });
}

/**
 * Brings x softly between two limits: `u = max − softplus(max − x)`, then `min + softplus(u − min)`.
 * @param x - any shape, float32
 * @param min - number or tensor that broadcasts to x
 * @param max - likewise
 */
export function softClamp(x: Tensor, min: Tensor | number, max: Tensor | number): Tensor {
  checkTensor('softClamp', 'x', x);
  return tidy(() => {
    const below = sub(max, softplus(sub(max, x)));
    return add(min, softplus(sub(below, min)));
  });
}

/** Options of {@link fitSurrogate}. */
export interface SurrogateOptions {
  /** Widths of hidden layers. Default `[256, 256]`; the authors': `[2048, 2048]` */
  readonly hidden?: readonly number[];
  /** Slope of leaky ReLU below 0. Default 0.3 */
  readonly negativeSlope?: number;
  /** Squared error, or Gaussian likelihood with a head for log σ between learned limits. Default `'mse'` */
  readonly loss?: 'mse' | 'nll';
  /** Passes over the data, integer >= 1. Default 50 */
  readonly epochs?: number;
  /** Examples a step, integer >= 1. Default 128 */
  readonly batchSize?: number;
  /** Adam's rate, > 0. Default 3e−4 */
  readonly learningRate?: number;
  /** IGNITE's regulariser, or not. Default false */
  readonly ignite?: SurrogateGradientNormOptions | false;
  /** COMs' objective in place of the squared error, or not. Default false */
  readonly conservative?: ConservativeOptions | false;
  /** Seed of weights and order, integer. Default 0 */
  readonly seed?: number;
  /** Called after each epoch. */
  readonly onEpoch?: (progress: { epoch: number; total: number; loss: number }) => void;
  /** Ends the fit after the step at hand; what was learned so far is returned. */
  readonly signal?: AbortSignal;
}

/** A fitted surrogate. */
export interface Surrogate {
  /** Mean prediction of each design: `[n, d]` to `[n]`. Differentiable. */
  predict(designs: Tensor2D): Tensor1D;
  readonly variables: readonly Variable[];
  /** λ at the end; undefined without IGNITE. */
  readonly lambda: number | undefined;
  /** Disposes the variables; may be called twice. */
  dispose(): void;
}

const KNOWN: readonly (keyof SurrogateOptions)[] = [
  'hidden',
  'negativeSlope',
  'loss',
  'epochs',
  'batchSize',
  'learningRate',
  'ignite',
  'conservative',
  'seed',
  'onEpoch',
  'signal',
];

/**
 * Fits a small network to offline data, with IGNITE's regulariser, COMs' objective, both, or neither: the surrogate that
 * {@link gradientAscent} then searches. Standardise designs and values first.
 *
 * @param x - designs `[n, d]`, float32
 * @param y - values `[n]`, float32
 * @throws TypeError for an unknown option or another dtype; RangeError for a value out of range or another shape, and for
 *   `conservative` with `loss: 'nll'`; NonFiniteError if the loss ceases to be finite
 * @example
 * const surrogate = await fitSurrogate(x, y, { ignite: { etaLambda: 0.1 } });
 * const designs = gradientAscent(surrogate.predict, best);
 */
export async function fitSurrogate(
  x: Tensor2D,
  y: Tensor1D,
  options: SurrogateOptions = {},
): Promise<Surrogate> {
  const caller = 'fitSurrogate';
  checkTensor(caller, 'x', x, { rank: 2 });
  const [n, d] = x.shape;
  checkTensor(caller, 'y', y, { shape: [n] });
  checkOptions(caller, options, KNOWN);
  const { hidden = [256, 256], negativeSlope = 0.3, loss = 'mse', epochs = 50 } = options;
  const { batchSize = 128, learningRate = 3e-4, ignite = false, conservative = false } = options;
  const { seed = 0, onEpoch, signal } = options;
  for (const width of hidden) checkInteger(caller, 'hidden', width, { min: 1 });
  checkNumber(caller, 'negativeSlope', negativeSlope, { min: 0 });
  checkOneOf(caller, 'loss', loss, ['mse', 'nll']);
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  checkNumber(caller, 'learningRate', learningRate, { above: 0 });
  if (conservative && loss === 'nll') {
    throw new RangeError(`${caller}: loss must be 'mse' where conservative is on, got 'nll'`);
  }
  const regularizer = ignite ? new SurrogateGradientNorm(ignite) : undefined;
  const objective = conservative ? new ConservativeObjective(conservative) : undefined;
  const random = seededRandom(seed);
  const network = createNetwork([d, ...hidden, loss === 'nll' ? 2 : 1], negativeSlope, random);
  const optimizer = train.adam(learningRate);
  try {
    for (let epoch = 1; epoch <= epochs && !signal?.aborted; epoch++) {
      const order = random.shuffle(Array.from({ length: n }, (_, i) => i));
      let [total, seen] = [0, 0];
      for (let start = 0; start < n && !signal?.aborted; start += batchSize) {
        const rows = order.slice(start, start + batchSize);
        const [bx, by] = tidy(() => {
          const at = tensor1d(rows, 'int32');
          return [gather(x, at), gather(y, at)] as [Tensor2D, Tensor1D];
        });
        try {
          const value = await step(network, optimizer, bx, by, regularizer, objective);
          total += value * rows.length;
          seen += rows.length;
        } finally {
          bx.dispose();
          by.dispose();
        }
      }
      onEpoch?.({ epoch, total: epochs, loss: total / seen });
    }
  } catch (error) {
    network.dispose();
    throw error;
  } finally {
    optimizer.dispose();
  }
  return {
    predict: network.predict,
    variables: network.variables,
    lambda: regularizer?.lambda,
    dispose: network.dispose,
  };
}

interface Network {
  readonly variables: readonly Variable[];
  predict(x: Tensor2D): Tensor1D;
  loss(x: Tensor2D, y: Tensor1D): Tensor;
  dispose(): void;
}

async function step(
  network: Network,
  optimizer: ReturnType<typeof train.adam>,
  x: Tensor2D,
  y: Tensor1D,
  ignite: SurrogateGradientNorm | undefined,
  objective: ConservativeObjective | undefined,
): Promise<number> {
  const { variables, predict } = network;
  if (objective) {
    return (await objective.step(optimizer, variables, predict, x, y, ignite)).loss;
  }
  const loss = () => network.loss(x, y);
  if (!ignite) return plainStep(optimizer, variables, loss);
  return (await ignite.step(optimizer, variables, loss, () => mean(predict(x)))).loss;
}

/** Limits of log σ at the start: those of the authors' code. */
const LOG_DEVIATIONS = [Math.log(0.1), Math.log(0.2)] as const;

function createNetwork(
  widths: readonly number[],
  slope: number,
  random: ReturnType<typeof seededRandom>,
): Network {
  const layers = widths.slice(1).map((out, i) => {
    const inputs = widths[i]!;
    const bound = Math.sqrt(6 / (inputs + out));
    const start = random.uniformTensor([inputs, out], -bound, bound);
    const kernel = variable(start as Tensor2D);
    start.dispose();
    const zero = tensor1d(new Float32Array(out));
    const bias = variable(zero);
    zero.dispose();
    return { kernel, bias };
  });
  const gaussian = widths.at(-1) === 2;
  const limits = gaussian
    ? LOG_DEVIATIONS.map((value) => {
        const start = tensor1d([value]);
        const limit = variable(start);
        start.dispose();
        return limit;
      })
    : [];
  const head = (x: Tensor2D): Tensor2D =>
    layers.reduce<Tensor2D>((h, { kernel, bias }, i) => {
      const z = add(matMul(h, kernel), bias) as Tensor2D;
      return i < layers.length - 1 ? leakyRelu(z, slope) : z;
    }, x);
  const column = (out: Tensor2D, at: number) =>
    reshape(slice(out, [0, at], [-1, 1]), [-1]) as Tensor1D;
  const variables = [...layers.flatMap(({ kernel, bias }) => [kernel, bias]), ...limits];
  return {
    variables,
    predict: (x) => tidy(() => column(head(x), 0)),
    loss: (x, y) =>
      tidy(() => {
        const out = head(x);
        if (!gaussian) return mean(square(sub(column(out, 0), y)));
        const clamped = softClamp(column(out, 1), limits[0]!, limits[1]!);
        return gaussianNegativeLogLikelihood(column(out, 0), clamped, y);
      }),
    dispose: () => {
      for (const v of variables) if (!v.isDisposed) v.dispose();
    },
  };
}
