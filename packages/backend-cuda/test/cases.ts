/** Every kernel of the device, through tfjs's own operations: what is compared with tfjs's cpu backend. */
import { seededRandom } from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';

/** An operation on tensors that it makes itself. */
export interface Case {
  readonly name: string;
  readonly run: () => tf.Tensor | tf.Tensor[];
  /** The same for the cpu backend, where it has no such operation or a wrong one. Default: `run` */
  readonly reference?: () => tf.Tensor | tf.Tensor[];
  /** Allowed |got − want| over max(1, |want|). Default 1e-5 */
  readonly tolerance?: number;
}

type Shape = readonly number[];

/** Normal numbers, the same for a seed on every backend. */
export function normal(shape: Shape, seed = 1, mean = 0, deviation = 1): tf.Tensor {
  const random = seededRandom(seed);
  const size = shape.reduce((n, m) => n * m, 1);
  const values = Float32Array.from({ length: size }, () => mean + deviation * random.normal());
  return tf.tensor(values, [...shape]);
}

/** Whole numbers in [low, high). */
export function integers(shape: Shape, low: number, high: number, seed = 1): tf.Tensor {
  const random = seededRandom(seed);
  const size = shape.reduce((n, m) => n * m, 1);
  const span = high - low;
  const values = Int32Array.from({ length: size }, () => low + Math.floor(random.uniform() * span));
  return tf.tensor(values, [...shape], 'int32');
}

const booleans = (shape: Shape, seed = 1) => tf.cast(integers(shape, 0, 2, seed), 'bool');
const positive = (shape: Shape, seed = 1) => tf.add(tf.abs(normal(shape, seed)), 0.1);
const unit = (shape: Shape, seed = 1) => tf.tanh(normal(shape, seed));
/** Ties, zeros of both signs, infinities and NaN, beyond what fits a kernel's parameters. */
const special = () =>
  tf.tensor1d([
    0,
    -0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -1.5,
    1,
    -1,
    7,
    -7,
    1e30,
    -1e30,
    1e-30,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    3,
    3,
    -3,
  ]);

type Unary = (x: tf.Tensor) => tf.Tensor;

const UNARY: Record<string, [op: Unary, input?: (shape: Shape) => tf.Tensor]> = {
  abs: [tf.abs],
  acos: [tf.acos, unit],
  acosh: [tf.acosh, (s) => tf.add(positive(s), 1)],
  asin: [tf.asin, unit],
  asinh: [tf.asinh],
  atan: [tf.atan],
  atanh: [tf.atanh, unit],
  ceil: [tf.ceil],
  cos: [tf.cos],
  cosh: [tf.cosh],
  elu: [tf.elu],
  erf: [tf.erf],
  exp: [tf.exp],
  expm1: [tf.expm1],
  floor: [tf.floor],
  isFinite: [tf.isFinite],
  isInf: [tf.isInf],
  isNaN: [tf.isNaN],
  log: [tf.log, positive],
  log1p: [tf.log1p, positive],
  logicalNot: [tf.logicalNot, booleans],
  neg: [tf.neg],
  reciprocal: [tf.reciprocal, positive],
  relu: [tf.relu],
  relu6: [(x) => tf.relu6(tf.mul(x, 5))],
  round: [tf.round],
  rsqrt: [tf.rsqrt, positive],
  selu: [tf.selu],
  sigmoid: [tf.sigmoid],
  sign: [tf.sign],
  sin: [tf.sin],
  sinh: [tf.sinh],
  softplus: [tf.softplus],
  sqrt: [tf.sqrt, positive],
  square: [tf.square],
  tan: [tf.tan, unit],
  tanh: [tf.tanh],
  step: [(x) => tf.step(x, 0.25)],
  leakyRelu: [(x) => tf.leakyRelu(x, 0.3)],
  clipByValue: [(x) => tf.clipByValue(x, -0.5, 0.75)],
};

const unary = Object.entries(UNARY).map(
  ([name, [op, input = normal]]): Case => ({ name, run: () => op(input([3, 7])) }),
);

/** What a value may become that is neither finite nor usual. */
const SPECIAL = [
  'abs',
  'ceil',
  'exp',
  'floor',
  'isFinite',
  'isInf',
  'isNaN',
  'neg',
  'relu',
  'relu6',
  'round',
  'sigmoid',
  'sign',
  'square',
  'step',
  'tanh',
  'clipByValue',
  'leakyRelu',
].map(
  (name): Case => ({ name: `${name} of special numbers`, run: () => UNARY[name]![0](special()) }),
);

type Binary = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor;

