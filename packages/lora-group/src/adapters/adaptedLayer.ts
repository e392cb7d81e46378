/** How a tf.layers layer computes with adapters. */
import {
  add,
  cast,
  conv2d,
  dropout as dropOut,
  gather,
  mul,
  reshape,
  sub,
  type Tensor,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { linear } from '../lora/linear.js';
import { GREATEST_SEED } from './adaptedVariables.js';
import type { ActiveModule } from './adapterTypes.js';
import type { LayerTarget } from './layerTree.js';
import { internals, type LayerLike, withProperties } from './layerTypes.js';
import { isRecording, matrixOf } from './target.js';

/** The layer's own `call`. */
export type Call = (inputs: unknown, kwargs: unknown) => unknown;

/** Activations that tfjs-layers computes together with the product. */
const FUSED = ['relu', 'linear', 'elu'];

const identity = (className: string) => ({
  apply: (x: Tensor) => x,
  getClassName: () => className,
});

const first = (inputs: unknown): Tensor => (Array.isArray(inputs) ? inputs[0] : inputs) as Tensor;

/**
 * The layer without its activation, by the layer's own code and the kernels it would take, so that adding 0 to it gives
 * the layer's very bits.
 */
function preActivation(layer: LayerLike, call: Call, inputs: unknown, kwargs: unknown): Tensor {
  const { activation } = internals(layer);
  if (!activation) return call(inputs, kwargs) as Tensor;
  const fused = FUSED.includes(activation.getClassName());
  const swapped = identity(fused ? 'linear' : 'orthPreActivation');
  return withProperties(layer, { activation: swapped }, () => call(inputs, kwargs) as Tensor);
}

/**
 * The same where gradients are recorded: tfjs's fused operations compute the gradient of the kernel with that of the
 * input, wanted or not; these do not, which makes up most of what adapters save.
 */
function recordedPreActivation(
  target: LayerTarget,
  layer: LayerLike,
  call: Call,
  inputs: unknown,
  kwargs: unknown,
): Tensor {
  const { bias } = internals(layer);
  const withBias = (y: Tensor) => (bias ? add(y, bias.read()) : y);
  if (target.kind === 'dense') return withBias(linear(first(inputs), target.variable));
  if (layer.getClassName() !== 'Conv2D') return preActivation(layer, call, inputs, kwargs);
  const { strides, padding, dilationRate, dataFormat } = layer.getConfig() as {
    strides: [number, number];
    padding: 'same' | 'valid';
    dilationRate: [number, number];
    dataFormat: string;
  };
  const { toLast, fromLast } = channelOrder(dataFormat, 4);
  const x = toLast(first(inputs)) as Tensor4D;
  const kernel = target.variable as unknown as Tensor4D;
  return fromLast(withBias(conv2d(x, kernel, strides, padding, 'NHWC', dilationRate)));
}

/** To and from the order in which channels are the last axis. */
function channelOrder(dataFormat: string | undefined, rank: number) {
  if (dataFormat !== 'channelsFirst') {
    return { toLast: (x: Tensor) => x, fromLast: (x: Tensor) => x };
  }
  const middle = Array.from({ length: rank - 2 }, (_, i) => i);
  const last = [0, ...middle.map((i) => i + 2), 1];
  const back = [0, rank - 1, ...middle.map((i) => i + 1)];
  return { toLast: (x: Tensor) => transpose(x, last), fromLast: (x: Tensor) => transpose(x, back) };
}

/** The input through a factor `A [in, r]`. */
function projection(
  { kind, variable }: LayerTarget,
  layer: LayerLike,
  call: Call,
  x: Tensor,
  kwargs: unknown,
): (A: Tensor) => Tensor {
  if (kind === 'dense') return (A) => linear(x, A);
  if (kind === 'embedding') {
    return (A) => {
      const rows = gather(A, reshape(cast(x, 'int32'), [x.size]));
      return reshape(rows, [...x.shape, A.shape[1]!]);
    };
  }
  // By the layer's own convolution, with another kernel.
  const { dataFormat } = layer.getConfig() as { dataFormat?: string };
  return (A) => {
    const kernel = { read: () => reshape(A, [...variable.shape.slice(0, -1), A.shape[1]!]) };
    const swapped = { kernel, bias: null, activation: identity('linear') };
    const h = withProperties(layer, swapped, () => call(x, kwargs) as Tensor);
    return channelOrder(dataFormat, h.rank).toLast(h);
  };
}

/** A layer's output with adapters that add to it. */
export function callWithAdditions(
  target: LayerTarget,
  layer: LayerLike,
  call: Call,
  active: readonly ActiveModule[],
  inputs: unknown,
  kwargs: unknown,
): Tensor {
  return tidy(() => {
    const own = isRecording()
      ? recordedPreActivation(target, layer, call, inputs, kwargs)
      : preActivation(layer, call, inputs, kwargs);
    const { dataFormat } = layer.getConfig() as { dataFormat?: string };
    const { toLast, fromLast } = channelOrder(
      target.kind === 'conv' ? dataFormat : undefined,
      own.rank,
    );
    const { bias, activation } = internals(layer);
    const x = first(inputs);
    const training = (kwargs as { training?: boolean } | undefined)?.training === true;
    const base = toLast(own);
    const y = active.reduce((sum, { module, weight, dropout, random }) => {
      const drops = training && dropout > 0 && target.kind !== 'embedding';
      const input = drops ? dropOut(x, dropout, undefined, random.integer(0, GREATEST_SEED)) : x;
      const update = module.contribution({
        project: projection(target, layer, call, input, kwargs),
        input: () => input,
        base: () => (bias ? sub(base, bias.read()) : base),
        weight: () => matrixOf(target),
      });
      return add(sum, weight === 1 ? update : mul(update, weight));
    }, base);
    const output = fromLast(y);
    return activation ? activation.apply(output) : output;
  });
}

/** A layer's output with its weights replaced. */
export function callWithWeights(
  replaced: readonly { readonly target: LayerTarget; readonly value: () => Tensor }[],
  call: Call,
  inputs: unknown,
  kwargs: unknown,
): unknown {
  return tidy(() => {
    const run = replaced.reduce<() => unknown>(
      (inner, { target, value }) => {
        const tensor = value();
        return () => withProperties(target.weight, { read: () => tensor }, inner);
      },
      () => call(inputs, kwargs),
    );
    return run() as Tensor;
  });
}
