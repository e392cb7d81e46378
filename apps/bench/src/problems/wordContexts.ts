/** Next words after two: a synthetic language of topics, and a small network with an output layer of one's choice. */

import type { Random } from '@orth/backend';
import { crossEntropyLoss, type SphericalLossName, SphericalOutputLayer } from '@orth/losses';
import {
  add,
  cast,
  concat,
  gather,
  greater,
  matMul,
  mul,
  type Optimizer,
  oneHot,
  relu,
  type Scalar,
  sum,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tidy,
  train,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';

const WORDS = 1000;
const TOPICS = 15;
const EMBEDDING = 32;
const WIDTH = 64;
const BATCH = 200;
const EVALUATED = 1000;

/** Contexts of two words and what follows. */
export interface Contexts {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly next: Int32Array;
}

/**
 * A topic's words are 0.3 Zipf's law and 0.7 the law over an order of its own; every word has a topic; the next word comes
 * from the topic of the first word (0.6) or of the second.
 */
export function wordContexts(random: Random, count: number): Contexts {
  const zipf = Array.from({ length: WORDS }, (_, i) => 1 / (i + 1));
  const all = zipf.reduce((a, b) => a + b);
  const topics = Array.from({ length: TOPICS }, () => {
    const order = random.shuffle([...zipf.keys()]);
    return zipf.map((p, i) => (0.3 * p + 0.7 * zipf[order[i]!]!) / all);
  });
  const marginal = zipf.map((_, i) => topics.reduce((total, p) => total + p[i]! / TOPICS, 0));
  const samplers = topics.map((p) => sampler(p, random));
  const word = sampler(marginal, random);
  const topicOf = zipf.map(() => random.integer(0, TOPICS - 1));
  const contexts: Contexts = {
    first: new Int32Array(count),
    second: new Int32Array(count),
    next: new Int32Array(count),
  };
  for (let i = 0; i < count; i++) {
    const [a, b] = [word(), word()];
    contexts.first[i] = a;
    contexts.second[i] = b;
    contexts.next[i] = samplers[topicOf[random.uniform() < 0.6 ? a : b]!]!();
  }
  return contexts;
}

function sampler(weights: readonly number[], random: Random): () => number {
  const sums = Float64Array.from(weights);
  for (let i = 1; i < sums.length; i++) sums[i] = sums[i]! + sums[i - 1]!;
  return () => {
    const target = random.uniform() * sums[sums.length - 1]!;
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < target) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** An output layer and its loss: descent at `rate`, beside Adam for what is below. */
export type Output =
  | { readonly loss: 'crossEntropy'; readonly rate: number }
  | {
      readonly loss: SphericalLossName;
      readonly rate: number;
      readonly options?: { a?: number; b?: number };
      readonly scale: number;
    };

/** Share of test contexts whose next word is among the first k. */
export type TopK = Readonly<Record<'top1' | 'top10' | 'top50', number>>;

/** Trains on the contexts but the last `tests`, and measures on these. */
export function trainWords(
  contexts: Contexts,
  tests: number,
  epochs: number,
  random: Random,
  output: Output,
): TopK {
  const count = contexts.next.length - tests;
  const make = (shape: number[], deviation: number): Variable => {
    const start = random.normalTensor(shape, 0, deviation);
    const result = variable(start);
    start.dispose();
    return result;
  };
  const embedding = make([WORDS, EMBEDDING], 1 / Math.sqrt(EMBEDDING));
  const kernels = [0, 1].map(() => make([WIDTH, WIDTH], Math.sqrt(2 / WIDTH)));
  const biases = [0, 1].map(() => make([WIDTH], 0));
  const below = [embedding, ...kernels, ...biases];
  const hidden = (a: Tensor1D, b: Tensor1D): Tensor2D => {
    const e = [a, b].map((word) => gather(embedding as Tensor2D, word));
    return kernels.reduce<Tensor2D>(
      (h, kernel, i) => relu(add(matMul(h, kernel as Tensor2D), biases[i]!)),
      concat(e, 1) as Tensor2D,
    );
  };
  const layer = createOutput(output, make, random.integer(0, 2 ** 30));
  const optimizer: Optimizer = train.adam(2e-3);
  const descent: Optimizer = train.sgd(output.rate);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = random.shuffle([...Array(count).keys()]);
    for (let start = 0; start + BATCH <= count; start += BATCH) {
      const rows = order.slice(start, start + BATCH);
      const [a, b, y] = [contexts.first, contexts.second, contexts.next].map((words) =>
        tensor1d(
          Int32Array.from(rows, (i) => words[i]!),
          'int32',
        ),
      ) as [Tensor1D, Tensor1D, Tensor1D];
      tidy(() => {
        const own = layer.kernel ? [layer.kernel] : [];
        const { grads } = variableGrads(() => layer.loss(hidden(a, b), y), [...below, ...own]);
        if (layer.kernel) {
          const { [layer.kernel.name]: slope, ...rest } = grads;
          descent.applyGradients({ [layer.kernel.name]: slope! });
          optimizer.applyGradients(rest);
        } else optimizer.applyGradients(grads);
      });
      for (const x of [a, b, y]) x.dispose();
    }
  }
  const result = evaluate(contexts, count, hidden, layer.weights());
  layer.dispose();
  optimizer.dispose();
  descent.dispose();
  for (const v of below) v.dispose();
  return result;
}

interface Layer {
  /** A variable that is trained by descent; the factored layer trains itself. */
  readonly kernel?: Variable;
  loss(hidden: Tensor2D, labels: Tensor1D): Scalar;
  /** `[WORDS, WIDTH]` */
  weights(): Tensor2D;
  dispose(): void;
}

function createOutput(
  output: Output,
  make: (shape: number[], deviation: number) => Variable,
  seed: number,
): Layer {
  if (output.loss === 'crossEntropy') {
    const kernel = make([WORDS, WIDTH], 0.01);
    return {
      kernel,
      loss: (h, y) => crossEntropyLoss(matMul(h, kernel as Tensor2D, false, true), y) as Scalar,
      weights: () => tidy(() => kernel.clone() as Tensor2D),
      dispose: () => kernel.dispose(),
    };
  }
  const layer = new SphericalOutputLayer({
    classes: WORDS,
    inputSize: WIDTH,
    loss: output.loss,
    lossOptions: output.options ?? {},
    initialScale: output.scale,
    seed,
  });
  return {
    loss: (h, y) => layer.trainingLoss(h, y, { learningRate: output.rate }),
    weights: () => layer.weights(),
    dispose: () => layer.dispose(),
  };
}

function evaluate(
  { first, second, next }: Contexts,
  from: number,
  hidden: (a: Tensor1D, b: Tensor1D) => Tensor2D,
  weights: Tensor2D,
): TopK {
  let [top1, top10, top50, seen] = [0, 0, 0, 0];
  for (let start = from; start < next.length; start += EVALUATED) {
    const part = (words: Int32Array) => tensor1d(words.slice(start, start + EVALUATED), 'int32');
    const ranks = tidy(() => {
      const y = part(next);
      const logits = matMul(hidden(part(first), part(second)), weights, false, true);
      const own = sum(mul(logits, cast(oneHot(y, WORDS), 'float32')), 1, true);
      return sum(cast(greater(logits, own), 'int32'), 1).dataSync();
    });
    for (const rank of ranks) {
      top1 += Number(rank < 1);
      top10 += Number(rank < 10);
      top50 += Number(rank < 50);
      seen++;
    }
  }
  weights.dispose();
  return { top1: top1 / seen, top10: top10 / seen, top50: top50 / seen };
}