const BINARY: Record<string, Binary> = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: (x, y) => tf.div(x, tf.add(tf.abs(y), 0.5)),
  floorDiv: (x, y) => tf.floorDiv(x, tf.add(tf.abs(y), 0.5)),
  mod: (x, y) => tf.mod(x, tf.sub(y, 3)),
  pow: (x, y) => tf.pow(tf.add(tf.abs(x), 0.1), y),
  atan2: tf.atan2,
  maximum: tf.maximum,
  minimum: tf.minimum,
  squaredDifference: tf.squaredDifference,
  prelu: tf.prelu,
  equal: tf.equal,
  notEqual: tf.notEqual,
  less: tf.less,
  lessEqual: tf.lessEqual,
  greater: tf.greater,
  greaterEqual: tf.greaterEqual,
};

/** Broadcast along a leading, a trailing and a middle axis, both ways, and by one number. */
const SHAPES: [Shape, Shape][] = [
  [
    [3, 4, 5],
    [3, 4, 5],
  ],
  [[3, 4, 5], [5]],
  [
    [3, 1, 5],
    [4, 1],
  ],
  [[1], [4, 6]],
  [
    [2, 1, 3, 1],
    [2, 1, 4],
  ],
  [[4, 6], []],
];

const binary = Object.entries(BINARY).map(
  ([name, op]): Case => ({
    name: `${name}, every way to broadcast`,
    run: () => SHAPES.map(([a, b]) => op(normal(a, 1), normal(b, 2))),
    tolerance: 3e-5,
  }),
);

const wholes = [
  'add',
  'sub',
  'mul',
  'maximum',
  'minimum',
  'equal',
  'less',
  'greaterEqual',
  'squaredDifference',
].map(
  (name): Case => ({
    name: `${name} of whole numbers`,
    run: () => BINARY[name]!(integers([4, 6], -9, 9, 1), integers([6], -9, 9, 2)),
  }),
);

const NOT_A_NUMBER = ['maximum', 'minimum', 'add', 'less', 'equal', 'mod'].map(
  (name): Case => ({
    name: `${name} of special numbers`,
    run: () => BINARY[name]!(special(), tf.reverse(special())),
  }),
);

const divisions: Case[] = [
  {
    name: 'division of whole numbers',
    run: () => tf.div(integers([5, 5], -20, 20), tf.tensor1d([3, -3, 1, 7, -2], 'int32')),
  },
  {
    name: 'floorDiv of whole numbers',
    run: () => tf.floorDiv(integers([5, 5], -20, 20), tf.tensor1d([3, -3, 1, 7, -2], 'int32')),
  },
  {
    name: 'mod of whole numbers',
    run: () => tf.mod(integers([5, 5], -20, 20), tf.tensor1d([3, -3, 1, 7, -2], 'int32')),
  },
  {
    name: 'pow of whole numbers',
    run: () => tf.pow(integers([5, 5], -4, 5), tf.tensor1d([0, 1, 2, 3, 5], 'int32')),
  },
  {
    name: 'bitwiseAnd',
    run: () => tf.bitwiseAnd(integers([20], 0, 999, 1), integers([20], 0, 999, 2)),
  },
  {
    name: 'abs, neg, sign, square, relu and clip of whole numbers',
    run: () => [tf.abs, tf.neg, tf.sign, tf.square, tf.relu].map((op) => op(integers([20], -9, 9))),
  },
];

const logic: Case[] = [
  {
    name: 'logicalAnd, logicalOr, logicalXor',
    run: () =>
      [tf.logicalAnd, tf.logicalOr, tf.logicalXor].map((op) =>
        op(booleans([4, 6], 1), booleans([6], 2)),
      ),
  },
  { name: 'where', run: () => tf.where(booleans([4, 6]), normal([4, 6], 2), normal([6], 3)) },
  {
    name: 'where that broadcasts',
    run: () => tf.where(booleans([4, 1]), normal([4, 6], 2), normal([4, 6], 3)),
  },
  {
    name: 'Select by rows',
    run: () =>
      tf.engine().runKernel('Select', {
        condition: booleans([4]),
        t: normal([4, 6], 2),
        e: normal([4, 6], 3),
      }) as tf.Tensor,
    // The cpu backend takes the wrong elements.
    reference: () => tf.where(booleans([4, 1]), normal([4, 6], 2), normal([4, 6], 3)),
  },
  {
    name: 'where of whole numbers',
    run: () => tf.where(booleans([4, 6]), integers([4, 6], 0, 9, 2), integers([4, 6], 0, 9, 3)),
  },
  {
    name: 'addN',
    run: () => [
      tf.addN([normal([4, 6])]),
      tf.addN([normal([20], 1), normal([20], 2), normal([20], 3)]),
    ],
  },
];

