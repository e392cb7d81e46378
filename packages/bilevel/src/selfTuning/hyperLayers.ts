/** Layers without weights, and the sequence of layers. */
import { checkInteger, checkOneOf } from '@orth/backend';
import {
  add,
  avgPool,
  div,
  equal,
  greaterEqual,
  max,
  mul,
  relu,
  reshape,
  sigmoid,
  square,
  step,
  sub,
  sum,
  type Tensor,
  type Tensor4D,
  tanh,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  type HyperContext,
  type HyperLayer,
  type HyperModel,
  linearly,
  type Signal,
  WITHOUT_WEIGHTS,
} from './hyperLayer.js';
import { indicator } from './indicator.js';

export type Activation = 'relu' | 'tanh' | 'sigmoid' | 'linear';

/** Value and derivative of each activation; the derivative is given the input and the value. */
const ACTIVATIONS: Record<
  Exclude<Activation, 'linear'>,
  [(x: Tensor) => Tensor, (x: Tensor, y: Tensor) => Tensor]
> = {
  relu: [relu, (x) => step(x)],
  tanh: [tanh, (_x, y) => sub(1, square(y))],
  sigmoid: [sigmoid, (_x, y) => mul(y, sub(1, y))],
};

/**
 * An activation.
 * @throws RangeError for an unknown name
 */
export function hyperActivation(name: Activation): HyperLayer {
  checkOneOf('hyperActivation', 'name', name, ['relu', 'tanh', 'sigmoid', 'linear']);
  if (name === 'linear') return { ...WITHOUT_WEIGHTS, apply: (x) => x };
  const [f, derivative] = ACTIVATIONS[name];
  return {
    ...WITHOUT_WEIGHTS,
    apply({ value, tangent }) {
      const y = f(value);
      return tangent ? { value: y, tangent: mul(tangent, derivative(value, y)) } : { value: y };
    },
  };
}

/**
 * Dropout whose rate is a hyperparameter, each example with its own: masks are `Bernoulli(1 − p_b)/(1 − p_b)`. Images lose
 * whole channels. Acts in training only.
 *
 * @param name - of a hyperparameter in [0, 1)
 */
export function hyperDropout(name: string): HyperLayer {
  return {
    ...WITHOUT_WEIGHTS,
    apply(x, { training, random, value }: HyperContext) {
      if (!training) return x;
      const { shape, rank } = x.value;
      const maskShape = shape.map((n, axis) => (axis === 0 || axis === rank - 1 ? n : 1));
      const rate = value(name);
      const p = reshape(rate, [rate.shape[0]!, ...new Array<number>(rank - 1).fill(1)]);
      const draw = random.uniformTensor(maskShape);
      const mask = tidy(() => div(indicator(greaterEqual(draw, p)), sub(1, p)));
      draw.dispose();
      return linearly(x, (t) => mul(t, mask));
    },
  };
}

/** `[batch, …]` to `[batch, features]`. */
export function hyperFlatten(): HyperLayer {
  return { ...WITHOUT_WEIGHTS, apply: (x) => linearly(x, (t) => reshape(t, [t.shape[0]!, -1])) };
}

/** Averages over windows of `size` × `size` pixels that do not overlap. */
export function hyperAvgPool(size: number): HyperLayer {
  checkInteger('hyperAvgPool', 'size', size, { min: 1 });
  return {
    ...WITHOUT_WEIGHTS,
    apply: (x) => linearly(x, (t) => avgPool(t as Tensor4D, size, size, 'valid')),
  };
}

/**
 * Maxima over windows of `size` × `size` pixels that do not overlap; rows and columns must be multiples of `size`. The
 * derivative goes to the greatest pixel, in equal parts where several are.
 */
export function hyperMaxPool(size: number): HyperLayer {
  checkInteger('hyperMaxPool', 'size', size, { min: 1 });
  /** Maximum over the middle axis of `[a, size, b]`. */
  const fold = ({ value, tangent }: Signal, shape: [number, number, number]): Signal => {
    const x = reshape(value, shape);
    const top = max(x, 1, true);
    if (!tangent) return { value: top };
    const mask = indicator(equal(x, top));
    const carried = sum(mul(mask, reshape(tangent, shape)), 1, true);
    return { value: top, tangent: div(carried, sum(mask, 1, true)) };
  };
  return {
    ...WITHOUT_WEIGHTS,
    apply(x) {
      const [batch, rows, columns, channels] = x.value.shape as [number, number, number, number];
      if (rows % size || columns % size) {
        throw new RangeError(
          `hyperMaxPool: rows and columns must be multiples of ${size}, got shape [${x.value.shape}]`,
        );
      }
      const [r, c] = [rows / size, columns / size];
      const vertical = fold(x, [batch * r, size, columns * channels]);
      const both = fold(vertical, [batch * r * c, size, channels]);
      return linearly(both, (t) => reshape(t, [batch, r, c, channels]));
    },
  };
}

/**
 * Layers in a row.
 * @throws RangeError if there is none
 */
export function hyperSequential(layers: readonly HyperLayer[]): HyperModel {
  if (!Array.isArray(layers) || layers.length === 0) {
    throw new RangeError('hyperSequential: layers must hold at least one layer');
  }
  const normed = layers.filter((layer) => layer.squaredNorm);
  return {
    general: layers.flatMap((layer) => [...layer.general]),
    response: layers.flatMap((layer) => [...layer.response]),
    apply: (x, context) => layers.reduce((signal, layer) => layer.apply(signal, context), x),
    ...(normed.length > 0 && {
      squaredNorm: (h: Tensor | null) =>
        tidy(() => normed.map((layer) => layer.squaredNorm!(h)).reduce((a, b) => add(a, b))),
    }),
    dispose() {
      for (const layer of layers) layer.dispose();
    },
  };
}
