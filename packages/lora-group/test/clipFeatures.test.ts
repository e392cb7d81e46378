/** CLIP's features through a stand-in with the interface of @huggingface/transformers. */
import { assertNoLeaks } from '@orth/backend';
import { ClipFeatures, type ClipParts, MSGCoOp } from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import { expect, test } from 'vitest';

const D = 3;

/** A tensor as ONNX models give it. */
const embeddings = (rows: readonly (readonly number[])[]) => ({
  dims: [rows.length, D],
  data: Float32Array.from(rows.flat()),
});

/** What the module offers, as far as it is called; it keeps a record of its calls. */
function standIn() {
  const calls: string[] = [];
  const tokenize = (text: string) => [1, ...[...text].map((letter) => letter.charCodeAt(0)), 2];
  const tokenizer = Object.assign(
    (texts: string[], options: { padding: boolean; truncation: boolean }) => {
      calls.push(`tokenizer ${texts.length} ${options.padding} ${options.truncation}`);
      return { texts };
    },
    { encode: tokenize },
  );
  const parts = {
    AutoTokenizer: tokenizer,
    AutoProcessor: async (images: number[]) => ({ images }),
    CLIPTextModelWithProjection: async ({ texts }: { texts: string[] }) => ({
      text_embeds: embeddings(texts.map((text) => [text.length, 1, 0])),
    }),
    CLIPVisionModelWithProjection: async ({ images }: { images: number[] }) => {
      calls.push(`images ${images.length}`);
      return { image_embeds: embeddings(images.map((image) => [image, 0, 1])) };
    },
  };
  const module = Object.fromEntries(
    Object.entries(parts).map(([name, part]) => [
      name,
      {
        from_pretrained: async (model: string, options: object) => {
          calls.push(`${name} ${model} ${JSON.stringify(options)}`);
          return part;
        },
      },
    ]),
  ) as unknown as Parameters<typeof ClipFeatures.load>[0];
  return { calls, module, parts };
}

test('loads its parts, embeds texts and images in batches', async () => {
  const { calls, module } = standIn();
  const clip = await ClipFeatures.load(module, 'clip', { dtype: 'q8' });
  expect(calls).toContain('CLIPTextModelWithProjection clip {"dtype":"q8"}');
  const progress: object[] = [];
  const texts = await clip.textFeatures(['a', 'bb', 'ccc'], {
    batchSize: 2,
    onProgress: (each) => progress.push(each),
  });
  expectTensorClose(texts, [1, 1, 0, 2, 1, 0, 3, 1, 0]);
  expect(texts.shape).toEqual([3, D]);
  expect(calls).toContain('tokenizer 2 true true');
  expect(progress).toEqual([
    { done: 2, total: 3 },
    { done: 3, total: 3 },
  ]);
  const images = await clip.imageFeatures([5, 6]);
  expectTensorClose(images, [5, 0, 1, 6, 0, 1]);
  const { tokenize } = clip;
  expect(tokenize('A')).toEqual([1, 65, 2]);
  for (const x of [texts, images]) x.dispose();
});

test('its features train prompts in feature-space mode', async () => {
  const { parts } = standIn();
  const clip = new ClipFeatures({
    tokenizer: parts.AutoTokenizer,
    textModel: parts.CLIPTextModelWithProjection,
    processor: parts.AutoProcessor,
    visionModel: parts.CLIPVisionModelWithProjection,
  } as unknown as ClipParts);
  await assertNoLeaks(async () => {
    const classFeatures = await clip.textFeatures(['cat', 'a tiger']);
    const images = await clip.imageFeatures([1, 2, -3, -4]);
    const model = new MSGCoOp({ classFeatures, target: classFeatures, semanticWeight: 1 });
    const history = await model.fit(images, [0, 0, 1, 1], { epochs: 5, learningRate: 0.05 });
    expect(history.at(-1)!.ce).toBeLessThan(history[0]!.ce);
    model.dispose();
    for (const x of [classFeatures, images]) x.dispose();
  });
});

test('refuses another module, missing parts and other embeddings', async () => {
  await expect(ClipFeatures.load({} as never, 'clip')).rejects.toThrow('AutoTokenizer');
  expect(() => new ClipFeatures({ tokenizer: 'x' } as never)).toThrow('tokenizer must be callable');
  expect(() => new ClipFeatures({ model: () => {} } as never)).toThrow('unknown option');
  const none = new ClipFeatures({});
  await expect(none.textFeatures(['a'])).rejects.toThrow('tokenizer must be given');
  expect(() => none.tokenize('a')).toThrow('tokenizer must be given');
  const { parts } = standIn();
  const odd = new ClipFeatures({
    processor: parts.AutoProcessor,
    visionModel: async () => ({ image_embeds: embeddings([[1, 2, 3]]) }),
  });
  await expect(odd.imageFeatures([1, 2])).rejects.toThrow('[2, D] embeddings, got [1,3]');
  await expect(odd.imageFeatures([])).rejects.toThrow('images must be a list');
  await expect(odd.imageFeatures([1], { batchSize: 0 })).rejects.toThrow('batchSize');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(odd.imageFeatures([1], { signal })).rejects.toThrow('enough');
});