const casts: Case[] = [
  {
    name: 'casts',
    run: () => [
      tf.cast(tf.mul(normal([20]), 5), 'int32'),
      tf.cast(tf.mul(normal([20]), 5), 'bool'),
      tf.cast(integers([20], -2, 2), 'float32'),
      tf.cast(integers([20], -2, 2), 'bool'),
      tf.cast(booleans([20]), 'float32'),
      tf.cast(booleans([20]), 'int32'),
    ],
  },
  {
    name: 'fill, zerosLike, onesLike',
    run: () => [
      tf.fill([3, 7], -2.5),
      tf.fill([20], 7, 'int32'),
      tf.fill([20], 1, 'bool'),
      tf.zerosLike(normal([20])),
      tf.onesLike(integers([20], 0, 9)),
      tf.onesLike(booleans([20])),
    ],
  },
  {
    name: 'range and linspace',
    run: () => [
      tf.range(0, 40, 2, 'int32'),
      tf.range(5, -20, -1),
      tf.range(0, 1, 0.05),
      tf.linspace(-1, 2, 23),
    ],
    tolerance: 1e-5,
  },
  {
    name: 'oneHot',
    run: () => [
      tf.oneHot(integers([4, 5], -1, 6), 5),
      tf.oneHot(integers([7], 0, 3), 3, 2.5, -1, 'float32'),
    ],
  },
];

const movements: Case[] = [
  {
    name: 'transpose',
    run: () => [
      tf.transpose(normal([4, 6])),
      tf.transpose(normal([2, 3, 4, 5]), [0, 2, 1, 3]),
      tf.transpose(normal([2, 3, 4, 5]), [3, 1, 0, 2]),
      tf.transpose(integers([4, 6], 0, 9)),
      tf.transpose(booleans([4, 6])),
    ],
  },
  {
    name: 'slice',
    run: () => [
      tf.slice(normal([4, 6]), [1, 2], [2, 3]),
      tf.slice(normal([4, 6]), [2], [-1]),
      tf.slice(normal([3, 4, 5]), [0, 1, 0], [3, 2, 5]),
      tf.slice(normal([4, 6]), [1, 0], [0, 6]),
    ],
  },
  {
    name: 'stridedSlice',
    run: () => [
      tf.stridedSlice(normal([7, 6]), [6, 0], [0, 6], [-2, 3]),
      tf.stridedSlice(normal([7, 6]), [1, 1], [3, 5], [1, 1]),
      tf.stridedSlice(normal([7, 6]), [0, 0], [7, 6], [1, 1]),
      tf.stridedSlice(normal([3, 4, 5]), [0, 1, 0], [3, 2, 5], [2, 1, 2], 0, 0, 0, 0, 2),
    ],
    // The cpu backend mixes up axes where one of them goes.
    reference: () => [
      tf.stridedSlice(normal([7, 6]), [6, 0], [0, 6], [-2, 3]),
      tf.slice(normal([7, 6]), [1, 1], [2, 4]),
      normal([7, 6]),
      tf.reshape(tf.stridedSlice(normal([3, 4, 5]), [0, 1, 0], [3, 2, 5], [2, 1, 2]), [2, 3]),
    ],
  },
  {
    name: 'concat, stack, unstack, split',
    run: () => [
      tf.concat([normal([2, 3], 1), normal([2, 4], 2), normal([2, 0])], 1),
      tf.concat([normal([2, 3], 1), normal([4, 3], 2)], 0),
      tf.stack([normal([4, 6], 1), normal([4, 6], 2)], 1),
      ...tf.unstack(normal([3, 4, 5]), 1),
      ...tf.split(normal([4, 6]), [1, 5], 1),
      ...tf.split(normal([4, 6]), 2, 0),
    ],
  },
  {
    name: 'tile and broadcastTo',
    run: () => [
      tf.tile(normal([2, 3]), [2, 3]),
      tf.tile(integers([5], 0, 9), [4]),
      tf.broadcastTo(normal([4, 1, 3]), [4, 5, 3]),
    ],
  },
  {
    name: 'pad and mirrorPad',
    run: () => [
      tf.pad(
        normal([4, 6]),
        [
          [1, 2],
          [0, 3],
        ],
        -1.5,
      ),
      tf.pad(integers([4, 6], 0, 9), [
        [1, 0],
        [0, 3],
      ]),
      tf.mirrorPad(
        normal([4, 6]),
        [
          [2, 1],
          [3, 5],
        ],
        'reflect',
      ),
      tf.mirrorPad(
        normal([4, 6]),
        [
          [2, 4],
          [3, 0],
        ],
        'symmetric',
      ),
      tf.mirrorPad(normal([4]), [[0, 0]], 'reflect'),
    ],
  },
  {
    name: 'reverse',
    run: () => [
      tf.reverse(normal([4, 6]), 0),
      tf.reverse(normal([3, 4, 5]), [0, 2]),
      tf.reverse(booleans([20])),
    ],
  },
  {
    name: 'reshape, expandDims, squeeze, clone',
    run: () => [
      tf.reshape(normal([4, 6]), [3, -1]),
      tf.expandDims(normal([4, 6]), 1),
      tf.squeeze(normal([1, 20, 1])),
      tf.clone(normal([20])),
    ],
  },
  {
    name: 'spaceToBatchND and batchToSpaceND',
    run: () => [
      tf.spaceToBatchND(
        normal([2, 4, 6, 3]),
        [2, 3],
        [
          [0, 0],
          [0, 0],
        ],
      ),
      tf.spaceToBatchND(
        normal([1, 3, 5, 2]),
        [2, 2],
        [
          [1, 0],
          [0, 1],
        ],
      ),
      tf.batchToSpaceND(
        normal([8, 2, 3, 1]),
        [2, 2],
        [
          [1, 0],
          [0, 2],
        ],
      ),
    ],
  },
  {
    name: 'more axes than a kernel is likely to see',
    run: () => [
      tf.transpose(normal([2, 3, 2, 3, 2, 2]), [5, 3, 1, 0, 2, 4]),
      tf.add(normal([2, 1, 3, 1, 2, 1]), normal([1, 2, 1, 2, 1, 2])),
    ],
  },
];

