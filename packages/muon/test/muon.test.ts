import { seededRandom } from '@orth/backend';
import { formatGroups, Muon, type MuonOptions, muonUpdate, type ParameterGroup } from '@orth/muon';
import type * as newtonSchulz from '@orth/newton-schulz';
import { expectTensorClose } from '@orth/testing';
import {
  concat,
  engine,
  mul,
  reshape,
  slice,
  sub,
  type Tensor,
  tensor,
  transpose,
  type Variable,
  variable,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, test, vi } from 'vitest';

const spy = vi.hoisted(() => ({ shapes: [] as string[] }));
vi.mock('@orth/newton-schulz', async (original) => {
  const actual = await original<typeof newtonSchulz>();
  return {
    ...actual,
    orthogonalize: (x: Tensor, options?: newtonSchulz.OrthogonalizeOptions) => {
      spy.shapes.push(`${x.shape}`);
      return actual.orthogonalize(x, options);
    },
  };
});

const random = seededRandom(21);
const draw = (...shape: number[]) => random.normalTensor(shape);
const close = { rtol: 1e-4, atol: 1e-5 };
const all = /./;

/** Weights after one step from `w` with gradient `g`. */
function stepped(w: Tensor, g: Tensor, options: MuonOptions): Tensor {
  const v = variable(w);
  const optimizer = new Muon(options);
  optimizer.applyGradients([{ name: v.name, tensor: g }]);
  optimizer.dispose();
  const result = v.clone();
  v.dispose();
  return result;
}

const grouped = (group: Partial<ParameterGroup>): MuonOptions => ({
  groups: [{ match: all, optimizer: 'muon', ...group } as ParameterGroup],
});

/** One step of Muon on a plain matrix, the reference for all views of bigger kernels. */
const matrixStep = (w: Tensor, g: Tensor) => muonUpdate(w, g, zerosLike(w)).weights;

afterEach(() => {
  for (const v of Object.values(engine().registeredVariables)) v.dispose();
});

describe('routing', () => {
  test.each<[string, number[], string, RegExp]>([
    ['dense/kernel', [8, 16], 'muon', /hidden matrix/],
    ['conv/kernel', [3, 3, 4, 8], 'muon', /hidden matrix/],
    ['pointwise', [1, 1, 8, 8], 'muon', /hidden matrix/],
    ['multi_head_attention/query', [8, 8], 'muon', /hidden matrix/],
    ['per_heads/kernel', [8, 8], 'muon', /hidden matrix/],
    ['dense/bias', [16], 'adamW', /vector/],
    ['scale', [], 'adamW', /scalar/],
    ['rows', [1, 16], 'adamW', /vector/],
    ['token_embedding', [8, 16], 'adamW', /embed/i],
    ['lm_head/kernel', [8, 16], 'adamW', /head/],
    ['logits', [8, 16], 'adamW', /logits/],
    ['thin', [3, 16], 'adamW', /below 4/],
    ['long', [4, 600], 'adamW', /128/],
    ['depthwise', [3, 3, 16, 1], 'adamW', /below 4/],
  ])('%s %o goes to %s', (name, shape, optimizer, reason) => {
    const [how] = new Muon().describeGroups([{ name, shape }]);
    expect(how).toMatchObject({ name, shape, optimizer });
    expect(how!.reason).toMatch(reason);
  });

  test('the first group that matches wins, by name or predicate', () => {
    const optimizer = new Muon({
      groups: [
        { match: /kernel/g, optimizer: 'frozen' },
        { match: ({ shape }) => shape.length === 2, optimizer: 'adamW', learningRate: 1 },
        { match: all, optimizer: 'muon' },
      ],
    });
    const how = (name: string, shape: number[]) => optimizer.describeGroups([{ name, shape }])[0]!;
    expect(how('kernel', [8, 8]).optimizer).toBe('frozen');
    expect(how('kernel', [8, 8]).optimizer).toBe('frozen');
    expect(how('other', [8, 8])).toMatchObject({ optimizer: 'adamW', reason: 'groups[1]' });
    expect(() => how('bias', [8])).toThrow(/Muon: bias: a matrix must have rank >= 2/);
    expect(formatGroups([how('kernel', [8, 8])])).toMatch(/kernel +\[8,8\] +frozen/);
  });

  test('matrices are told by their own shape', () => {
    const of = (group: Partial<ParameterGroup>, shape: number[]) =>
      formatGroups(new Muon(grouped(group)).describeGroups([{ name: 'w', shape }])).split('\n')[1];
    expect(of({}, [8, 24])).toMatch(/ 8×24 /);
    expect(of({ heads: 3 }, [8, 24])).toMatch(/ 3 of 8×8 /);
    expect(of({ batchAxes: [0], heads: 2 }, [5, 8, 24])).toMatch(/ 10 of 8×12 /);
    expect(of({ split: [8, 16] }, [8, 24])).toMatch(/ 2 blocks of 8×24 /);
  });

  test('an explicit group that cannot take a variable stops the step before it begins', () => {
    const bias = variable(zeros([8]), true, 'bias');
    const optimizer = new Muon(grouped({}));
    const gradient = draw(8);
    expect(() => optimizer.applyGradients([{ name: 'bias', tensor: gradient }])).toThrow(
      RangeError,
    );
    expect(bias.dataSync()).toEqual(new Float32Array(8));
    expect(optimizer.iterations).toBe(0);
    expect(optimizer.stateBytes()).toBe(0);
  });
});

