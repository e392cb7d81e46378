import { checkInteger, checkTensor } from '@orth/backend';
import {
  add,
  conv2d,
  mul,
  reshape,
  type Tensor,
  type Tensor4D,
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

/** Geometry of a convolution. */
export interface ConvGeometry {
  /** Pixels a step. Default 1 */
  readonly stride?: number;
  /** `'same'`, `'valid'`, or zeros added on each side. Default `'same'` */
  readonly padding?: 'same' | 'valid' | number;
}

function checkGeometry(caller: string, { stride = 1, padding = 'same' }: ConvGeometry) {
  checkInteger(caller, 'stride', stride, { min: 1 });
  if (padding !== 'same' && padding !== 'valid') {
    checkInteger(caller, 'padding', padding, { min: 0 });
  }
  return { stride, padding };
}

/**
 * 2-D convolution with a structured best response: as {@link hyperDenseOp}, with convolutions for products and the scalars
 * of each example spread over its positions.
 *
 * @param x - `[batch, rows, columns, in]`
 * @param h - `[batch, H]`, `[1, H]`, or null for the plain layer
 * @returns `[batch, rows, columns, out]`; differentiable in everything. On tfjs's wasm backend the gradient in the kernels
 *   needs `useBackend('wasm')` of `@orth/backend`
 * @throws TypeError or RangeError if shapes do not fit
 * @see MacKay et al. 2019, arXiv 1903.03088, section 4.1
 */
export function hyperConv2dOp(
  x: Tensor,
  h: Tensor | null,
  weights: HyperWeights,
  geometry: ConvGeometry = {},
): Tensor {
  const caller = 'hyperConv2dOp';
  const { kernel, toScalars } = weights;
  checkTensor(caller, 'x', x, { shape: [null, null, null, kernel.shape[2]!] });
  if (h) checkTensor(caller, 'h', h, { shape: [null, toScalars.shape[0]!] });
  const checked = checkGeometry(caller, geometry);
  return tidy(() => {
    const plain = plainPart(x, weights, checked);
    return h ? add(plain, responsePart(x, h, weights, checked)) : plain;
  });
}

type Geometry = Required<ConvGeometry>;

const convolve = (x: Tensor, kernel: Tensor, { stride, padding }: Geometry): Tensor =>
  conv2d(x as Tensor4D, kernel as Tensor4D, stride, padding);

function plainPart(x: Tensor, { kernel, bias, scale }: HyperWeights, geometry: Geometry): Tensor {
  const y = add(convolve(x, kernel, geometry), bias);
  return scale ? mul(scale, y) : y;
}

function responsePart(x: Tensor, h: Tensor, weights: HyperWeights, geometry: Geometry): Tensor {
  const { responseKernel, responseBias } = weights;
  const [q1, q2] = responseScalars(h, weights).map((q) =>
    reshape(q, [q.shape[0]!, 1, 1, q.shape[1]!]),
  ) as [Tensor, Tensor];
  return add(mul(q1, convolve(x, responseKernel, geometry)), mul(q2, responseBias));
}

/** Options of {@link hyperConv2d}. */
export interface HyperConv2dOptions extends HyperLayerOptions, ConvGeometry {
  /** Channels of the inputs. */
  readonly inputs: number;
  readonly filters: number;
  /** Side of the kernels. */
  readonly kernelSize: number;
}

/** A convolution of a {@link HyperModel}. */
export interface HyperConv2dLayer extends HyperLayer {
  readonly weights: HyperWeights<Variable>;
  squaredNorm(h: Tensor | null): Tensor;
}

const CONV_OPTIONS = ['inputs', 'filters', 'kernelSize', 'stride', 'padding'];

/**
 * A 2-D convolution with its weights, `U(±1/√(kernelSize² inputs))` at first.
 * @throws TypeError or RangeError for bad options
 */
export function hyperConv2d(options: HyperConv2dOptions): HyperConv2dLayer {
  const caller = 'hyperConv2d';
  const { inputs, filters, kernelSize } = options;
  checkInteger(caller, 'inputs', inputs, { min: 1 });
  checkInteger(caller, 'filters', filters, { min: 1 });
  checkInteger(caller, 'kernelSize', kernelSize, { min: 1 });
  const geometry = checkGeometry(caller, options);
  const shape = [kernelSize, kernelSize, inputs, filters];
  const weights = makeWeights(caller, options, CONV_OPTIONS, shape);
  return {
    weights,
    ...splitWeights(weights),
    squaredNorm: (h) => effectiveSquaredNorm(h, weights),
    apply({ value, tangent }: Signal, { h, linearized }: HyperContext): Signal {
      if (!linearized || !h) return { value: hyperConv2dOp(value, h, weights, geometry) };
      const own = responsePart(value, h, weights, geometry);
      if (!tangent) return { value: plainPart(value, weights, geometry), tangent: own };
      const { kernel, scale } = weights;
      const carried = convolve(tangent, kernel, geometry);
      return {
        value: plainPart(value, weights, geometry),
        tangent: add(scale ? mul(scale, carried) : carried, own),
      };
    },
  };
}
