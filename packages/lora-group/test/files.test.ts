/** Files: safetensors, PEFT's names and layouts, IO handlers, damage. */
import { CheckpointError, seededRandom } from '@orth/backend';
import {
  type AdapterFiles,
  type AdaptOptions,
  adapt,
  decodeSafetensors,
  encodeSafetensors,
  type FileTensor,
  loraGroup,
  restoreLoraGroup,
} from '@orth/lora-group';
import {
  io,
  memory,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inputsOf, MODELS, randomize } from './models.js';

let before = 0;
beforeEach(() => {
  before = memory().numTensors;
});
afterEach(() => {
  expect(memory().numTensors, 'tensors left behind').toBe(before);
});

const read = (x: Tensor) => Float32Array.from(x.dataSync());

function predict(model: layers.LayersModel, x: Tensor): Float32Array {
  const y = model.predict(x) as Tensor;
  const values = read(y);
  y.dispose();
  return values;
}

function stir(list: readonly Variable[]): void {
  const random = seededRandom(3);
  for (const v of list) {
    const value = tensor(
      read(v).map((w) => w + random.normal(0, 0.3)),
      v.shape,
    );
    v.assign(value);
    value.dispose();
  }
}

/** A safetensors file by hand. */
function craft(header: string | object, numbers = 8): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + numbers);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (from: number, to: number, shape = [(to - from) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

describe('safetensors', () => {
  test('comes back as it went, any names and texts', () => {
    const tensors = fc.dictionary(
      fc.string().filter((name) => name !== '__metadata__'),
      fc.array(fc.float({ noNaN: false }), { maxLength: 6 }),
    );
    fc.assert(
      fc.property(tensors, fc.dictionary(fc.string(), fc.string()), (record, texts) => {
        const map = new Map<string, FileTensor>(
          Object.entries(record).map(([name, data]) => [
            name,
            { shape: [1, data.length], data: Float32Array.from(data) },
          ]),
        );
        const metadata = new Map(Object.entries(texts));
        const got = decodeSafetensors(encodeSafetensors(map, metadata));
        expect(got.tensors).toEqual(map);
        expect(got.metadata).toEqual(metadata);
      }),
    );
  });

  test('any cut, and any damage to the header, is found', () => {
    const map = new Map([
      ['a', { shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) }],
      ['b', { shape: [], data: Float32Array.from([7]) }],
    ]);
    const bytes = encodeSafetensors(map);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeSafetensors(bytes.subarray(0, length))).toThrow(CheckpointError);
    }
    const longer = new Uint8Array(bytes.length + 4);
    longer.set(bytes);
    expect(() => decodeSafetensors(longer)).toThrow(/tells of 28 bytes of numbers, got 32/);
    // At an odd place in a larger buffer.
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(decodeSafetensors(shifted.subarray(3)).tensors).toEqual(map);
  });

  test.each([
    ['no JSON', craft('{"a":'), /not JSON/],
    ['a list', craft('[1, 2, 3]'), /not an object/],
    ['a huge header', Uint8Array.from({ length: 64 }, () => 255), /too long/],
    [
      'a dtype of its own',
      craft({ a: entry(0, 8, [8], 'I8') }),
      /must have dtype F64, F32, F16, BF16, got I8/,
    ],
    ['a dtype of every object', craft({ a: entry(0, 8, [2], 'toString') }), /must have dtype/],
    ['an overlap', craft({ a: entry(0, 8), b: entry(4, 8) }), /overlaps/],
    ['a gap', craft({ a: entry(4, 8) }), /leaves a gap/],
    ['another size', craft({ a: entry(0, 8, [3]) }), /needs 12 bytes, got 8/],
    ['a negative size', craft({ a: entry(0, 8, [-2]) }), /no valid shape/],
    ['a size beyond numbers', craft({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }), /needs/],
    [
      'places in reverse',
      craft({ a: { ...entry(0, 8), data_offsets: [8, 0] } }),
      /needs 8 bytes, got -8/,
    ],
    ['no places', craft({ a: { dtype: 'F32', shape: [2] } }), /no valid data_offsets/],
    ['past the end', craft({ a: entry(0, 16) }), /tells of 16 bytes/],
    ['a tensor that is none', craft({ a: 5 }), /not described/],
    ['metadata that is no text', craft({ __metadata__: { a: 5 }, b: entry(0, 8) }), /texts/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(message);
    expect(() => decodeSafetensors(bytes)).toThrow(CheckpointError);
  });

  test('reads half precision, and names that reach for the prototype', () => {
    const halves = craft(
      '{"__proto__":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"constructor":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}',
      12,
    );
    const view = new DataView(halves.buffer, halves.length - 12);
    [0x3c00, 0xc000, 0x0001, 0x7c00].forEach((bits, i) => {
      view.setUint16(2 * i, bits, true);
    });
    view.setUint16(8, 0x3f80, true);
    view.setUint16(10, 0xc040, true);
    const { tensors } = decodeSafetensors(halves);
    expect([...tensors.get('__proto__')!.data]).toEqual([1, -2, 2 ** -24, Infinity]);
    expect([...tensors.get('constructor')!.data]).toEqual([1, -3]);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect(({} as { dtype?: string }).dtype).toBeUndefined();
  });

  test('refuses to write what it could not read', () => {
    const data = Float32Array.from([1]);
    expect(() => encodeSafetensors(new Map([['__metadata__', { shape: [1], data }]]))).toThrow();
    expect(() => encodeSafetensors(new Map([['a', { shape: [2], data }]]))).toThrow(
      /as many numbers/,
    );
  });
});

