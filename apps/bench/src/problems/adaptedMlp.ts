/** An MLP pretrained on digits, then adapted to "is it 5 or more?" in several ways. */
import type { Random } from '@orth/backend';
import { type AdaptedVariables, adapt, pegoLoss } from '@orth/lora-group';
import {
  add,
  argMax,
  equal,
  losses,
  matMul,
  mean,
  oneHot,
  relu,
  type Scalar,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import type { LabelledImages } from './digitDomains.js';

const WIDTH = 128;
const BATCH = 96;
/** The two square layers, which get adapters. */
const SQUARE = ['hidden1', 'hidden2'];

/** How a pretrained network is adapted; its new head is trained in each way. */
export type Way =
  | { readonly kind: 'probe' }
  | { readonly kind: 'full' }
  | { readonly kind: 'lora'; readonly r: number; readonly n: number; readonly lambda: number };

/** Names of the ways. */
export const labelOf = (way: Way): string => {
  if (way.kind === 'probe') return 'linear probe';
  if (way.kind === 'full') return 'full fine-tuning';
  const { r, n, lambda } = way;
  if (n === 1) return `LoRA r ${r}`;
  return lambda > 0 ? `PEGO ${lambda}` : `group of ${n}, r ${r}, no penalty`;
};

let networks = 0;

/** Weights of a network, by name. */
type Weights = Record<string, Variable>;

function makeWeights(
  sizes: readonly (readonly [string, number, number])[],
  random: Random,
): Weights {
  const prefix = `adaptedMlp${networks++}`;
  const weights: Weights = {};
  for (const [name, inSize, outSize] of sizes) {
    for (const [part, start] of [
      ['kernel', random.normalTensor([inSize, outSize], 0, Math.sqrt(2 / inSize))],
      ['bias', zeros([outSize])],
    ] as const) {
      weights[`${name}.${part}`] = variable(start, true, `${prefix}/${name}/${part}`);
      start.dispose();
    }
  }
  return weights;
}

type Product = (name: string, x: Tensor) => Tensor;

/** Three hidden layers. */
function features(x: Tensor, body: Weights, product: Product): Tensor {
  return ['hidden0', ...SQUARE].reduce(
    (h, name) => relu(add(product(`${name}.kernel`, h), body[`${name}.bias`]!)),
    x,
  );
}

const plain =
  (weights: Weights): Product =>
  (name, x) =>
    matMul(x, weights[name]!);

const pack = (
  images: LabelledImages,
  rows: readonly number[],
  label: (digit: number) => number,
) => {
  const pixels = new Float32Array(rows.length * images.size);
  rows.forEach((row, i) => {
    pixels.set(images.pixels.subarray(row * images.size, (row + 1) * images.size), i * images.size);
  });
  return {
    x: tensor2d(pixels, [rows.length, images.size]),
    y: tensor1d(
      rows.map((row) => label(images.digits[row]!)),
      'int32',
    ),
  };
};

/** Batches without end, in an order of their own each time round. */
function* batches(count: number, size: number, random: Random): Generator<number[], never> {
  let order: number[] = [];
  for (;;) {
    if (order.length < size) order = random.shuffle([...Array(count).keys()]);
    yield order.splice(0, size);
  }
}

const dispose = (weights: Weights) => {
  for (const w of Object.values(weights)) w.dispose();
};

/** A pretrained network; adapting copies it. */
export interface Pretrained {
  readonly body: Weights;
  dispose(): void;
}

/** Pretrains on all ten digits, Adam at 1e-3. */
export function pretrain(images: LabelledImages, steps: number, random: Random): Pretrained {
  const sizes = [
    ['hidden0', images.size, WIDTH],
    ...SQUARE.map((name) => [name, WIDTH, WIDTH] as const),
  ] as const;
  const body = makeWeights(sizes, random);
  const head = makeWeights([['head', WIDTH, 10]], random);
  const all: Weights = { ...body, ...head };
  const optimizer = train.adam(1e-3);
  const order = batches(images.count, 128, random);
  for (let step = 0; step < steps; step++) {
    const { x, y } = pack(images, order.next().value, (digit) => digit);
    optimizer.minimize(
      () =>
        tidy(() => {
          const h = features(x, body, plain(all));
          const logits = add(matMul(h, head['head.kernel']!), head['head.bias']!);
          return losses.softmaxCrossEntropy(oneHot(y, 10), logits) as Scalar;
        }),
      false,
      Object.values(all),
    );
    x.dispose();
    y.dispose();
  }
  optimizer.dispose();
  dispose(head);
  return { body, dispose: () => dispose(body) };
}

/** What adapting gave. */
export interface Adapted {
  /** Accuracy on each of the images asked for. */
  readonly accuracies: readonly number[];
  readonly trained: number;
}

/** Whether a digit is 5 or more. */
const task = (digit: number) => (digit >= 5 ? 1 : 0);

/**
 * Adapts a copy of the pretrained network, and tests it.
 * @param random - the head, the adapters' starts and the order of the images: the same for every way
 * @param tests - images of each test
 */
export async function adaptNetwork(
  pretrained: Pretrained,
  way: Way,
  images: LabelledImages,
  tests: readonly LabelledImages[],
  { steps, learningRate, random }: { steps: number; learningRate: number; random: Random },
): Promise<Adapted> {
  const prefix = `adaptedMlp${networks++}`;
  const body: Weights = Object.fromEntries(
    Object.entries(pretrained.body).map(([name, w]) => [
      name,
      tidy(() => variable(w.clone(), true, `${prefix}/${name}`)),
    ]),
  );
  const head = makeWeights([['head', WIDTH, 2]], random.fork(1));
  let adapters: AdaptedVariables | undefined;
  if (way.kind === 'lora') {
    const { r, n } = way;
    const targetModules = SQUARE.map((name) => `${name}.kernel`);
    const seed = random.fork(2).integer(0, 2 ** 30);
    adapters = await adapt(body, { r, n, seed, targetModules });
  }
  const product: Product = (name, x) =>
    adapters && SQUARE.some((layer) => name.startsWith(layer))
      ? adapters.apply(name, x)
      : matMul(x, body[name]!);
  const trained = [
    ...Object.values(head),
    ...(way.kind === 'full' ? Object.values(body) : (adapters?.trainableVariables ?? [])),
  ];
  const logits = (x: Tensor) =>
    add(matMul(features(x, body, product), head['head.kernel']!), head['head.bias']!);
  const optimizer = train.adam(learningRate);
  const order = batches(images.count, BATCH, random.fork(3));
  for (let step = 0; step < steps; step++) {
    const { x, y } = pack(images, order.next().value, task);
    optimizer.minimize(
      () =>
        tidy(() => {
          const loss = losses.softmaxCrossEntropy(oneHot(y, 2), logits(x));
          if (!adapters || way.kind !== 'lora' || way.lambda === 0) return loss as Scalar;
          return add(loss, pegoLoss(adapters, { lambda: way.lambda })) as Scalar;
        }),
      false,
      trained,
    );
    x.dispose();
    y.dispose();
  }
  adapters?.merge();
  const accuracies: number[] = [];
  for (const test of tests) {
    const right = tidy(() => {
      const { x, y } = pack(test, [...Array(test.count).keys()], task);
      return mean(equal(argMax(logits(x), 1), y));
    });
    accuracies.push((await right.data())[0]!);
    right.dispose();
  }
  const count = trained.reduce((sum, w) => sum + w.size, 0);
  optimizer.dispose();
  adapters?.dispose();
  dispose(head);
  dispose(body);
  return { accuracies, trained: count };
}
