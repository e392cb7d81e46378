/** Text encoders: the transformer against CLIP's text tower in float64 loops, padding, checkpoints. */
import { CheckpointError, seededRandom } from '@orth/backend';
import {
  type FileTensor,
  hashTokenizer,
  MeanPoolEncoder,
  TinyTransformerEncoder,
} from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import {
  grad,
  type Rank,
  sum,
  type Tensor3D,
  tensor1d,
  tensor2d,
  zeros,
} from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

const SIZES = { V: 9, d: 4, D: 3, hidden: 6, layers: 2, L: 7 };

/** A random checkpoint by the names and layouts of PyTorch's CLIP. */
function checkpoint(): Map<string, FileTensor> {
  const random = seededRandom(4);
  const file = new Map<string, FileTensor>();
  const put = (name: string, ...shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    file.set(name, {
      shape,
      data: Float32Array.from({ length: size }, () => random.normal(0, 0.7)),
    });
  };
  const { V, d, D, hidden, layers, L } = SIZES;
  put('text_model.embeddings.token_embedding.weight', V, d);
  put('text_model.embeddings.position_embedding.weight', L, d);
  for (let i = 0; i < layers; i++) {
    const name = `text_model.encoder.layers.${i}.`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      put(`${name}self_attn.${part}.weight`, d, d);
      put(`${name}self_attn.${part}.bias`, d);
    }
    for (const part of ['layer_norm1', 'layer_norm2']) {
      put(`${name}${part}.weight`, d);
      put(`${name}${part}.bias`, d);
    }
    put(`${name}mlp.fc1.weight`, hidden, d);
    put(`${name}mlp.fc1.bias`, hidden);
    put(`${name}mlp.fc2.weight`, d, hidden);
    put(`${name}mlp.fc2.bias`, d);
  }
  put('text_model.final_layer_norm.weight', d);
  put('text_model.final_layer_norm.bias', d);
  put('text_projection.weight', D, d);
  put('vision_model.anything', 2);
  return file;
}

/** Gauss's error function by its series. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

const ACTIVATIONS = {
  quickGelu: (x: number) => x / (1 + Math.exp(-1.702 * x)),
  gelu: (x: number) => (x / 2) * (1 + erf(x / Math.SQRT2)),
};

/** One prompt through CLIP's text tower, from token ids to the feature. */
function reference(
  file: Map<string, FileTensor>,
  tokens: readonly number[],
  heads: number,
  activation: (x: number) => number,
): number[] {
  const { d, layers } = SIZES;
  const of = (name: string) => file.get(name)!;
  const row = (name: string, i: number) => {
    const { shape, data } = of(name);
    return [...data.subarray(i * shape[1]!, (i + 1) * shape[1]!)];
  };
  const dot = (x: readonly number[], y: readonly number[]) =>
    x.reduce((total, a, i) => total + a * y[i]!, 0);
  const linear = (name: string, x: readonly number[]) =>
    Array.from(of(`${name}.bias`).data, (b, i) => dot(row(`${name}.weight`, i), x) + b);
  const norm = (name: string, x: readonly number[]) => {
    const mean = x.reduce((a, b) => a + b) / d;
    const variance = x.reduce((total, a) => total + (a - mean) ** 2, 0) / d;
    return x.map(
      (a, i) =>
        ((a - mean) / Math.sqrt(variance + 1e-5)) * of(`${name}.weight`).data[i]! +
        of(`${name}.bias`).data[i]!,
    );
  };
  let states = tokens.map((id, at) => {
    const position = row('text_model.embeddings.position_embedding.weight', at);
    return row('text_model.embeddings.token_embedding.weight', id).map((x, i) => x + position[i]!);
  });
  for (let layer = 0; layer < layers; layer++) {
    const name = `text_model.encoder.layers.${layer}.`;
    const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((part) =>
      states.map((x) => linear(`${name}self_attn.${part}`, norm(`${name}layer_norm1`, x))),
    ) as [number[][], number[][], number[][]];
    const size = d / heads;
    states = states.map((x, at) => {
      const mixed = Array.from({ length: heads }, (_, head) => {
        const part = (y: readonly number[]) => y.slice(head * size, (head + 1) * size);
        const scores = k
          .slice(0, at + 1)
          .map((y) => Math.exp(dot(part(q[at]!), part(y)) / Math.sqrt(size)));
        const total = scores.reduce((a, b) => a + b);
        return Array.from({ length: size }, (_, i) =>
          scores.reduce((sum, s, j) => sum + (s / total) * part(v[j]!)[i]!, 0),
        );
      }).flat();
      const attended = linear(`${name}self_attn.out_proj`, mixed).map((y, i) => y + x[i]!);
      const inner = linear(`${name}mlp.fc1`, norm(`${name}layer_norm2`, attended)).map(activation);
      return linear(`${name}mlp.fc2`, inner).map((y, i) => y + attended[i]!);
    });
  }
  const last = norm('text_model.final_layer_norm', states[states.length - 1]!);
  return of('text_projection.weight').shape[0] === SIZES.D
    ? Array.from({ length: SIZES.D }, (_, i) => dot(row('text_projection.weight', i), last))
    : [];
}

