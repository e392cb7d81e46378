import { checkInteger, checkOptions } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/** A tensor of transformers.js, as much as is read here. */
export interface ClipEmbeddings {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

/** Parts of `@huggingface/transformers` that {@link ClipFeatures} runs; give those that are needed. */
export interface ClipParts {
  /** Of `AutoTokenizer`. */
  readonly tokenizer?: {
    (texts: string[], options: { padding: boolean; truncation: boolean }): object;
    encode(text: string): number[];
  };
  /** Of `CLIPTextModelWithProjection`. */
  readonly textModel?: (inputs: object) => Promise<{ readonly text_embeds: ClipEmbeddings }>;
  /** Of `AutoProcessor`. */
  // biome-ignore lint/suspicious/noExplicitAny: transformers.js names its own kinds of images
  readonly processor?: (images: any[]) => Promise<object> | object;
  /** Of `CLIPVisionModelWithProjection`. */
  readonly visionModel?: (inputs: object) => Promise<{ readonly image_embeds: ClipEmbeddings }>;
}

/** A class of transformers.js that loads checkpoints. */
export interface ClipLoader {
  from_pretrained(model: string, options?: object): Promise<unknown>;
}

/** The module `@huggingface/transformers`, as much as {@link ClipFeatures.load} calls. */
export interface TransformersModule {
  readonly AutoTokenizer: ClipLoader;
  readonly AutoProcessor: ClipLoader;
  readonly CLIPTextModelWithProjection: ClipLoader;
  readonly CLIPVisionModelWithProjection: ClipLoader;
}

/** Options of a batch. */
export interface ClipBatchOptions {
  /** At once. Default 16 */
  readonly batchSize?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: { done: number; total: number }) => void;
  /** Stops before the next batch. */
  readonly signal?: AbortSignal;
}

/**
 * Features of texts and images by CLIP through `@huggingface/transformers`, which you install and pass in; this package
 * never loads it. They have no gradient: use them as image features, as targets, and in feature-space mode. The text tower
 * that learning contexts needs is {@link TinyTransformerEncoder} with a checkpoint's weights.
 *
 * @example
 * const clip = await ClipFeatures.load(await import('@huggingface/transformers'), 'Xenova/clip-vit-base-patch16');
 * const x = await clip.imageFeatures(images);
 */
export class ClipFeatures {
  /** @throws TypeError for parts that are no functions */
  constructor(private readonly parts: ClipParts) {
    const names = ['tokenizer', 'textModel', 'processor', 'visionModel'] as const;
    checkOptions('ClipFeatures', parts, names);
    for (const name of names) {
      const part = parts[name];
      if (part === undefined || typeof part === 'function') continue;
      throw new TypeError(`ClipFeatures: ${name} must be callable, got ${typeof part}`);
    }
  }

  /**
   * Loads all four parts of a CLIP checkpoint in ONNX form.
   *
   * @param transformers - the module `@huggingface/transformers`
   * @param model - a name on the hub, or a folder
   * @param options - for its `from_pretrained`: `dtype`, `device`, `progress_callback`, …
   * @throws (rejects with) TypeError if the module lacks a class; what it rejects with itself
   */
  static async load(
    transformers: TransformersModule,
    model: string,
    options: object = {},
  ): Promise<ClipFeatures> {
    const load = <Name extends keyof TransformersModule>(name: Name) => {
      const loader = transformers?.[name];
      if (typeof loader?.from_pretrained !== 'function') {
        throw new TypeError(
          `ClipFeatures.load: transformers must be the module @huggingface/transformers, got none with ${name}`,
        );
      }
      return loader.from_pretrained(model, options);
    };
    const [tokenizer, processor, textModel, visionModel] = await Promise.all([
      load('AutoTokenizer'),
      load('AutoProcessor'),
      load('CLIPTextModelWithProjection'),
      load('CLIPVisionModelWithProjection'),
    ]);
    return new ClipFeatures({ tokenizer, processor, textModel, visionModel } as ClipParts);
  }

  /** Tokens of a text from start to end, as an encoder's `tokenize`. Bound, so that it can be handed on. */
  readonly tokenize = (text: string): number[] =>
    this.part('ClipFeatures.tokenize', 'tokenizer').encode(text);

  /**
   * Features of texts, longer ones cut off, shape `[texts, D]`, not normalised.
   * @throws (rejects with) TypeError if a part is missing or gives something else
   */
  async textFeatures(texts: readonly string[], options: ClipBatchOptions = {}): Promise<Tensor2D> {
    const caller = 'ClipFeatures.textFeatures';
    const tokenizer = this.part(caller, 'tokenizer');
    const model = this.part(caller, 'textModel');
    return inBatches(caller, 'texts', texts, options, async (batch) => {
      const inputs = tokenizer([...batch], { padding: true, truncation: true });
      return (await model(inputs)).text_embeds;
    });
  }

  /**
   * Features of images, shape `[images, D]`, not normalised.
   * @param images - what the processor takes: `RawImage`s
   * @throws (rejects with) TypeError if a part is missing or gives something else
   */
  async imageFeatures(
    images: readonly unknown[],
    options: ClipBatchOptions = {},
  ): Promise<Tensor2D> {
    const caller = 'ClipFeatures.imageFeatures';
    const processor = this.part(caller, 'processor');
    const model = this.part(caller, 'visionModel');
    return inBatches(caller, 'images', images, options, async (batch) => {
      return (await model(await processor([...batch]))).image_embeds;
    });
  }

  private part<Name extends keyof ClipParts>(caller: string, name: Name) {
    const part = this.parts[name];
    if (part === undefined) throw new TypeError(`${caller}: ${name} must be given, got none`);
    return part as NonNullable<ClipParts[Name]>;
  }
}

async function inBatches<Item>(
  caller: string,
  argument: string,
  items: readonly Item[],
  options: ClipBatchOptions,
  embed: (batch: readonly Item[]) => Promise<ClipEmbeddings>,
): Promise<Tensor2D> {
  checkOptions(caller, options, ['batchSize', 'onProgress', 'signal']);
  const { batchSize = 16, onProgress, signal } = options;
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  if (!Array.isArray(items as unknown) || items.length === 0) {
    throw new TypeError(`${caller}: ${argument} must be a list of one or more, got none`);
  }
  let all: Float32Array | undefined;
  let size = 0;
  for (let at = 0; at < items.length; at += batchSize) {
    signal?.throwIfAborted();
    const batch = items.slice(at, at + batchSize);
    const embeddings = await embed(batch);
    const [rows, columns = 0] = embeddings?.dims ?? [];
    const fits = rows === batch.length && columns > 0 && (size === 0 || columns === size);
    if (!fits || embeddings.dims.length !== 2) {
      throw new TypeError(
        `${caller}: the model must give [${batch.length}, D] embeddings, got [${embeddings?.dims}]`,
      );
    }
    size = columns;
    all ??= new Float32Array(items.length * size);
    for (let i = 0; i < batch.length * size; i++) all[at * size + i] = Number(embeddings.data[i]);
    onProgress?.({ done: at + batch.length, total: items.length });
  }
  return tensor2d(all!, [items.length, size]);
}