describe('kernels of other forms', () => {
  test('a convolution is one flattened matrix, or one a position', () => {
    const [w, g] = [draw(2, 3, 4, 6), draw(2, 3, 4, 6)];
    const flat = (x: Tensor) => reshape(x, [24, 6]);
    expectTensorClose(flat(stepped(w, g, grouped({}))), matrixStep(flat(w), flat(g)), close);
    const apart = (x: Tensor) => reshape(x, [6, 4, 6]);
    const batched = stepped(w, g, grouped({ convMode: 'batched' }));
    expectTensorClose(apart(batched), matrixStep(apart(w), apart(g)), close);
  });

  test("PyTorch's order of a convolution gives the same", () => {
    const [w, g] = [draw(2, 3, 4, 6), draw(2, 3, 4, 6)];
    const torch = (x: Tensor) => transpose(x, [3, 2, 0, 1]);
    for (const convMode of ['flatten', 'batched'] as const) {
      const want = stepped(w, g, grouped({ convMode }));
      const got = stepped(torch(w), torch(g), grouped({ convMode, layout: 'outIn' }));
      expectTensorClose(got, torch(want), close);
    }
  });

  test('batch axes count separate matrices, wherever they are', () => {
    const [w, g] = [draw(3, 5, 4), draw(3, 5, 4)];
    const want = matrixStep(w, g);
    expectTensorClose(stepped(w, g, grouped({ batchAxes: [0] })), want, close);
    const middle = (x: Tensor) => transpose(x, [1, 0, 2]);
    const moved = stepped(middle(w), middle(g), grouped({ batchAxes: [1] }));
    expectTensorClose(moved, middle(want), close);
    const last = (x: Tensor) => transpose(x, [1, 2, 0]);
    expectTensorClose(stepped(last(w), last(g), grouped({ batchAxes: [-1] })), last(want), close);
  });

  test.each([
    ['columns', { split: [4, 8, 4] }],
    ['columns', { split: [4, 4, 8] }],
    ['columns', { split: [8, 8] }],
    ['columns', { heads: 4 }],
    ['rows', { split: [5, 7], splitAxis: 'input' }],
    ['rows', { heads: 3, splitAxis: 'input' }],
  ] as const)('blocks of %s are orthogonalised apart: %o', (side, options) => {
    const [w, g] = [draw(12, 16), draw(12, 16)];
    const axis = side === 'columns' ? 1 : 0;
    const length = [12, 16][axis]!;
    const parts =
      'heads' in options
        ? Array<number>(options.heads).fill(length / options.heads)
        : [...options.split];
    let at = 0;
    const blocks = parts.map((size) => {
      const cut = (x: Tensor) =>
        axis === 1 ? slice(x, [0, at], [12, size]) : slice(x, [at, 0], [size, 16]);
      const block = matrixStep(cut(w), cut(g));
      at += size;
      return block;
    });
    const group = grouped(options as Partial<ParameterGroup>);
    expectTensorClose(stepped(w, g, group), concat(blocks, axis), close);
    const flipped = { ...options, layout: 'outIn' } as Partial<ParameterGroup>;
    const torch = stepped(transpose(w), transpose(g), grouped(flipped));
    expectTensorClose(transpose(torch), concat(blocks, axis), close);
  });

  test.each<[Partial<ParameterGroup>, RegExp]>([
    [{ split: [4, 4] }, /split must sum to the output size 16, got \[4,4\] with sum 8/],
    [{ split: [0, 16] }, /split must be an integer >= 1, got 0/],
    [{ split: [8.5, 7.5] }, /split must be an integer/],
    [{ heads: 3 }, /heads must divide the output size 16, got 3/],
    [{ heads: 5, splitAxis: 'input' }, /heads must divide the input size 12, got 5/],
    [{ batchAxes: [0] }, /rank >= 2 beside batchAxes/],
    [{ batchAxes: [2] }, /batchAxes must be an integer/],
    [{ heads: 2, split: [8, 8] }, /groups\[0\]: split and heads must not both be given; /],
  ])('what does not fit is refused: %o', (group, message) => {
    expect(() => stepped(draw(12, 16), draw(12, 16), grouped(group))).toThrow(message);
  });
});