test.each([
  ['quickGelu', 2],
  ['gelu', 1],
] as const)('the text tower of a CLIP checkpoint, %s, %i heads', (activation, heads) => {
  const weights = checkpoint();
  const encoder = new TinyTransformerEncoder({ weights, heads, activation });
  expect(encoder).toMatchObject({ embedDim: 4, featureDim: 3, maxLength: 7, vocabularySize: 9 });
  const prompts = [
    [1, 5, 3, 8],
    [1, 4, 2, 0],
    [7, 2, 0, 0],
  ];
  const ends = [3, 2, 1];
  const features = encoder.encode(encoder.embed(prompts), tensor1d(ends, 'int32'));
  const expected = prompts.flatMap((tokens, i) =>
    reference(weights, tokens.slice(0, ends[i]! + 1), heads, ACTIVATIONS[activation]),
  );
  expectTensorClose(features, expected, { rtol: 1e-4, atol: 1e-5 });
  encoder.dispose();
});

test('a checkpoint that lacks a weight, or has one of another shape, is refused', () => {
  const missing = checkpoint();
  missing.delete('text_model.encoder.layers.1.mlp.fc2.bias');
  expect(() => new TinyTransformerEncoder({ weights: missing, heads: 1 })).toThrow(
    'layers.1.mlp.fc2.bias',
  );
  const wrong = checkpoint();
  wrong.set('text_projection.weight', { shape: [3, 5], data: new Float32Array(15) });
  expect(() => new TinyTransformerEncoder({ weights: wrong, heads: 1 })).toThrow(CheckpointError);
  expect(() => new TinyTransformerEncoder({ weights: checkpoint(), heads: 3 })).toThrow(
    'heads must divide',
  );
  expect(() => new TinyTransformerEncoder({ weights: checkpoint(), layers: 2 })).toThrow(
    'beside weights',
  );
});

test.each([
  ['mean pool', new MeanPoolEncoder({ embedDim: 4, featureDim: 3 })],
  ['transformer', new TinyTransformerEncoder({ embedDim: 4, featureDim: 3, heads: 2 })],
])('%s: padding does not count, the end does, embeddings have a gradient', (_, encoder) => {
  const at = tensor1d([2], 'int32');
  const padded = encoder.encode(encoder.embed([[1, 5, 2, 0, 0]]), at);
  const plain = encoder.encode(encoder.embed([[1, 5, 2]]), at);
  expectTensorClose(padded, plain, { rtol: 1e-5, atol: 1e-6 });
  const gradient = grad((x) => sum(encoder.encode(x as Tensor3D, at)))(
    encoder.embed([[1, 5, 2, 0]]),
  );
  const values = [...gradient.dataSync()];
  expect(values.slice(0, 12).some((x) => x !== 0)).toBe(true);
  expect(values.slice(12).every((x) => x === 0)).toBe(true);
  expect(() => encoder.embed([[1, 999]])).toThrow('tokens must be integers below 256');
});

test('same seed, same encoder; another seed, another', () => {
  const feature = (seed: number) => {
    const encoder = new TinyTransformerEncoder({ seed, embedDim: 4, heads: 1, layers: 1 });
    return [...encoder.encode(encoder.embed([[1, 5, 2]]), tensor1d([2], 'int32')).dataSync()];
  };
  expect(feature(1)).toEqual(feature(1));
  expect(feature(1)).not.toEqual(feature(2));
});

test('options are checked', () => {
  const weights = { tokens: zeros<Rank.R2>([4, 3]), projection: tensor2d([[1], [2], [3]]) };
  expect(new MeanPoolEncoder({ weights })).toMatchObject({ embedDim: 3, featureDim: 1 });
  expect(() => new MeanPoolEncoder({ weights, embedDim: 3 })).toThrow('beside weights');
  expect(
    () => new MeanPoolEncoder({ weights: { ...weights, projection: zeros<Rank.R2>([2, 3]) } }),
  ).toThrow('weights.projection');
  expect(() => new MeanPoolEncoder({ embedDim: 0 })).toThrow('embedDim');
  expect(() => new TinyTransformerEncoder({ heads: 5 })).toThrow('heads must divide');
  expect(() => new TinyTransformerEncoder({ activation: 'relu' as 'gelu' })).toThrow('activation');
  expect(() => hashTokenizer(3)).toThrow('size');
});
