import { checkNumber, checkOptions } from '@orth/backend';
import { mul, type Scalar, serialization, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { LayerRegularizer } from '../orthoRegs/regularizer.js';
import { checkLorthOptions, LORTH_OPTIONS, type LorthOptions, lorth } from './lorth.js';

/** Options of {@link lorthRegularizer}. */
export interface LorthRegularizerOptions extends Omit<LorthOptions, 'onImpossible'> {
  /** Factor, >= 0. Default 0.1 */
  readonly lambda?: number;
  /** As of {@link lorth}; not saved with a model if it is a function. Asked once a layer. Default `'ignore'` */
  readonly onImpossible?: LorthOptions['onImpossible'];
}

/** {@link lorth} as tf.layers wants it; make it by {@link lorthRegularizer}. */
export class LorthRegularizer extends LayerRegularizer {
  static readonly className = 'OrthLorthRegularizer';
  readonly className = LorthRegularizer.className;
  readonly config: serialization.ConfigDict;
  private asked = false;

  /** Use {@link lorthRegularizer}. */
  constructor(private readonly options: LorthRegularizerOptions = {}) {
    super();
    checkOptions('lorthRegularizer', options, ['lambda', ...LORTH_OPTIONS]);
    const { lambda = 0.1, ...rest } = options;
    checkNumber('lorthRegularizer', 'lambda', lambda, { min: 0 });
    checkLorthOptions('lorthRegularizer', rest);
    this.config = { ...options } as unknown as serialization.ConfigDict;
  }

  /** `lambda · lorth(kernel)`. */
  apply(x: Tensor): Scalar {
    const { lambda = 0.1, onImpossible = 'ignore', ...rest } = this.options;
    const reaction = this.asked ? 'ignore' : onImpossible;
    return tidy(() => {
      const value = mul(lorth(x, { ...rest, onImpossible: reaction }), lambda) as Scalar;
      this.asked = true;
      return value;
    });
  }
}

/**
 * {@link lorth} as `kernelRegularizer` of a conv1d or conv2d layer: saved and loaded with the model. A program that loads such a
 * model calls this once before, which registers the class. tf.layers pads with zeros or not at all: at the border such a
 * layer stays as far from orthogonal as it is; circular ones are made by {@link circularConv2d}.
 *
 * @throws TypeError or RangeError for a wrong option
 * @example
 * tf.layers.conv2d({ filters: 16, kernelSize: 3, strides: 2, kernelRegularizer: lorthRegularizer({ stride: 2 }) });
 */
export function lorthRegularizer(options: LorthRegularizerOptions = {}): LorthRegularizer {
  const regularizer = new LorthRegularizer(options);
  serialization.registerClass(LorthRegularizer);
  return regularizer;
}
