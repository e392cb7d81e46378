import { checkInteger, checkOneOf, checkOptions, type Random } from '@orth/backend';
import {
  add,
  matMul,
  mul,
  ones,
  reshape,
  slice,
  square,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';

/** Weights of a hyper-layer, letters as in the paper. `out` is the number of units or filters. */
export interface HyperWeights<T extends Tensor = Tensor> {
  /** W, `[in, out]` or `[k, k, in, out]`. */
  readonly kernel: T;
  /** b, `[out]`. */
  readonly bias: T;
  /** W′, shape of W. */
  readonly responseKernel: T;
  /** b′, `[out]`. */
  readonly responseBias: T;
  /** T, `[H, 2 out]`: the first `out` columns scale W′, the others b′. */
  readonly toScalars: T;
  /** e, `[1]`: factor of the plain part; absent in Δ-STN. */
  readonly scale?: T;
}

/** The two halves of `q = h T`, each `[batch, out]`. */
export function responseScalars(h: Tensor, { toScalars }: HyperWeights): [Tensor, Tensor] {
  const units = toScalars.shape[1]! / 2;
  const q = matMul(h as Tensor2D, toScalars as Tensor2D);
  return [slice(q, [0, 0], [-1, units]), slice(q, [0, units], [-1, units])];
}

/** `‖W + W′ diag(s_b)‖²` for each row s of the kernel's scalars, without forming the weights of each example. */
export function effectiveSquaredNorm(h: Tensor | null, weights: HyperWeights): Tensor {
  return tidy(() => {
    const { kernel, responseKernel } = weights;
    const plain = reshape(sum(square(kernel)), [1]);
    if (!h) return plain;
    const units = kernel.shape[kernel.rank - 1]!;
    const columns = (x: Tensor) => sum(reshape(x, [-1, units]), 0);
    const [s] = responseScalars(h, weights);
    const mixed = mul(s, mul(2, columns(mul(kernel, responseKernel))));
    const own = mul(square(s), columns(square(responseKernel)));
    return add(plain, sum(add(mixed, own), 1));
  });
}

/** How weights begin: as in STN (`T ~ N(0, 0.01²)`, with e) or Δ-STN (`T = 0`, without e). */
export type HyperInitialization = 'stn' | 'delta';

/** Options that all hyper-layers share. */
export interface HyperLayerOptions {
  /** H: number of hyperparameters, `space.size`. */
  readonly hyperparameters: number;
  /** Source of the initial weights. */
  readonly random: Random;
  /** Default `'stn'` */
  readonly initialization?: HyperInitialization;
}

let layers = 0;

/** Checks the shared options and makes the variables of a layer. */
export function makeWeights(
  caller: string,
  options: HyperLayerOptions,
  known: readonly string[],
  kernelShape: number[],
): HyperWeights<Variable> {
  const { hyperparameters, random, initialization = 'stn' } = options;
  checkOptions(caller, options, ['hyperparameters', 'random', 'initialization', ...known]);
  checkInteger(caller, 'hyperparameters', hyperparameters, { min: 1 });
  checkOneOf(caller, 'initialization', initialization, ['stn', 'delta']);
  if (typeof random?.uniformTensor !== 'function') {
    throw new TypeError(`${caller}: random must be a Random, e.g. seededRandom(0)`);
  }
  const units = kernelShape[kernelShape.length - 1]!;
  const fanIn = kernelShape.slice(0, -1).reduce((a, b) => a * b, 1);
  const bound = 1 / Math.sqrt(fanIn);
  const prefix = `hyper${layers++}`;
  const make = (initial: Tensor, name: string) => {
    const result = variable(initial, true, `${prefix}/${name}`);
    initial.dispose();
    return result;
  };
  const uniform = (shape: number[]) => random.uniformTensor(shape, -bound, bound);
  const delta = initialization === 'delta';
  const scalarShape: [number, number] = [hyperparameters, 2 * units];
  return {
    kernel: make(uniform(kernelShape), 'kernel'),
    bias: make(uniform([units]), 'bias'),
    responseKernel: make(uniform(kernelShape), 'responseKernel'),
    responseBias: make(uniform([units]), 'responseBias'),
    toScalars: make(
      delta ? zeros(scalarShape) : random.normalTensor(scalarShape, 0, 0.01),
      'toScalars',
    ),
    ...(!delta && { scale: make(ones([1]), 'scale') }),
  };
}

/** Splits weights into those of plain training and those of the response. */
export function splitWeights(weights: HyperWeights<Variable>) {
  const { kernel, bias, scale, responseKernel, responseBias, toScalars } = weights;
  return {
    general: scale ? [kernel, bias, scale] : [kernel, bias],
    response: [responseKernel, responseBias, toScalars],
    dispose() {
      for (const weight of Object.values(weights) as Variable[]) {
        if (!weight.isDisposed) weight.dispose();
      }
    },
  };
}