const sumOfEach = (x: tf.Tensor) => [
  tf.sum(x),
  tf.sum(x, 0),
  tf.sum(x, 1),
  tf.sum(x, -1, true),
  tf.sum(x, [0, 2]),
];
const reductions: Case[] = [
  {
    name: 'sum along every axis',
    run: () => [
      ...sumOfEach(normal([3, 4, 70])),
      ...sumOfEach(integers([3, 4, 70], -9, 9)),
      tf.sum(booleans([40])),
    ],
    tolerance: 5e-5,
  },
  {
    name: 'mean, prod, max, min, any, all',
    run: () => [
      tf.mean(normal([3, 4, 70])),
      tf.mean(integers([3, 40], 0, 9), 0),
      tf.prod(normal([3, 7]), 1),
      tf.prod(integers([3, 4], 1, 4), 0),
      tf.max(normal([3, 40]), 1),
      tf.max(integers([3, 40], -9, 9), 0),
      tf.min(normal([3, 40]), 0),
      tf.min(normal([3, 40])),
      tf.any(booleans([3, 40]), 1),
      tf.all(booleans([40, 3]), 0),
    ],
    tolerance: 3e-5,
  },
  {
    name: 'long axes, in parts',
    run: () => [
      tf.sum(normal([20_000])),
      tf.sum(normal([9_000, 2]), 0),
      tf.max(normal([2, 9_000]), 1),
      tf.any(tf.greater(normal([9_000]), 3)),
      tf.sum(normal([2, 700, 3]), 1),
    ],
    tolerance: 2e-4,
  },
  {
    name: 'reductions of special numbers',
    run: () => [
      tf.max(special()),
      tf.min(special()),
      tf.sum(tf.slice(special(), 0, 11)),
      tf.max(tf.slice(special(), 14, 2)),
      tf.argMax(tf.slice(special(), 17, 3)),
    ],
  },
  {
    name: 'argMax, argMin',
    run: () => [
      tf.argMax(normal([4, 70]), 1),
      tf.argMin(normal([4, 70]), 0),
      tf.argMax(integers([4, 70], 0, 5), 1),
      tf.argMin(integers([3, 5, 4], 0, 3), 1),
      tf.argMax(normal([5])),
    ],
  },
  {
    name: 'softmax and logSoftmax',
    run: () => [
      tf.softmax(normal([4, 70])),
      tf.softmax(tf.mul(normal([2, 3, 5]), 50)),
      tf.logSoftmax(normal([4, 70])),
      tf.logSoftmax(tf.mul(normal([4, 5]), 50)),
    ],
  },
  {
    name: 'cumsum and cumprod',
    run: () => [
      tf.cumsum(normal([4, 70]), 1),
      tf.cumsum(normal([4, 70]), 0, true),
      tf.cumsum(normal([3, 300]), 1, false, true),
      tf.cumsum(integers([4, 3, 5], 0, 9), 1, true, true),
      tf.cumprod(tf.add(normal([4, 7]), 1), 1),
      tf.cumprod(positive([4, 7]), 0, true, true),
    ],
    tolerance: 1e-4,
  },
  {
    name: 'topk',
    run: () => {
      const a = tf.topk(normal([4, 70]), 5);
      const b = tf.topk(integers([3, 40], 0, 6), 12);
      return [a.values, a.indices, b.values, b.indices];
    },
  },
];