test('tables and plans are made of what they are made of', () => {
  const optimizer = new Muon();
  expect(() => formatGroups(optimizer as never)).toThrow(/as optimizer.describeGroups\(\) gives/);
  expect(() => optimizer.describeGroups({} as never)).toThrow(/such as model.trainableWeights/);
});

describe('batching', () => {
  test('all matrices of one shape go through one call, whatever they are blocks of', () => {
    const shapes = { a: [6, 8], b: [6, 8], qkv: [6, 24], conv: [2, 3, 8], other: [8, 6] };
    const variables = Object.entries(shapes).map(([name, shape]) =>
      variable(draw(...shape), true, name),
    );
    const optimizer = new Muon({ groups: [{ match: /qkv/, optimizer: 'muon', split: [8, 8, 8] }] });
    const gradients = variables.map((v) => ({ name: v.name, tensor: draw(...v.shape) }));
    spy.shapes.length = 0;
    optimizer.applyGradients(gradients);
    expect(spy.shapes.sort()).toEqual(['1,8,6', '6,6,8']);
  });

  test('other options of orthogonalisation are another call', () => {
    for (const name of ['a', 'b']) variable(draw(6, 8), true, name);
    const optimizer = new Muon({
      groups: [{ match: /b/, optimizer: 'muon', orthogonalization: { steps: 7 } }],
    });
    spy.shapes.length = 0;
    optimizer.applyGradients(['a', 'b'].map((name) => ({ name, tensor: draw(6, 8) })));
    expect(spy.shapes).toEqual(['1,6,8', '1,6,8']);
  });
});

