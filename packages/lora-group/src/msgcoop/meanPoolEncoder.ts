import { checkInteger, checkOptions, checkTensor, seededRandom } from '@orth/backend';
import {
  cast,
  div,
  expandDims,
  gather,
  lessEqual,
  matMul,
  mul,
  range,
  reshape,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tanh,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { hashTokenizer } from './hashTokenizer.js';
import type { TextEncoder } from './textEncoder.js';

/** Options of {@link MeanPoolEncoder}: sizes of random weights, or the weights. */
export interface MeanPoolEncoderOptions {
  /** Tokens known. Default 256 */
  readonly vocabularySize?: number;
  /** Default 32 */
  readonly embedDim?: number;
  /** Default 64 */
  readonly featureDim?: number;
  /** Token embeddings `[V, d]` and projection `[d, D]`, copied; instead of the three sizes. */
  readonly weights?: { readonly tokens: Tensor2D; readonly projection: Tensor2D };
  /** Default 77 */
  readonly maxLength?: number;
  /** Of random weights. Default 0 */
  readonly seed?: number;
  /** Default: `hashTokenizer(vocabularySize)` */
  readonly tokenize?: (text: string) => number[];
}

/**
 * The simplest text encoder: `tanh(mean of the embeddings up to the end token · E)`, for tests and demos. It sees which
 * words stand there, not in which order.
 */
export class MeanPoolEncoder implements TextEncoder {
  readonly embedDim: number;
  readonly featureDim: number;
  readonly maxLength: number;
  readonly vocabularySize: number;
  readonly tokenize: (text: string) => number[];
  private readonly tokens: Tensor;
  private readonly projection: Tensor;

  /** @throws TypeError or RangeError for a wrong option */
  constructor(options: MeanPoolEncoderOptions = {}) {
    const caller = 'MeanPoolEncoder';
    const sizes = ['vocabularySize', 'embedDim', 'featureDim'] as const;
    checkOptions(caller, options, [...sizes, 'weights', 'maxLength', 'seed', 'tokenize']);
    const { weights, maxLength = 77, seed = 0 } = options;
    checkInteger(caller, 'maxLength', maxLength, { min: 2 });
    if (weights) {
      checkOptions(caller, weights, ['tokens', 'projection']);
      checkTensor(caller, 'weights.tokens', weights.tokens, { rank: 2 });
      const [, d] = weights.tokens.shape;
      checkTensor(caller, 'weights.projection', weights.projection, { shape: [d, null] });
      for (const name of sizes) {
        if (options[name] !== undefined) {
          throw new TypeError(`${caller}: ${name} must not be given beside weights, got both`);
        }
      }
    }
    const [vocabularySize, embedDim, featureDim] = weights
      ? [...weights.tokens.shape, weights.projection.shape[1]]
      : [options.vocabularySize ?? 256, options.embedDim ?? 32, options.featureDim ?? 64];
    checkInteger(caller, 'vocabularySize', vocabularySize, { min: 1 });
    checkInteger(caller, 'embedDim', embedDim, { min: 1 });
    checkInteger(caller, 'featureDim', featureDim, { min: 1 });
    const random = seededRandom(seed);
    this.vocabularySize = vocabularySize;
    this.embedDim = embedDim;
    this.featureDim = featureDim;
    this.maxLength = maxLength;
    this.tokenize = options.tokenize ?? hashTokenizer(Math.max(4, vocabularySize));
    this.tokens = weights
      ? weights.tokens.clone()
      : random.normalTensor([vocabularySize, embedDim]);
    this.projection = weights
      ? weights.projection.clone()
      : random.normalTensor([embedDim, featureDim], 0, 1 / Math.sqrt(embedDim));
  }

  /** @throws RangeError for a token that is not in the vocabulary */
  embed(tokenIds: number[][]): Tensor3D {
    return embedTokens('MeanPoolEncoder.embed', this.tokens, tokenIds);
  }

  encode(prompts: Tensor3D, eos: Tensor1D): Tensor2D {
    return tidy(() => {
      const [, length] = prompts.shape;
      const ends = expandDims(eos, 1);
      // Deviation from a plain mean only where prompts differ in length: padding counts for nothing.
      const mask = cast(lessEqual(range(0, length, 1, 'int32'), ends), 'float32');
      const total = sum(mul(prompts, expandDims(mask, 2)), 1);
      const mean = div(total, sum(mask, 1, true));
      return tanh(matMul(mean as Tensor2D, this.projection as Tensor2D));
    });
  }

  /** Frees the weights; does nothing the second time. */
  dispose(): void {
    this.tokens.dispose();
    this.projection.dispose();
  }
}

/** Rows of a table, shape `[C, L, d]`. */
export function embedTokens(caller: string, table: Tensor, tokenIds: number[][]): Tensor3D {
  const [size, d] = table.shape as [number, number];
  const flat = tokenIds.flat();
  const strange = flat.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
  if (strange !== undefined) {
    throw new RangeError(`${caller}: tokens must be integers below ${size}, got ${strange}`);
  }
  return tidy(() =>
    reshape(gather(table, tensor1d(flat, 'int32')), [
      tokenIds.length,
      flat.length / tokenIds.length,
      d,
    ]),
  );
}
