/** Small models of every kind of layer, for tests. */
import { seededRandom } from '@orth/backend';
import {
  add,
  matMul,
  mul,
  reshape,
  serialization,
  softmax,
  type Tensor,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';

/** Gives every weight of a model normal numbers, so that biases count too. */
export function randomize(model: layers.LayersModel, seed = 1): void {
  const random = seededRandom(seed);
  const values = model.weights.map((weight) => {
    const shape = weight.shape as number[];
    const size = shape.reduce((product, n) => product * n, 1);
    const isVariance = weight.originalName.endsWith('moving_variance');
    const data = Float32Array.from({ length: size }, () => {
      const x = random.normal(0, 0.5);
      return isVariance ? 0.5 + x * x : x;
    });
    return tensor(data, shape);
  });
  model.setWeights(values);
  for (const value of values) value.dispose();
}

/** One head of attention with three projections of its own. */
export class TinyAttention extends layers.layers.Layer {
  static className = 'TinyAttention';
  private projections: layers.LayerVariable[] = [];

  override build(shape: layers.Shape): void {
    const width = shape[shape.length - 1] as number;
    this.projections = ['query', 'key', 'value'].map((name) =>
      this.addWeight(
        name,
        [width, width],
        'float32',
        layers.initializers.glorotNormal({ seed: 3 }),
      ),
    );
    this.built = true;
  }

  override computeOutputShape(shape: layers.Shape): layers.Shape {
    return shape;
  }

  override call(inputs: Tensor | Tensor[]): Tensor {
    return tidy(() => {
      const x = Array.isArray(inputs) ? inputs[0]! : inputs;
      const [query, key, value] = this.projections.map((W) => {
        const flat = matMul(reshape(x, [-1, x.shape[2]!]), W.read());
        return reshape(flat, x.shape);
      });
      const scores = softmax(mul(matMul(query!, key!, false, true), 0.5));
      return add(x, matMul(scores, value!));
    });
  }
}
serialization.registerClass(TinyAttention);

const { dense, conv1d, conv2d, depthwiseConv2d, embedding, flatten, lstm } = layers.layers;

/** A model, the shape of its inputs, and names of its targets. */
export interface ModelCase {
  readonly make: () => layers.LayersModel;
  readonly shape: readonly number[];
  /** tfjs has no gradient of it, or leaves tensors behind on `dispose`. */
  readonly fits?: false;
  readonly leaves?: number;
  /** Inputs are integers below this. */
  readonly tokens?: number;
  readonly targets: readonly string[];
}

/** Models of each kind of layer. */
export const MODELS: Readonly<Record<string, ModelCase>> = {
  dense: {
    make: () =>
      layers.sequential({
        layers: [
          dense({ units: 7, activation: 'relu', inputShape: [6], name: 'a' }),
          dense({ units: 5, activation: 'tanh', name: 'b' }),
          dense({ units: 6, activation: 'elu', useBias: false, name: 'c' }),
          dense({ units: 4, activation: 'softmax', name: 'd' }),
        ],
      }),
    shape: [8, 6],
    targets: ['a', 'b', 'c', 'd'],
  },
  'dense of sequences': {
    make: () =>
      layers.sequential({
        layers: [dense({ units: 5, activation: 'sigmoid', inputShape: [3, 4], name: 'a' })],
      }),
    shape: [2, 3, 4],
    targets: ['a'],
  },
  conv1d: {
    make: () =>
      layers.sequential({
        layers: [
          conv1d({ filters: 5, kernelSize: 3, inputShape: [9, 3], activation: 'relu', name: 'a' }),
          conv1d({ filters: 4, kernelSize: 2, strides: 2, padding: 'same', name: 'b' }),
        ],
      }),
    shape: [2, 9, 3],
    targets: ['a', 'b'],
  },
  'conv1d, dilated': {
    make: () =>
      layers.sequential({
        layers: [
          conv1d({ filters: 3, kernelSize: 2, dilationRate: 2, inputShape: [9, 3], name: 'a' }),
        ],
      }),
    shape: [2, 9, 3],
    fits: false,
    targets: ['a'],
  },
  conv2d: {
    make: () =>
      layers.sequential({
        layers: [
          conv2d({
            filters: 4,
            kernelSize: 3,
            inputShape: [7, 7, 2],
            activation: 'relu',
            name: 'a',
          }),
          conv2d({
            filters: 3,
            kernelSize: [3, 2],
            strides: 2,
            padding: 'same',
            activation: 'tanh',
            name: 'b',
          }),
          conv2d({ filters: 4, kernelSize: 2, useBias: false, name: 'c' }),
        ],
      }),
    shape: [2, 7, 7, 2],
    targets: ['a', 'b', 'c'],
  },
  'conv2d, dilated': {
    make: () =>
      layers.sequential({
        layers: [
          conv2d({ filters: 4, kernelSize: 2, dilationRate: 2, inputShape: [6, 6, 2], name: 'a' }),
        ],
      }),
    shape: [2, 6, 6, 2],
    fits: false,
    targets: ['a'],
  },
  'conv2d, channels first': {
    make: () =>
      layers.sequential({
        layers: [
          conv2d({
            filters: 4,
            kernelSize: 3,
            inputShape: [3, 6, 5],
            dataFormat: 'channelsFirst',
            useBias: false,
            activation: 'relu',
            name: 'a',
          }),
        ],
      }),
    shape: [2, 3, 6, 5],
    targets: ['a'],
  },
  depthwise: {
    make: () =>
      layers.sequential({
        layers: [
          depthwiseConv2d({ kernelSize: 3, depthMultiplier: 4, inputShape: [6, 6, 3], name: 'a' }),
        ],
      }),
    shape: [2, 6, 6, 3],
    targets: ['a.depthwise_kernel'],
  },
  embedding: {
    make: () =>
      layers.sequential({
        layers: [
          embedding({ inputDim: 11, outputDim: 6, inputLength: 4, name: 'tokens' }),
          flatten(),
          dense({ units: 3, name: 'head' }),
        ],
      }),
    shape: [5, 4],
    tokens: 11,
    targets: ['tokens', 'head'],
  },
  lstm: {
    make: () =>
      layers.sequential({
        layers: [
          lstm({
            units: 4,
            inputShape: [3, 5],
            recurrentInitializer: 'glorotNormal',
            name: 'memory',
          }),
        ],
      }),
    shape: [2, 3, 5],
    targets: ['memory.kernel', 'memory.recurrent_kernel'],
  },
  wrapped: {
    make: () =>
      layers.sequential({
        layers: [
          layers.layers.timeDistributed({
            layer: dense({ units: 5, name: 'inner' }),
            inputShape: [3, 4],
            name: 'each',
          }),
          layers.layers.bidirectional({
            layer: lstm({ units: 3, recurrentInitializer: 'glorotNormal' }) as layers.RNN,
            mergeMode: 'concat',
            name: 'both',
          }),
        ],
      }),
    shape: [2, 3, 4],
    targets: ['each', 'both.forward_lstm_LSTM', 'both.backward_lstm_LSTM'],
  },
  attention: {
    make: () => {
      const x = layers.input({ shape: [3, 6] });
      const y = new TinyAttention({ name: 'attention' }).apply(x) as layers.SymbolicTensor;
      const z = dense({ units: 4, activation: 'relu', name: 'out' }).apply(y);
      return layers.model({ inputs: x, outputs: z as layers.SymbolicTensor });
    },
    shape: [2, 3, 6],
    targets: ['attention.query', 'attention.key', 'attention.value', 'out'],
  },
  nested: {
    make: () => {
      const inner = layers.sequential({
        layers: [dense({ units: 5, activation: 'relu', inputShape: [4], name: 'query' })],
        name: 'encoder',
      });
      const shared = dense({ units: 5, name: 'shared' });
      const x = layers.input({ shape: [4] });
      const h = inner.apply(x) as layers.SymbolicTensor;
      const y = shared.apply(shared.apply(h)) as layers.SymbolicTensor;
      return layers.model({ inputs: x, outputs: y });
    },
    shape: [3, 4],
    // tf.layers frees no layer that is used twice.
    leaves: 2,
    targets: ['encoder.query', 'shared'],
  },
};

/** Inputs of a model. */
export function inputsOf({ shape, tokens }: ModelCase, seed = 5): Tensor {
  const random = seededRandom(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  const data = Float32Array.from({ length: size }, () =>
    tokens ? random.integer(0, tokens - 1) : random.normal(),
  );
  return tensor(data, [...shape]);
}