/** Batches of both factors, and what they broadcast to. */
const BATCHES: [Shape, Shape, Shape][] = [
  [[], [], []],
  [[3], [3], [3]],
  [[3], [], [3]],
  [[], [3], [3]],
  [[1], [3], [3]],
  [
    [2, 1],
    [1, 3],
    [2, 3],
  ],
  [[2, 3], [3], [2, 3]],
];
const products = [false, true].flatMap((a) =>
  [false, true].map((b): Case => {
    const leftSize = a ? [7, 5] : [5, 7];
    const rightSize = b ? [4, 7] : [7, 4];
    const multiply = (wide: (x: tf.Tensor, batch: Shape) => tf.Tensor) => () =>
      BATCHES.map(([left, right, batch]) => {
        const x = wide(normal([...left, ...leftSize], 1), batch);
        const y = wide(normal([...right, ...rightSize], 2), batch);
        return tf.matMul(x, y, a, b);
      });
    return {
      name: `matMul, transposeA ${a}, transposeB ${b}`,
      run: multiply((x) => x),
      // The cpu backend mixes up batches that both broadcast.
      reference: multiply((x, batch) => tf.broadcastTo(x, [...batch, ...x.shape.slice(-2)])),
    };
  }),
);
const linear: Case[] = [
  ...products,
  {
    name: 'matMul of nothing',
    run: () => [
      tf.matMul(tf.zeros([3, 0]), tf.zeros([0, 4])),
      tf.matMul(tf.zeros([0, 3]), normal([3, 4]) as tf.Tensor2D),
    ],
  },
  {
    name: 'matMul of whole numbers, on the host',
    run: () => tf.matMul(integers([4, 5], -9, 9), integers([5, 3], -9, 9)),
  },
  ...(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'] as const).map(
    (activation): Case => ({
      name: `fused matMul with ${activation}`,
      run: () =>
        [true, false].map((bias) =>
          tf.fused.matMul({
            a: normal([5, 7], 1) as tf.Tensor2D,
            b: normal([7, 20], 2) as tf.Tensor2D,
            activation,
            ...(bias && { bias: normal([20], 3) }),
            ...(activation === 'prelu' && { preluActivationWeights: normal([20], 4) }),
            leakyreluAlpha: 0.2,
          }),
        ),
    }),
  ),
  {
    name: 'einsum',
    run: () => [
      tf.einsum('ij,jk->ik', normal([4, 5], 1), normal([5, 6], 2)),
      tf.einsum('bqhd,bkhd->bhqk', normal([2, 3, 2, 4], 1), normal([2, 5, 2, 4], 2)),
      tf.einsum('ij->ji', normal([4, 5])),
      tf.einsum('ijk->j', normal([3, 4, 5])),
      tf.einsum('i,j->ij', normal([4], 1), normal([5], 2)),
      tf.einsum('ij,ij->', normal([4, 5], 1), normal([4, 5], 2)),
      tf.einsum('bij,jk->bk', normal([2, 3, 4], 1), normal([4, 5], 2)),
      tf.einsum('ij,jk->ki', integers([3, 4], 0, 9, 1), integers([4, 5], 0, 9, 2)),
    ],
    // The cpu backend's own fails where a batch is not the first axis.
    reference: () => {
      const [a, b, x, y] = [
        normal([4, 5], 1),
        normal([5, 6], 2),
        normal([2, 3, 2, 4], 1),
        normal([2, 5, 2, 4], 2),
      ];
      const heads = (z: tf.Tensor) => tf.transpose(z, [0, 2, 1, 3]);
      return [
        tf.matMul(a, b),
        tf.matMul(heads(x), heads(y), false, true),
        tf.transpose(normal([4, 5])),
        tf.sum(normal([3, 4, 5]), [0, 2]),
        tf.mul(tf.reshape(normal([4], 1), [4, 1]), normal([5], 2)),
        tf.sum(tf.mul(a, normal([4, 5], 2))),
        tf.matMul(tf.sum(normal([2, 3, 4], 1), 1), normal([4, 5], 2)),
        tf.transpose(tf.matMul(integers([3, 4], 0, 9, 1), integers([4, 5], 0, 9, 2))),
      ];
    },
    tolerance: 3e-5,
  },
];