describe('groups', () => {
  test('have their own options, and everything else has the optimizer’s', () => {
    const [w, g] = [draw(6, 8), draw(6, 8)];
    const own = stepped(w, g, {
      learningRate: 0.5,
      groups: [{ match: all, optimizer: 'muon', learningRate: 0.1, adjustLearningRate: 'none' }],
    });
    const plain = stepped(w, g, { learningRate: 0.1, adjustLearningRate: 'none' });
    expect(own.dataSync()).toEqual(plain.dataSync());
    const nothing = new Muon(grouped({}));
    expect(() => new Muon(grouped({ beta1: 0.9 } as never))).toThrow(/unknown option "beta1"/);
    nothing.dispose();
    expect(() => new Muon({ orthogonalization: { step: 5 } as never })).toThrow(
      /Muon: orthogonalization: unknown option "step"/,
    );
    expect(() => new Muon(grouped({ orthogonalization: { steps: 0 } }))).toThrow(/steps must be/);
  });

  test('AdamW’s part has its own learning rate, schedule and decay', () => {
    const bias = variable(tensor([1, 2]), true, 'bias');
    const optimizer = new Muon({
      learningRate: 100,
      adamW: { learningRate: (step) => 0.1 / (step + 1), weightDecay: 0.5 },
    });
    const g = tensor([1, -1]);
    optimizer.applyGradients([{ name: 'bias', tensor: g }]);
    // The first update of Adam is the sign of the gradient.
    expectTensorClose(bias, [1 * 0.95 - 0.1, 2 * 0.95 + 0.1], { rtol: 1e-5, atol: 0 });
    optimizer.applyGradients([{ name: 'bias', tensor: g }]);
    expectTensorClose(bias, [0.85 * 0.975 - 0.05, 2 * 0.975 + 0.05], { rtol: 1e-5, atol: 0 });
  });

  test('momentum may follow a schedule', () => {
    const [w, g, h] = [draw(4, 6), draw(4, 6), draw(4, 6)];
    const v = variable(w);
    const optimizer = new Muon({ momentum: (step) => [0, 0.5][step]! });
    for (const tensor of [g, h]) optimizer.applyGradients([{ name: v.name, tensor }]);
    const first = muonUpdate(w, g, zerosLike(w), { momentum: 0 });
    const second = muonUpdate(first.weights, h, first.momentum, { momentum: 0.5 });
    expectTensorClose(v, second.weights, close);
  });
});

describe('weight decay', () => {
  test('is decoupled, at the plain learning rate', () => {
    const [w, g] = [draw(4, 12), draw(4, 12)];
    const without = stepped(w, g, { learningRate: 0.1 });
    const decayed = stepped(w, g, { learningRate: 0.1, weightDecay: 0.5 });
    expectTensorClose(sub(decayed, without), mul(w, -0.05), { rtol: 1e-3, atol: 1e-6 });
  });

  test('is cautious where asked: only entries that move towards 0 shrink', () => {
    const [w, g] = [draw(4, 12), draw(4, 12)];
    const options = { learningRate: 0.1, weightDecay: 0.5 };
    const without = stepped(w, g, { learningRate: 0.1 }).dataSync();
    const cautious = stepped(w, g, { ...options, weightDecayMode: 'cautious' }).dataSync();
    w.dataSync().forEach((value, i) => {
      const towards0 = value * (value - without[i]!) >= 0;
      expect(cautious[i]! - without[i]!).toBeCloseTo(towards0 ? -0.05 * value : 0, 5);
    });
  });
});

test('many matrices, some apart, are updated as one by one', () => {
  const weights = [draw(4, 6), draw(4, 6), draw(6, 4), draw(2, 2, 6), draw(4, 12)];
  const gradients = weights.map((w) => draw(...w.shape));
  const variables: Variable[] = weights.map((w, i) => variable(w, true, `w${i}`));
  const optimizer = new Muon();
  optimizer.applyGradients(variables.map((v, i) => ({ name: v.name, tensor: gradients[i]! })));
  variables.forEach((v, i) => {
    const flat = (x: Tensor) => reshape(x, [-1, x.shape[x.rank - 1]!]);
    const want = matrixStep(flat(weights[i]!), flat(gradients[i]!));
    expectTensorClose(flat(v), want, close);
  });
});
