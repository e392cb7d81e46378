/** An older and a newer embedding model of digits, and the task that an adapter between them is trained for. */
import type { Random } from '@orth/backend';
import {
  add,
  gather,
  losses,
  matMul,
  oneHot,
  relu,
  type Scalar,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { type LabelledImages, rotate, slice, smallDigits } from './digitDomains.js';

const FEATURES = 32;
const CLASSES = 10;
const BATCH = 100;

/** A two-layer network whose second layer's outputs are embeddings, trained by a linear classifier on them. */
class Embedder {
  private readonly variables: Variable[];

  constructor(size: number, hidden: number, random: Random) {
    const layer = (inputs: number, outputs: number) => {
      const W = random.normalTensor([inputs, outputs], 0, Math.sqrt(2 / inputs));
      const b = zeros([outputs]);
      const made = [variable(W), variable(b)];
      for (const x of [W, b]) x.dispose();
      return made;
    };
    const sizes = [size, hidden, FEATURES, CLASSES];
    this.variables = sizes.slice(1).flatMap((outputs, i) => layer(sizes[i]!, outputs));
  }

  embed(x: Tensor2D): Tensor2D {
    const [W1, b1, W2, b2] = this.variables as [Variable, Variable, Variable, Variable];
    return tidy(() => add(matMul(relu(add(matMul(x, W1), b1)), W2), b2) as Tensor2D);
  }

  async fit(images: LabelledImages, steps: number, random: Random): Promise<void> {
    const optimizer = train.adam(2e-3);
    const x = pixelsOf(images);
    const [W, b] = this.variables.slice(4) as [Variable, Variable];
    for (let step = 0; step < steps; step++) {
      const rows = Array.from({ length: BATCH }, () => random.integer(0, images.count - 1));
      optimizer.minimize(
        () =>
          tidy(() => {
            const batch = gather(x, tensor1d(rows, 'int32')) as Tensor2D;
            const logits = add(matMul(relu(this.embed(batch)), W), b);
            const labels = rows.map((row) => images.digits[row]!);
            const wanted = oneHot(tensor1d(labels, 'int32'), CLASSES);
            return losses.softmaxCrossEntropy(wanted, logits) as Scalar;
          }),
        false,
        this.variables,
      );
    }
    await this.variables[0]!.data();
    optimizer.dispose();
    x.dispose();
  }

  dispose(): void {
    for (const x of this.variables) x.dispose();
  }
}

const pixelsOf = ({ count, size, pixels }: LabelledImages): Tensor2D =>
  tensor2d(pixels, [count, size]);

/** Embeddings of the same images by both models. */
export interface EmbeddedPairs {
  readonly hNew: Tensor2D;
  readonly hOld: Tensor2D;
  readonly labels: Int32Array;
}

/** A model update: both models frozen, embeddings of a downstream task, and of what the models were trained for. */
export interface ModelUpdate {
  readonly train: EmbeddedPairs;
  readonly test: EmbeddedPairs;
  readonly original: EmbeddedPairs;
  dispose(): void;
}

/** Old: 196-32-32 on digits 0 to 4. New: 196-256-32 on all. Downstream: digits turned by 60 degrees. */
export async function modelUpdate(random: Random, quick: boolean): Promise<ModelUpdate> {
  const digits = smallDigits();
  const known = slice(digits, 0, 4000);
  const few = pick(known, (label) => label < 5);
  const [older, newer] = [
    new Embedder(digits.size, 32, random.fork(1)),
    new Embedder(digits.size, 256, random.fork(2)),
  ];
  const steps = quick ? 200 : 600;
  await older.fit(few, steps, random.fork(3));
  await newer.fit(known, steps, random.fork(4));
  const embed = (images: LabelledImages): EmbeddedPairs => {
    const x = pixelsOf(images);
    const pair = { hNew: newer.embed(x), hOld: older.embed(x), labels: images.digits };
    x.dispose();
    return pair;
  };
  const parts = {
    train: embed(rotate(slice(digits, 4000, 5500), 60)),
    test: embed(rotate(slice(digits, 5500, 6300), 60)),
    original: embed(slice(digits, 6300, 7100)),
  };
  for (const model of [older, newer]) model.dispose();
  return {
    ...parts,
    dispose() {
      for (const { hNew, hOld } of Object.values(parts)) for (const x of [hNew, hOld]) x.dispose();
    },
  };
}

/** The images of some digits. */
function pick(images: LabelledImages, wanted: (label: number) => boolean): LabelledImages {
  const rows = [...images.digits.keys()].filter((i) => wanted(images.digits[i]!));
  const pixels = new Float32Array(rows.length * images.size);
  rows.forEach((row, i) => {
    pixels.set(images.pixels.subarray(row * images.size, (row + 1) * images.size), i * images.size);
  });
  const digits = Int32Array.from(rows, (row) => images.digits[row]!);
  return { ...images, count: rows.length, pixels, digits };
}