const indexed: Case[] = [
  {
    name: 'gather',
    run: () => [
      tf.gather(normal([6, 4]), integers([7], 0, 6)),
      tf.gather(normal([3, 6, 4]), integers([2, 3], 0, 6), 1),
      tf.gather(integers([20], 0, 9), integers([30], 0, 20)),
      tf.gather(normal([2, 6, 4]), integers([2, 5], 0, 6), 1, 1),
      tf.gather(booleans([20]), integers([5], 0, 20)),
    ],
  },
  {
    name: 'gatherND',
    run: () => [
      tf.gatherND(normal([4, 5, 6]), tf.tensor2d([1, 2, 3, 4, 0, 1], [3, 2], 'int32')),
      tf.gatherND(normal([4, 5]), tf.tensor2d([3, 1], [2, 1], 'int32')),
    ],
  },
  {
    name: 'unsortedSegmentSum',
    run: () => [
      tf.unsortedSegmentSum(normal([40, 6]), integers([40], -1, 5) as tf.Tensor1D, 5),
      // The cpu backend makes floats of whole numbers here.
      tf.cast(
        tf.unsortedSegmentSum(integers([40], -9, 9), integers([40], 0, 7) as tf.Tensor1D, 9),
        'int32',
      ),
      tf.unsortedSegmentSum(normal([40, 2]), integers([40], 0, 400) as tf.Tensor1D, 400),
    ],
    tolerance: 3e-5,
  },
  {
    name: 'scatterND',
    run: () => [
      tf.scatterND(tf.tensor2d([4, 3, 1, 4], [4, 1], 'int32'), normal([4, 3]), [6, 3]),
      tf.scatterND(tf.tensor2d([1, 2, 0, 1, 1, 2], [3, 2], 'int32'), integers([3], 0, 9), [2, 3]),
    ],
  },
  {
    name: 'tensorScatterUpdate',
    run: () =>
      tf.tensorScatterUpdate(
        normal([6, 3], 1),
        tf.tensor2d([4, 3, 1], [3, 1], 'int32'),
        normal([3, 3], 2),
      ),
  },
  {
    name: 'sparseToDense',
    run: () => [
      tf.sparseToDense(tf.tensor1d([1, 4], 'int32'), tf.tensor1d([2.5, -1]), [6], 0.5),
      tf.sparseToDense(tf.tensor2d([0, 1, 2, 0], [2, 2], 'int32'), tf.scalar(3), [3, 2]),
    ],
  },
];