const SAVED: Readonly<Record<string, readonly [string, AdaptOptions]>> = {
  lora: ['dense', { r: 2, alpha: 5 }],
  'group, rsLoRA': ['dense', { r: 2, n: 2, alpha: 3, useRslora: true }],
  patterns: ['dense', { r: 2, rankPattern: { a: 3 }, alphaPattern: { b: 7 } }],
  DoRA: ['conv2d', { r: 2, useDora: true, targetModules: () => true }],
  PiSSA: ['attention', { r: 2, init: 'pissa', targetModules: () => true }],
  'conv1d, olora': ['conv1d', { r: 2, init: 'olora', targetModules: () => true }],
  embedding: ['embedding', { r: 2, modulesToSave: 'head', targetModules: 'tokens' }],
  'all biases': ['dense', { r: 2, bias: 'all', targetModules: ['a', 'd'] }],
  GraLoRA: ['attention', { method: 'gralora', r: 4, k: 2, targetModules: () => true }],
  OFT: ['dense', { method: 'oft', blockSize: 3, targetModules: 'a' }],
  'OFT, series': [
    'attention',
    { method: 'oft', blockSize: 2, neumannTerms: 4, targetModules: 'key' },
  ],
};

describe.each(Object.entries(SAVED))('%s', (_, [name, options]) => {
  const kind = MODELS[name]!;

  test('saved and loaded into a new model gives the same numbers, by file and by handler', async () => {
    const make = () => {
      const model = kind.make();
      randomize(model);
      return model;
    };
    const model = make();
    const x = inputsOf(kind);
    const adapters = await adapt(model, options);
    stir(adapters.trainableVariables);
    const want = predict(model, x);
    const files = await adapters.saveAdapter();
    let artifacts: io.ModelArtifacts = {};
    await adapters.saveTo(
      io.withSaveHandler(async (given) => {
        artifacts = given;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
    adapters.dispose();
    const config = JSON.parse(JSON.stringify(files.config));
    const other = make();
    const loaded = await adapt(other, { name: null });
    await loaded.loadAdapter({ config, weights: files.weights });
    expect(predict(other, x)).toEqual(want);
    const again = await loaded.saveAdapter();
    expect(again.weights).toEqual(files.weights);
    expect(again.config).toEqual({ ...files.config });
    loaded.deleteAdapter('default');
    await loaded.loadFrom(io.fromMemory(artifacts), { name: 'handled' });
    expect(predict(other, x)).toEqual(want);
    loaded.dispose();
    x.dispose();
    for (const m of [model, other]) m.dispose();
  });
});

test("PEFT's names and layouts", async () => {
  const model = layers.sequential({
    layers: [
      layers.layers.conv2d({ filters: 5, kernelSize: [3, 2], inputShape: [6, 6, 4], name: 'conv' }),
      layers.layers.flatten(),
      layers.layers.dense({ units: 3, name: 'head' }),
    ],
    name: 'outer',
  });
  const adapters = await adapt(model, {
    r: 2,
    alpha: 16,
    useDora: true,
    targetModules: ['conv', 'head'],
  });
  stir(adapters.trainableVariables);
  const { config, weights } = await adapters.saveAdapter();
  expect(config).toMatchObject({
    peft_type: 'LORA',
    r: 2,
    lora_alpha: 16,
    use_dora: true,
    target_modules: ['conv', 'head'],
    fan_in_fan_out: false,
    bias: 'none',
  });
  const { tensors, metadata } = decodeSafetensors(weights);
  expect(metadata.get('format')).toBe('pt');
  const prefix = 'base_model.model.';
  expect([...tensors].map(([name, { shape }]) => [name.slice(prefix.length), [...shape]])).toEqual([
    ['conv.lora_A.weight', [2, 4, 3, 2]],
    ['conv.lora_B.weight', [5, 2, 1, 1]],
    ['conv.lora_magnitude_vector', [1, 5, 1, 1]],
    ['head.lora_A.weight', [2, 100]],
    ['head.lora_B.weight', [3, 2]],
    ['head.lora_magnitude_vector', [3]],
  ]);
  // A kernel's view as a matrix is a tensor of its own.
  const [conv] = tidy(() => adapters.loraFactors().map(({ A }) => ({ A }))) as unknown as [
    { A: Variable },
  ];
  const A = read(conv.A);
  const stored = tensors.get(`${prefix}conv.lora_A.weight`)!.data;
  // A [(kh kw in), r] against [r, in, kh, kw], at r = 1, in = 3, kh = 2, kw = 1.
  expect(stored[((1 * 4 + 3) * 3 + 2) * 2 + 1]).toBe(A[((2 * 2 + 1) * 4 + 3) * 2 + 1]);
  adapters.dispose();
  model.dispose();
});

test('a file as PEFT writes it, with the adapter named inside and no metadata', async () => {
  const W = tidy(() => variable(seededRandom(1).normalTensor([3, 2])));
  const adapters = await adapt({ 'model.q_proj': W }, { name: null });
  const weights = encodeSafetensors(
    new Map([
      [
        'base_model.model.model.q_proj.lora_A.default.weight',
        { shape: [1, 3], data: Float32Array.from([1, 2, 3]) },
      ],
      [
        'base_model.model.model.q_proj.lora_B.default.weight',
        { shape: [2, 1], data: Float32Array.from([5, 7]) },
      ],
    ]),
  );
  const config = {
    peft_type: 'LORA',
    r: 1,
    lora_alpha: 2,
    target_modules: ['q_proj'],
    lora_bias: false,
  };
  await adapters.loadAdapter({ config, weights });
  const delta = adapters.delta('model.q_proj');
  expect([...delta.dataSync()]).toEqual([10, 14, 20, 28, 30, 42]);
  delta.dispose();
  await adapters.loadAdapter(
    { config, weights: encodeSafetensors(rename(weights, 'model.q_proj', 'elsewhere')) },
    { name: 'mapped', mapPath: (path) => path.replace('elsewhere', 'model.q_proj') },
  );
  expect(adapters.adapterNames).toEqual(['default', 'mapped']);
  adapters.dispose();
  W.dispose();
});

function rename(weights: Uint8Array, from: string, to: string): Map<string, FileTensor> {
  const { tensors } = decodeSafetensors(weights);
  return new Map([...tensors].map(([name, x]) => [name.replace(from, to), x]));
}

describe('a file that does not fit is refused, the model unchanged', () => {
  const make = async (options: AdaptOptions = {}) => {
    const model = MODELS.dense!.make();
    randomize(model);
    const adapters = await adapt(model, { r: 2, init: 'random', ...options });
    return { model, adapters };
  };

  const changed = (change: (tensors: Map<string, FileTensor>) => void) => (files: AdapterFiles) => {
    const tensors = new Map(decodeSafetensors(files.weights).tensors);
    change(tensors);
    return { ...files, weights: encodeSafetensors(tensors) };
  };
  const key = (path: string, part: string) => `base_model.model.${path}.${part}`;
  const configured = (extra: object) => (files: AdapterFiles) => ({
    ...files,
    config: { ...files.config, ...extra },
  });

  test.each<[string, (files: AdapterFiles) => AdapterFiles, RegExp]>([
    [
      'cut short',
      (f) => ({ ...f, weights: f.weights.slice(0, -5) as Uint8Array<ArrayBuffer> }),
      /got \d+/,
    ],
    [
      'other names',
      changed((t) => t.set(key('z', 'lora_A.weight'), [...t.values()][0]!)),
      /must be of modules that are here .*got z/,
    ],
    [
      'a part missing',
      changed((t) => t.delete(key('b', 'lora_B.weight'))),
      /b.lora_B.weight must be in the file/,
    ],
    [
      'another shape',
      changed((t) =>
        t.set(key('c', 'lora_A.weight'), { shape: [2, 9], data: new Float32Array(18) }),
      ),
      /c.lora_A.weight must have shape \[2,5\] for this model, got \[2,9\]/,
    ],
    [
      'two ranks',
      changed((t) =>
        t.set(key('c', 'lora_B.weight'), { shape: [6, 1], data: new Float32Array(6) }),
      ),
      /c.lora_B.weight must have shape \[6,2\]/,
    ],
    [
      'rank 0',
      changed((t) =>
        t.set(key('c', 'lora_A.weight'), { shape: [0, 5], data: new Float32Array(0) }),
      ),
      /c.lora_A.weight must have shape \[1,5\]/,
    ],
    [
      'a stranger',
      changed((t) => t.set(key('a', 'kernel'), { shape: [1], data: new Float32Array(1) })),
      /other weights must be|must match/,
    ],
    ['nothing', changed((t) => t.clear()), /got none/],
    [
      'a magnitude without DoRA',
      changed((t) =>
        t.set(key('a', 'lora_magnitude_vector'), { shape: [7], data: new Float32Array(7) }),
      ),
      /must not have a magnitude/,
    ],
    ['DoRA without magnitudes', configured({ use_dora: true }), /must have a magnitude/],
    ['another method', configured({ peft_type: 'IA3' }), /peft_type must be/],
    ['an odd alpha', configured({ lora_alpha: 'x' }), /lora_alpha is not valid/],
    ['an odd pattern', configured({ alpha_pattern: { a: -1 } }), /alpha_pattern is not valid/],
    [
      'no configuration',
      (f) => ({ ...f, config: null as never }),
      /configuration must be an object/,
    ],
    ['no files', () => null as never, /files must be/],
  ])('%s', async (_, damage, message) => {
    const { model, adapters } = await make();
    const x = inputsOf(MODELS.dense!);
    const want = predict(model, x);
    const files = damage(await adapters.saveAdapter());
    const tensors = memory().numTensors;
    await expect(adapters.loadAdapter(files, { name: 'next' })).rejects.toThrow(message);
    await expect(adapters.loadAdapter(files, { name: 'next' })).rejects.toThrow(CheckpointError);
    expect(memory().numTensors).toBe(tensors);
    expect(adapters.adapterNames).toEqual(['default']);
    expect(predict(model, x)).toEqual(want);
    adapters.dispose();
    model.dispose();
    x.dispose();
  });

  test('a configuration cannot reach the prototype', async () => {
    const { model, adapters } = await make();
    const files = await adapters.saveAdapter();
    const config = JSON.parse(
      `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},${JSON.stringify(files.config).slice(1)}`,
    );
    await adapters.loadAdapter({ ...files, config }, { name: 'next' });
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    adapters.dispose();
    model.dispose();
  });

  test('handlers that hold something else', async () => {
    const { model, adapters } = await make();
    await expect(
      adapters.loadFrom(io.fromMemory({ modelTopology: {} }), { name: 'b' }),
    ).rejects.toThrow(/not an adapter of @orth\/lora-group/);
    await expect(adapters.loadFrom('nowhere://x', { name: 'b' })).rejects.toThrow(/exactly one/);
    await expect(adapters.saveTo({} as never)).rejects.toThrow(/must have a method save/);
    adapters.dispose();
    model.dispose();
  });
});

test('tf.layers saves the model without its adapters while they are on', async () => {
  const kind = MODELS.nested!;
  const model = kind.make();
  randomize(model);
  const x = inputsOf(kind);
  const base = predict(model, x);
  const adapters = await adapt(model, { r: 2, init: 'random' });
  expect(predict(model, x)).not.toEqual(base);
  let artifacts: io.ModelArtifacts = {};
  await model.save(
    io.withSaveHandler(async (given) => {
      artifacts = given;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  const plain = await layers.loadLayersModel(io.fromMemory(artifacts));
  expect(predict(plain, x)).toEqual(base);
  adapters.dispose();
  // tf.layers frees no layer that is used twice.
  before += 4;
  for (const m of [model, plain]) m.dispose();
  x.dispose();
});

test('a group as JSON', async () => {
  const [W, V] = [1, 1].map((seed) =>
    tidy(() => variable(seededRandom(seed).normalTensor([5, 4]))),
  ) as [Variable, Variable];
  const x = seededRandom(2).normalTensor([3, 5]);
  const group = await loraGroup(W, { r: 2, n: 2, init: 'olora' });
  stir(group.trainable);
  const state = JSON.parse(JSON.stringify(await group.toJSON()));
  const again = await restoreLoraGroup(V, state);
  const [want, got] = [group, again].map((g) => tidy(() => read(g.apply(x))));
  expect(got).toEqual(want);
  again.merge();
  expect(again.merged).toBe(true);
  again.unmerge();
  const delta = again.delta();
  expect(delta.shape).toEqual([5, 4]);
  delta.dispose();
  again.dispose();
  await expect(restoreLoraGroup(V, { ...state, weights: '!' })).rejects.toThrow(CheckpointError);
  await expect(restoreLoraGroup(V, { ...state, weights: 'AAAA' })).rejects.toThrow(CheckpointError);
  expect(V.trainable).toBe(true);
  await expect(loraGroup(x as Variable)).rejects.toThrow(/must be a variable/);
  await expect(loraGroup(V, { r: 0 })).rejects.toThrow(/r must be/);
  group.dispose();
  for (const t of [W, V, x]) t.dispose();
});
