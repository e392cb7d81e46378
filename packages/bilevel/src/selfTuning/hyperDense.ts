import { checkInteger, checkTensor } from '@orth/backend';
import {
  add,
  matMul,
  mul,
  type Tensor,
  type Tensor2D,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { HyperContext, HyperLayer, Signal } from './hyperLayer.js';
import {
  effectiveSquaredNorm,
  type HyperLayerOptions,
  type HyperWeights,
  makeWeights,
  responseScalars,
  splitWeights,
} from './hyperWeights.js';

/**
 * Dense layer with a structured best response:
 *
 * `y = e (x W + b) + q₁ ∘ (x W′) + q₂ ∘ b′`, `(q₁, q₂) = h T`
 *
 * which is a dense layer whose weights move along a direction of rank one a unit when the hyperparameters move.
 *
 * @param x - `[batch, in]`
 * @param h - `[batch, H]`, `[1, H]`, or null for the plain layer `e (x W + b)`
 * @returns `[batch, out]`; differentiable in everything
 * @throws TypeError or RangeError if shapes do not fit
 * @see MacKay et al. 2019, arXiv 1903.03088, eq. 12–14
 */
export function hyperDenseOp(x: Tensor, h: Tensor | null, weights: HyperWeights): Tensor {
  const caller = 'hyperDenseOp';
  const { kernel, toScalars } = weights;
  checkTensor(caller, 'x', x, { shape: [null, kernel.shape[0]!] });
  if (h) checkTensor(caller, 'h', h, { shape: [null, toScalars.shape[0]!] });
  return tidy(() => {
    const plain = plainPart(x, weights);
    return h ? add(plain, responsePart(x, h, weights)) : plain;
  });
}

const product = (x: Tensor, kernel: Tensor) => matMul(x as Tensor2D, kernel as Tensor2D);

function plainPart(x: Tensor, { kernel, bias, scale }: HyperWeights): Tensor {
  const y = add(product(x, kernel), bias);
  return scale ? mul(scale, y) : y;
}

function responsePart(x: Tensor, h: Tensor, weights: HyperWeights): Tensor {
  const [q1, q2] = responseScalars(h, weights);
  return add(mul(q1, product(x, weights.responseKernel)), mul(q2, weights.responseBias));
}

/** Options of {@link hyperDense}. */
export interface HyperDenseOptions extends HyperLayerOptions {
  readonly inputs: number;
  readonly units: number;
}

/** A dense layer of a {@link HyperModel}. */
export interface HyperDenseLayer extends HyperLayer {
  readonly weights: HyperWeights<Variable>;
  squaredNorm(h: Tensor | null): Tensor;
}

/**
 * A dense layer with its weights, `U(±1/√inputs)` at first.
 * @throws TypeError or RangeError for bad options
 */
export function hyperDense(options: HyperDenseOptions): HyperDenseLayer {
  const caller = 'hyperDense';
  checkInteger(caller, 'inputs', options.inputs, { min: 1 });
  checkInteger(caller, 'units', options.units, { min: 1 });
  const shape = [options.inputs, options.units];
  const weights = makeWeights(caller, options, ['inputs', 'units'], shape);
  return {
    weights,
    ...splitWeights(weights),
    squaredNorm: (h) => effectiveSquaredNorm(h, weights),
    apply({ value, tangent }: Signal, { h, linearized }: HyperContext): Signal {
      if (!linearized || !h) return { value: hyperDenseOp(value, h, weights) };
      const own = responsePart(value, h, weights);
      if (!tangent) return { value: plainPart(value, weights), tangent: own };
      const { kernel, scale } = weights;
      const carried = product(tangent, kernel);
      return {
        value: plainPart(value, weights),
        tangent: add(scale ? mul(scale, carried) : carried, own),
      };
    },
  };
}