const image = (seed: number, shape: Shape = [2, 6, 5, 4]) => normal(shape, seed) as tf.Tensor4D;
const convolutions: Case[] = [
  {
    name: 'conv2d',
    run: () => [
      tf.conv2d(image(1), image(2, [3, 2, 4, 3]), 1, 'same'),
      tf.conv2d(image(1), image(2, [3, 3, 4, 3]), [2, 1], 'valid'),
      tf.conv2d(image(1), image(2, [1, 1, 4, 7]), 1, 'valid'),
      tf.conv2d(image(1), image(2, [2, 2, 4, 3]), 1, 'valid', 'NHWC', [2, 1]),
      tf.conv2d(image(1), image(2, [3, 3, 4, 3]), 2, 1, 'NHWC', 1, 'floor'),
      tf.conv2d(image(1, [2, 4, 6, 5]), image(2, [3, 2, 4, 3]), 1, 'same', 'NCHW'),
      tf.conv2d(image(1), image(2, [3, 2, 4, 3]), 1, [
        [0, 0],
        [1, 0],
        [0, 2],
        [0, 0],
      ]),
    ],
    tolerance: 3e-5,
  },
  {
    name: 'conv2d gradients',
    run: () =>
      (
        [
          ['same', 1],
          ['valid', 2],
          ['same', [2, 1]],
        ] as const
      ).flatMap(([pad, strides]) =>
        tf.grads((x, w) =>
          tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides as [number, number], pad),
        )([image(1), image(2, [3, 2, 4, 3])]),
      ),
    tolerance: 1e-4,
  },
  {
    name: 'conv2d of one pixel, gradients',
    run: () =>
      tf.grads((x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'))([
        image(1),
        image(2, [1, 1, 4, 3]),
      ]),
    tolerance: 1e-4,
  },
  {
    name: 'conv2dTranspose',
    run: () =>
      tf.conv2dTranspose(image(1, [2, 3, 3, 4]), image(2, [3, 3, 5, 4]), [2, 6, 6, 5], 2, 'same'),
    tolerance: 3e-5,
  },
  {
    name: 'fused conv2d',
    run: () =>
      (['relu', 'elu', 'prelu', 'leakyrelu', 'linear'] as const).map((activation) =>
        tf.fused.conv2d({
          x: image(1),
          filter: image(2, [3, 2, 4, 3]),
          strides: 1,
          pad: 'same',
          activation,
          bias: normal([3], 3),
          leakyreluAlpha: 0.2,
          ...(activation === 'prelu' && { preluActivationWeights: normal([1, 1, 3], 4) }),
        }),
      ),
    tolerance: 3e-5,
  },
  {
    name: 'depthwiseConv2d',
    run: () => [
      tf.depthwiseConv2d(image(1), image(2, [3, 2, 4, 1]), 1, 'same'),
      tf.depthwiseConv2d(image(1), image(2, [3, 3, 4, 2]), 2, 'valid'),
      tf.depthwiseConv2d(image(1), image(2, [2, 2, 4, 2]), 1, 'valid', 'NHWC', [2, 2]),
      tf.fused.depthwiseConv2d({
        x: image(1),
        filter: image(2, [3, 2, 4, 2]),
        strides: 1,
        pad: 'same',
        activation: 'relu6',
        bias: normal([8], 3),
      }),
    ],
    tolerance: 3e-5,
  },
  {
    name: 'depthwiseConv2d gradients',
    run: () =>
      (
        [
          ['same', 1, 2],
          ['valid', 2, 1],
        ] as const
      ).flatMap(([pad, strides, times]) =>
        tf.grads((x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides, pad))([
          image(1),
          image(2, [3, 2, 4, times]),
        ]),
      ),
    tolerance: 1e-4,
  },
  {
    name: 'depthwiseConv2d gradients of many pixels',
    run: () =>
      tf.grads((x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'))([
        image(1, [2, 20, 15, 2]),
        image(2, [3, 3, 2, 1]),
      ]),
    tolerance: 2e-4,
  },
  {
    name: 'pooling',
    run: () => [
      tf.maxPool(image(1), [3, 2], 1, 'same'),
      tf.maxPool(tf.sub(image(1), 9) as tf.Tensor4D, 2, 2, 'valid'),
      tf.maxPool(integers([1, 4, 4, 2], -9, 9) as tf.Tensor4D, 2, 2, 'valid'),
      tf.avgPool(image(1), [3, 2], 1, 'same'),
      tf.avgPool(image(1), 2, 2, 'valid'),
      tf.maxPool(image(1), 3, 2, 1, 'floor'),
    ],
  },
  {
    name: 'pooling gradients',
    run: () => [
      tf.grad((x) => tf.maxPool(x as tf.Tensor4D, [3, 2], 1, 'same'))(image(1)),
      tf.grad((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid'))(
        tf.cast(integers([2, 6, 4, 3], 0, 3), 'float32'),
      ),
      tf.grad((x) => tf.avgPool(x as tf.Tensor4D, [3, 2], [1, 2], 'valid'))(image(1)),
    ],
    tolerance: 2e-5,
  },
  {
    name: 'average pooling over padding, gradient',
    run: () => tf.grad((x) => tf.avgPool(x as tf.Tensor4D, 2, 1, 'same'))(image(1)),
    // The cpu backend divides by the whole window where a part of it is padding, unlike its own forward pass.
    reference: () =>
      tf.grad((x) => {
        const sums = (y: tf.Tensor) =>
          tf.mul(
            tf.avgPool(
              tf.pad(y, [
                [0, 0],
                [0, 1],
                [0, 1],
                [0, 0],
              ]) as tf.Tensor4D,
              2,
              1,
              'valid',
            ),
            4,
          );
        return tf.div(sums(x), sums(tf.ones([2, 6, 5, 4])));
      })(image(1)),
  },
  {
    name: 'batchNorm',
    run: () => [
      tf.batchNorm(
        image(1),
        normal([4], 2),
        positive([4], 3) as tf.Tensor1D,
        normal([4], 4),
        normal([4], 5),
        1e-3,
      ),
      tf.batchNorm(image(1), normal([4], 2), positive([4], 3) as tf.Tensor1D),
      tf.batchNorm(
        image(1),
        normal([4], 2),
        positive([4], 3) as tf.Tensor1D,
        undefined,
        normal([4], 5),
      ),
      tf.batchNorm(image(1), normal([4], 2), positive([4], 3) as tf.Tensor1D, normal([4], 4)),
    ],
  },
  { name: 'eluGrad', run: () => tf.grad((x) => tf.elu(x))(normal([4, 6])) },
];

const complexOf = (shape: Shape, seed: number) =>
  tf.complex(normal(shape, seed), normal(shape, seed + 1));
