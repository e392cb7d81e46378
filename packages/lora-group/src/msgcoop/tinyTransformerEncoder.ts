import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import {
  add,
  cast,
  erf,
  expandDims,
  matMul,
  mul,
  oneHot,
  reshape,
  sigmoid,
  slice,
  softmax,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import type { FileTensor } from '../files/fileTensor.js';
import { linear } from '../lora/linear.js';
import { hashTokenizer } from './hashTokenizer.js';
import { layerNorm } from './layerNorm.js';
import { embedTokens } from './meanPoolEncoder.js';
import type { TextEncoder } from './textEncoder.js';
import {
  type Affine,
  mapTower,
  randomTower,
  readTower,
  type TextTower,
  type TowerBlock,
  type TowerSizes,
} from './textTower.js';

/** Options of {@link TinyTransformerEncoder}: sizes of random weights, or the weights. */
export interface TinyTransformerEncoderOptions {
  /** Tokens known. Default 256 */
  readonly vocabularySize?: number;
  /** Width d. Default 32 */
  readonly embedDim?: number;
  /** Size D of a feature. Default 64 */
  readonly featureDim?: number;
  /** Blocks. Default 2 */
  readonly layers?: number;
  /** Width within a block. Default 4 d */
  readonly hiddenDim?: number;
  /** Most tokens of a prompt. Default 77 */
  readonly maxLength?: number;
  /** Of random weights. Default 0 */
  readonly seed?: number;
  /**
   * Weights by their names in a checkpoint of `CLIPTextModelWithProjection` or `CLIPModel`, as {@link decodeSafetensors}
   * reads them; others are ignored. Instead of the sizes above.
   */
  readonly weights?: ReadonlyMap<string, FileTensor>;
  /** Heads of attention; must divide d. Default 4, CLIP has d / 64 */
  readonly heads?: number;
  /** `'quickGelu'` (default) as OpenAI's CLIP has it; `'gelu'` as most of OpenCLIP's models. */
  readonly activation?: 'quickGelu' | 'gelu';
  /** Token that fills up short prompts. Default 0 */
  readonly padId?: number;
  /** Default: `hashTokenizer(vocabularySize)` for random weights, none for given ones */
  readonly tokenize?: (text: string) => number[];
}

const SIZES = [
  'vocabularySize',
  'embedDim',
  'featureDim',
  'layers',
  'hiddenDim',
  'maxLength',
  'seed',
] as const;

/**
 * CLIP's text tower: embeddings of tokens and positions, blocks of causal attention and an MLP with layer norms before them,
 * a last layer norm, and the state at the end token projected to the features. Tiny and random by default; with the
 * `weights` of a CLIP checkpoint it is that checkpoint's text encoder.
 *
 * @example
 * const { tensors } = decodeSafetensors(readFileSync('model.safetensors')); // openai/clip-vit-base-patch16
 * const encoder = new TinyTransformerEncoder({ weights: tensors, heads: 8, tokenize: clip.tokenize });
 * @see Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4
 */
export class TinyTransformerEncoder implements TextEncoder {
  readonly embedDim: number;
  readonly featureDim: number;
  readonly maxLength: number;
  readonly vocabularySize: number;
  readonly padId: number;
  readonly tokenize?: (text: string) => number[];
  private readonly tower: TextTower<Tensor>;
  private readonly heads: number;
  private readonly activation: 'quickGelu' | 'gelu';

  /** @throws TypeError or RangeError for a wrong option; CheckpointError if `weights` are not those of a text tower */
  constructor(options: TinyTransformerEncoderOptions = {}) {
    const caller = 'TinyTransformerEncoder';
    const known = [...SIZES, 'weights', 'heads', 'activation', 'padId', 'tokenize'];
    checkOptions(caller, options, known);
    const { weights, heads = 4, activation = 'quickGelu', padId = 0, seed = 0 } = options;
    checkInteger(caller, 'heads', heads, { min: 1 });
    checkOneOf(caller, 'activation', activation, ['quickGelu', 'gelu']);
    checkInteger(caller, 'padId', padId, { min: 0 });
    if (weights && SIZES.some((name) => options[name] !== undefined)) {
      throw new TypeError(`${caller}: sizes and seed must not be given beside weights, got both`);
    }
    const embedDim = options.embedDim ?? 32;
    const wanted: TowerSizes = {
      vocabularySize: options.vocabularySize ?? 256,
      embedDim,
      featureDim: options.featureDim ?? 64,
      layers: options.layers ?? 2,
      hiddenDim: options.hiddenDim ?? 4 * embedDim,
      maxLength: options.maxLength ?? 77,
    };
    for (const [name, size] of Object.entries(wanted)) checkInteger(caller, name, size, { min: 1 });
    const { sizes, tower } = weights
      ? readTower(caller, weights)
      : { sizes: wanted, tower: randomTower(wanted, seed) };
    if (sizes.embedDim % heads !== 0) {
      throw new RangeError(`${caller}: heads must divide embedDim ${sizes.embedDim}, got ${heads}`);
    }
    const { tokenize = weights ? undefined : hashTokenizer(Math.max(4, sizes.vocabularySize)) } =
      options;
    this.vocabularySize = sizes.vocabularySize;
    this.embedDim = sizes.embedDim;
    this.featureDim = sizes.featureDim;
    this.maxLength = sizes.maxLength;
    this.padId = padId;
    if (tokenize) this.tokenize = tokenize;
    this.heads = heads;
    this.activation = activation;
    this.tower = mapTower(tower, ({ shape, data }) => tensor(data, [...shape]));
  }

  /** @throws RangeError for a token that is not in the vocabulary */
  embed(tokenIds: number[][]): Tensor3D {
    return embedTokens('TinyTransformerEncoder.embed', this.tower.tokens, tokenIds);
  }

  encode(prompts: Tensor3D, eos: Tensor1D): Tensor2D {
    return tidy(() => {
      const [, length, d] = prompts.shape;
      const { positions, blocks, norm, projection } = this.tower;
      const mask = causalMask(length);
      const start: Tensor = add(prompts, slice(positions, [0, 0], [length, d]));
      const last = blocks.reduce((x, block) => this.block(x, block, mask), start);
      // The state at the end token by a product: tfjs's gather has a gradient that not every backend runs.
      const chosen = expandDims(cast(oneHot(eos, length), 'float32'), 2);
      const state = layerNorm(sum(mul(last, chosen), 1), norm.W, norm.b);
      return matMul(state as Tensor2D, projection as Tensor2D);
    });
  }

  /** Frees the weights; does nothing the second time. */
  dispose(): void {
    mapTower(this.tower, (x) => x.dispose());
  }

  private block(x: Tensor, block: TowerBlock<Tensor>, mask: Tensor): Tensor {
    const { norm1, norm2, up, down } = block;
    const y = add(x, this.attention(layerNorm(x, norm1.W, norm1.b), block, mask));
    const inner = affine(layerNorm(y, norm2.W, norm2.b), up);
    return add(y, affine(this.activate(inner), down));
  }

  private attention(x: Tensor, { query, key, value, out }: TowerBlock<Tensor>, mask: Tensor) {
    const [batch, length, d] = x.shape as [number, number, number];
    const size = d / this.heads;
    const split = (y: Tensor) =>
      reshape(transpose(reshape(y, [batch, length, this.heads, size]), [0, 2, 1, 3]), [
        batch * this.heads,
        length,
        size,
      ]);
    const [q, k, v] = [query, key, value].map((part) => split(affine(x, part))) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const scores = add(mul(matMul(q, k, false, true), 1 / Math.sqrt(size)), mask);
    const mixed = reshape(matMul(softmax(scores), v), [batch, this.heads, length, size]);
    return affine(reshape(transpose(mixed, [0, 2, 1, 3]), [batch, length, d]), out);
  }

  private activate(x: Tensor): Tensor {
    if (this.activation === 'quickGelu') return mul(x, sigmoid(mul(x, 1.702)));
    return mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1));
  }
}

const affine = (x: Tensor, { W, b }: Affine<Tensor>): Tensor => add(linear(x, W), b);

/** `[L, L]`, 0 where a position may look, a great negative number after it. */
function causalMask(length: number): Tensor {
  const values = new Float32Array(length * length);
  for (let i = 0; i < length; i++) values.fill(-1e9, i * length + i + 1, (i + 1) * length);
  return tensor(values, [length, length]);
}
