/** A byte-level GPT, small enough to train on a laptop's CPU in a minute. */
import { CheckpointError, type Random } from '@orth/backend';
import {
  add,
  dispose,
  gather,
  matMul,
  mul,
  reshape,
  type Scalar,
  slice,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor,
  tensor2d,
  tidy,
  transpose,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import type { Batch } from './data.js';
import { crossEntropy, maskedSoftmax, rmsNorm, squaredRelu } from './layers.js';
import { BYTES, type ModelShape } from './modelShape.js';

/** What stands for minus infinity in the causal mask; exp of it is 0 in float32. */
const MASKED = -1e9;
const EMBEDDING_DEVIATION = 0.02;

type Block = Readonly<Record<'query' | 'key' | 'value' | 'output' | 'up' | 'down', Variable>>;

/**
 * A decoder-only transformer over bytes: learned token and position embeddings, pre-norm blocks of causal attention and
 * an MLP with squared ReLU, a final norm, and an output head of its own.
 *
 * Variables are named `<name>/<part>`: `tokenEmbedding`, `positionEmbedding`, `head`, and in each block
 * `block<i>/attention/{query,key,value,output}` and `block<i>/mlp/{up,down}`. Matrices are `[in, out]`.
 */
export class Gpt {
  /** Every trainable variable, in a fixed order. */
  readonly variables: readonly Variable[];
  private readonly tokenEmbedding: Variable;
  private readonly positionEmbedding: Variable;
  private readonly head: Variable;
  private readonly blocks: readonly Block[];
  private readonly mask: Tensor2D;

  /**
   * @param name - prefix of the variables' names; two living models need two names
   * @param shape - sizes
   * @param random - source of the initial weights: same state, same weights
   */
  constructor(
    name: string,
    readonly shape: ModelShape,
    random: Random,
  ) {
    const { width, layers, context, hidden } = shape;
    const made: Variable[] = [];
    const make = (part: string, size: [number, number], deviation: number): Variable => {
      const initial = random.normalTensor(size, 0, deviation);
      const weights = variable(initial, true, `${name}/${part}`);
      initial.dispose();
      made.push(weights);
      return weights;
    };
    const linear = (part: string, size: [number, number]) =>
      make(part, size, 1 / Math.sqrt(size[0]));
    // Blocks begin as the identity: what they add to the residual stream grows from nothing, instead of burying the
    // embeddings under noise. (AdamW gains most: 0.2 nats after 200 steps.)
    const silent = (part: string, size: [number, number]) => make(part, size, 0);
    this.tokenEmbedding = make('tokenEmbedding', [BYTES, width], EMBEDDING_DEVIATION);
    this.positionEmbedding = make('positionEmbedding', [context, width], EMBEDDING_DEVIATION);
    this.blocks = Array.from({ length: layers }, (_, i) => ({
      query: linear(`block${i}/attention/query`, [width, width]),
      key: linear(`block${i}/attention/key`, [width, width]),
      value: linear(`block${i}/attention/value`, [width, width]),
      output: silent(`block${i}/attention/output`, [width, width]),
      up: linear(`block${i}/mlp/up`, [width, hidden]),
      down: silent(`block${i}/mlp/down`, [hidden, width]),
    }));
    this.head = make('head', [width, BYTES], EMBEDDING_DEVIATION);
    this.variables = made;
    const later = (i: number) => i % context > Math.floor(i / context);
    this.mask = tensor2d(
      Float32Array.from({ length: context ** 2 }, (_, i) => (later(i) ? MASKED : 0)),
      [context, context],
    );
  }

  /** How many numbers are trained. */
  get parameters(): number {
    return this.variables.reduce((total, { size }) => total + size, 0);
  }

  /**
   * Scores of every next byte.
   * @param tokens - shape `[batch * length]`, int32: rows of `length` bytes, one after the other
   * @param length - bytes in a row, at most the context
   * @returns shape `[batch * length, 256]`; row `t` depends on the bytes up to `t` of its own row only
   */
  logits(tokens: Tensor1D, length: number): Tensor2D {
    const { width } = this.shape;
    return tidy(() => {
      const batch = tokens.size / length;
      const positions = slice(this.positionEmbedding, [0, 0], [length, width]);
      const embedded = reshape(gather(this.tokenEmbedding, tokens), [batch, length, width]);
      let x: Tensor = reshape(add(embedded, positions), [batch * length, width]);
      for (const block of this.blocks) {
        x = add(x, this.attention(block, rmsNorm(x), batch, length));
        x = add(x, matMul(squaredRelu(matMul(rmsNorm(x), block.up)), block.down));
      }
      return matMul(rmsNorm(x), this.head) as Tensor2D;
    });
  }

  /** Mean cross entropy of the next byte, in nats, over all positions of a batch. */
  loss({ inputs, targets, length }: Batch): Scalar {
    return tidy(() => crossEntropy(this.logits(inputs, length), targets) as Scalar);
  }

  /** Causal multi-head attention on rows `[batch * length, width]`. */
  private attention(block: Block, x: Tensor, batch: number, length: number): Tensor {
    const { width, heads } = this.shape;
    const size = width / heads;
    const toHeads = (y: Tensor) =>
      reshape(transpose(reshape(y, [batch, length, heads, size]), [0, 2, 1, 3]), [
        batch * heads,
        length,
        size,
      ]);
    const query = toHeads(mul(matMul(x, block.query), 1 / Math.sqrt(size)));
    const key = toHeads(matMul(x, block.key));
    const value = toHeads(matMul(x, block.value));
    const mask = slice(this.mask, [0, 0], [length, length]);
    const mixed = matMul(maskedSoftmax(matMul(query, key, false, true), mask), value);
    const rows = transpose(reshape(mixed, [batch, heads, length, size]), [0, 2, 1, 3]);
    return matMul(reshape(rows, [batch * length, width]), block.output);
  }

  /**
   * Replaces all weights.
   * @param weights - one array for each of {@link variables}, by name
   * @throws CheckpointError if a variable is missing, unknown, or of another size; nothing is changed then
   */
  setWeights(weights: Readonly<Record<string, Float32Array>>): void {
    const names = new Set(this.variables.map(({ name }) => name));
    const unknown = Object.keys(weights).find((name) => !names.has(name));
    if (unknown) throw new CheckpointError(`Gpt.setWeights: the model has no variable ${unknown}`);
    for (const { name, size } of this.variables) {
      const values = weights[name];
      if (values instanceof Float32Array && values.length === size) continue;
      const got = values ? `got ${values.length}` : 'got none';
      throw new CheckpointError(`Gpt.setWeights: ${name} must have ${size} numbers, ${got}`);
    }
    for (const weight of this.variables) {
      const values = tensor(weights[weight.name]!, weight.shape);
      weight.assign(values);
      values.dispose();
    }
  }

  /** A copy of all weights, by name. */
  async getWeights(): Promise<Record<string, Float32Array>> {
    const values = await Promise.all(this.variables.map((weight) => weight.data<'float32'>()));
    return Object.fromEntries(this.variables.map(({ name }, i) => [name, values[i]!.slice()]));
  }

  /** Frees every variable; the model cannot be used afterwards. */
  dispose(): void {
    dispose([...this.variables, this.mask]);
  }
}
