/** A small network of circular convolutions on digits, trained with or without L_orth, and attacked in l2. */
import type { Random } from '@orth/backend';
import { circularConv2d, convSingularValues, lorth } from '@orth/lora-group';
import {
  add,
  argMax,
  cast,
  equal,
  grad,
  losses,
  matMul,
  mean,
  minimum,
  mul,
  oneHot,
  reciprocal,
  relu,
  reshape,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { type LabelledImages, SIDE } from './digitDomains.js';

const BATCH = 64;
const CLASSES = 10;
/** Channels in and out, and stride. */
const LAYERS = [
  [1, 8, 1],
  [8, 16, 2],
  [16, 16, 1],
] as const;

/** Three circular 3×3 convolutions with ReLU, then a dense layer. */
export class CircularNetwork {
  private readonly kernels: Variable[];
  private readonly biases: Variable[];
  private readonly head: readonly [Variable, Variable];

  constructor(random: Random) {
    const own = (x: Tensor) => {
      const made = variable(x);
      x.dispose();
      return made;
    };
    this.kernels = LAYERS.map(([inputs, outputs]) =>
      own(random.normalTensor([3, 3, inputs, outputs], 0, Math.sqrt(1 / (27 * inputs)))),
    );
    this.biases = LAYERS.map(([, outputs]) => own(zeros([outputs])));
    const features = 16 * (SIDE / 2) ** 2;
    this.head = [
      own(random.normalTensor([features, CLASSES], 0, Math.sqrt(1 / features))),
      own(zeros([CLASSES])),
    ];
  }

  logits(x: Tensor): Tensor2D {
    return tidy(() => {
      let h: Tensor = reshape(x, [-1, SIDE, SIDE, 1]);
      LAYERS.forEach(([, , stride], i) => {
        h = relu(add(circularConv2d(h, this.kernels[i]!, stride), this.biases[i]!));
      });
      const flat = reshape(h, [h.shape[0]!, -1]);
      return add(matMul(flat, this.head[0]), this.head[1]) as Tensor2D;
    });
  }

  /** Adam 2e-3 on cross-entropy plus lambda times the sum of L_orth over layers. */
  async fit(images: LabelledImages, epochs: number, lambda: number, random: Random): Promise<void> {
    const optimizer = train.adam(2e-3);
    const variables = [...this.kernels, ...this.biases, ...this.head];
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = random.shuffle([...Array(images.count).keys()]);
      for (let at = 0; at + BATCH <= order.length; at += BATCH) {
        const [x, y] = pack(images, order.slice(at, at + BATCH));
        optimizer.minimize(
          () =>
            tidy(() => {
              const task = losses.softmaxCrossEntropy(y, this.logits(x)) as Scalar;
              if (lambda === 0) return task;
              const penalties = LAYERS.map(([, , stride], i) =>
                lorth(this.kernels[i]!, { stride }),
              );
              const total = penalties.reduce<Tensor>((a, b) => add(a, b), zeros([]));
              return add(task, mul(total, lambda)) as Scalar;
            }),
          false,
          variables,
        );
        x.dispose();
        y.dispose();
      }
      await this.head[1].data();
    }
    optimizer.dispose();
  }

  /** Accuracy after steps of projected gradient ascent within a ball of l2 radius epsilon about each image. */
  async accuracy(images: LabelledImages, epsilon: number): Promise<number> {
    const rows = [...Array(images.count).keys()];
    const [x, y] = pack(images, rows);
    const right = tidy(() => {
      const attacked = epsilon === 0 ? x : attack((z) => this.logits(z), x, y, epsilon);
      const found = argMax(this.logits(attacked), 1);
      return mean(cast(equal(found, argMax(y, 1)), 'float32'));
    });
    const [value] = await right.data();
    for (const each of [x, y, right]) each.dispose();
    return value!;
  }

  /** Least and greatest singular value over the three layers' matrices at their own image sizes. */
  async singularValues(): Promise<{ least: number; greatest: number }> {
    const sizes = [SIDE, SIDE, SIDE / 2];
    const found = await Promise.all(
      LAYERS.map(([, , stride], i) =>
        convSingularValues(this.kernels[i]!, { size: sizes[i]!, stride }),
      ),
    );
    return {
      least: Math.min(...found.map((values) => values.at(-1)!)),
      greatest: Math.max(...found.map((values) => values[0]!)),
    };
  }

  dispose(): void {
    for (const x of [...this.kernels, ...this.biases, ...this.head]) x.dispose();
  }
}

const ATTACK_STEPS = 10;

function attack(logits: (x: Tensor) => Tensor, x: Tensor2D, y: Tensor2D, epsilon: number): Tensor {
  const length = (d: Tensor) => add(sqrt(sum(square(d), 1, true)), 1e-12);
  const ascent = grad((z: Tensor) => sum(losses.softmaxCrossEntropy(y, logits(z))));
  let attacked: Tensor = x;
  for (let step = 0; step < ATTACK_STEPS; step++) {
    attacked = tidy(() => {
      const slope = ascent(attacked);
      const moved = add(
        attacked,
        mul(slope, mul(2.5 * (epsilon / ATTACK_STEPS), reciprocal(length(slope)))),
      );
      const change = sub(moved, x);
      return add(x, mul(change, minimum(mul(reciprocal(length(change)), epsilon), 1)));
    });
  }
  return attacked;
}

const pack = (images: LabelledImages, rows: readonly number[]): [Tensor2D, Tensor2D] => {
  const pixels = new Float32Array(rows.length * images.size);
  rows.forEach((row, i) => {
    pixels.set(images.pixels.subarray(row * images.size, (row + 1) * images.size), i * images.size);
  });
  const labels = tensor1d(
    rows.map((row) => images.digits[row]!),
    'int32',
  );
  const y = tidy(() => cast(oneHot(labels, CLASSES), 'float32') as Tensor2D);
  labels.dispose();
  return [tensor2d(pixels, [rows.length, images.size]), y];
};
