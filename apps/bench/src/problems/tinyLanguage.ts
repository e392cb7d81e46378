/** Next-character prediction on a little of Moby-Dick, by a small MLP: where data is short and models overfit. */
import { type Random, seededRandom } from '@orth/backend';
import { loadMobyDick } from '@orth/race';
import { type TokenDataset, type TrainableModel, tokenWindows } from '@orth/scaling';
import {
  add,
  dispose,
  gather,
  matMul,
  relu,
  reshape,
  type Tensor,
  type Tensor2D,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';

export const ALPHABET = "abcdefghijklmnopqrstuvwxyz .,;!?'-";
export const CONTEXT = 16;
const EMBEDDING = 16;

/** Lower case, and nothing but the alphabet. */
function symbolsOf(text: string): Int32Array {
  const codes = [...text.toLowerCase().replaceAll(/\s+/g, ' ')].map((c) => ALPHABET.indexOf(c));
  return Int32Array.from(codes.filter((code) => code >= 0));
}

/** Two parts of the book, far apart. */
export function corpusOf(characters: number): { train: TokenDataset; validation: TokenDataset } {
  const symbols = symbolsOf(new TextDecoder().decode(loadMobyDick().train));
  const part = (from: number, count: number) =>
    tokenWindows(symbols.subarray(from, from + count), { contextLength: CONTEXT });
  return { train: part(200_000, characters), validation: part(600_000, 12_000) };
}

/** Embedding, two hidden layers of which the second is residual, and a head. */
export class TinyLanguageModel implements TrainableModel {
  readonly variables: Variable[] = [];

  constructor(
    readonly width: number,
    seed: number,
  ) {
    const random = seededRandom(seed);
    const input = CONTEXT * EMBEDDING;
    this.add(random, 'embedding', [ALPHABET.length, EMBEDDING], 1);
    this.layer(random, 'first', input, width, Math.sqrt(2));
    this.layer(random, 'second', width, width, Math.sqrt(2));
    this.layer(random, 'head', width, ALPHABET.length, 1);
  }

  /** Weights that are trained. */
  get parameters(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  predict(inputs: Tensor): Tensor {
    const [E, W1, b1, W2, b2, W3, b3] = this.variables as unknown as Tensor2D[];
    return tidy(() => {
      const embedded = gather(E!, reshape(inputs, [-1]));
      const x = reshape(embedded, [inputs.shape[0]!, CONTEXT * EMBEDDING]) as Tensor2D;
      const h = relu(add(matMul(x, W1!), b1!)) as Tensor2D;
      const g = add(h, relu(add(matMul(h, W2!), b2!))) as Tensor2D;
      return add(matMul(g, W3!), b3!);
    });
  }

  dispose(): void {
    dispose(this.variables);
  }

  private layer(random: Random, name: string, rows: number, columns: number, gain: number) {
    this.add(random, `${name}/kernel`, [rows, columns], gain / Math.sqrt(rows));
    const bias = zeros([columns]);
    this.variables.push(variable(bias, true, this.nameOf(`${name}/bias`)));
    bias.dispose();
  }

  private add(random: Random, name: string, shape: number[], deviation: number) {
    const values = random.normalTensor(shape, 0, deviation);
    this.variables.push(variable(values, true, this.nameOf(name)));
    values.dispose();
  }

  private nameOf = (name: string) => `tiny${TinyLanguageModel.made++}/${name}`;
  private static made = 0;
}