/** Real and imaginary parts, since a comparison reads floats. */
const parts = (z: tf.Tensor) => [tf.real(z), tf.imag(z)];
const moves: ((z: tf.Tensor) => tf.Tensor)[] = [
  (z) => tf.transpose(z),
  (z) => tf.slice(z, [1, 2], [2, 3]),
  (z) => tf.concat([z, z], 1),
  (z) => tf.stack([z, z], 1),
  (z) => tf.split(z, [1, 5], 1)[1]!,
  (z) => tf.reshape(z, [24]),
  (z) => tf.reverse(z, 1),
  (z) => tf.tile(z, [2, 1]),
  (z) => tf.neg(z),
  (z) => tf.zerosLike(z),
  (z) => tf.gather(z, tf.tensor1d([3, 0, 3], 'int32')),
  (z) => tf.sum(z, 0),
];
// The cpu backend's complex arithmetic does not broadcast, and moves no complex numbers: real arithmetic is the reference.
const complex: Case[] = [
  {
    name: 'complex arithmetic',
    run: () => {
      const [a, b, r] = [complexOf([4, 6], 1), complexOf([6], 3), normal([4, 6], 5)];
      const pairs: [tf.Tensor, tf.Tensor][] = [
        [a, b],
        [a, tf.cast(r, 'complex64')],
      ];
      return pairs.flatMap(([x, y]) => [tf.add, tf.sub, tf.mul].flatMap((op) => parts(op(x, y))));
    },
    reference: () => {
      const [re, im] = [normal([4, 6], 1), normal([4, 6], 2)];
      const others: [tf.Tensor, tf.Tensor][] = [
        [normal([6], 3), normal([6], 4)],
        [normal([4, 6], 5), tf.zeros([4, 6])],
      ];
      return others.flatMap(([x, y]) => [
        tf.add(re, x),
        tf.add(im, y),
        tf.sub(re, x),
        tf.sub(im, y),
        tf.sub(tf.mul(re, x), tf.mul(im, y)),
        tf.add(tf.mul(re, y), tf.mul(im, x)),
      ]);
    },
  },
  {
    name: 'complex numbers move',
    run: () => moves.flatMap((move) => parts(move(complexOf([4, 6], 1)))),
    reference: () =>
      moves.flatMap((move) => [normal([4, 6], 1), normal([4, 6], 2)].map((part) => move(part))),
  },
  {
    name: 'complex abs, ones and casts',
    run: () => [
      tf.abs(complexOf([4, 6], 1)),
      tf.abs(tf.mul(complexOf([20], 1), tf.cast(tf.scalar(1e25), 'complex64'))),
      tf.cast(complexOf([20], 1), 'float32'),
      ...parts(tf.onesLike(complexOf([20], 1))),
      ...parts(tf.cast(normal([20]), 'complex64')),
    ],
    reference: () => {
      const size = (shape: Shape) =>
        tf.sqrt(tf.add(tf.square(normal(shape, 1)), tf.square(normal(shape, 2))));
      return [
        size([4, 6]),
        tf.mul(size([20]), 1e25),
        normal([20], 1),
        tf.ones([20]),
        tf.zeros([20]),
        normal([20]),
        tf.zeros([20]),
      ];
    },
  },
  {
    name: 'fft and ifft of powers of two, and of other lengths',
    run: () =>
      [2, 4, 8, 16, 32, 3, 12, 1, 15].flatMap((n) => [
        ...parts(tf.fft(complexOf([3, n], 1))),
        ...parts(tf.ifft(complexOf([2, n], 1))),
      ]),
    tolerance: 5e-5,
  },
  {
    name: 'rfft, irfft, stft',
    run: () => [
      ...parts(tf.spectral.rfft(normal([3, 16]))),
      tf.spectral.irfft(complexOf([3, 9], 1)),
      tf.abs(tf.signal.stft(normal([64]) as tf.Tensor1D, 16, 8)),
    ],
    tolerance: 5e-5,
  },
];

const host: Case[] = [
  {
    name: 'resizing, on the host',
    run: () => [
      tf.image.resizeBilinear(image(1) as tf.Tensor3D | tf.Tensor4D, [3, 9]),
      tf.image.resizeNearestNeighbor(image(1), [9, 3]),
    ],
  },
  {
    name: 'unique, bincount and a sparse form, on the host',
    run: () => {
      const u = tf.unique(integers([20], 0, 5));
      return [
        u.values,
        u.indices,
        tf.bincount(integers([20], 0, 5) as tf.Tensor1D, tf.tensor1d([]), 5),
      ];
    },
  },
  {
    name: 'strings stay on the host',
    run: () => tf.cast(tf.equal(tf.tensor1d([1, 2]), tf.tensor1d([1, 3])), 'int32'),
  },
  {
    name: '3-D pooling and convolution, on the host',
    run: () => [
      tf.maxPool3d(normal([1, 3, 4, 4, 2]) as tf.Tensor5D, 2, 1, 'valid'),
      tf.conv3d(
        normal([1, 3, 4, 4, 2]) as tf.Tensor5D,
        normal([2, 2, 2, 2, 3], 2) as tf.Tensor5D,
        1,
        'same',
      ),
    ],
    tolerance: 3e-5,
  },
];

/** All of them. */
export const CASES: readonly Case[] = [
  ...unary,
  ...SPECIAL,
  ...binary,
  ...wholes,
  ...NOT_A_NUMBER,
  ...divisions,
  ...logic,
  ...casts,
  ...movements,
  ...reductions,
  ...linear,
  ...indexed,
  ...convolutions,
  ...complex,
  ...host,
];
