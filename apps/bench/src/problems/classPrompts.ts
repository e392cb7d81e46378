/** Worlds of synthetic classes for prompts: a frozen random text encoder, and images around the features of full texts. */
import type { Random } from '@orth/backend';
import {
  type BaseToNew,
  baseToNew,
  coop,
  descriptionTargets,
  kgCoOp,
  MeanPoolEncoder,
  MSGCoOp,
} from '@orth/lora-group';
import { type Tensor2D, tensor1d, tensor2d } from '@tensorflow/tfjs-core';

const EMBED_DIM = 32;
const FEATURE_DIM = 64;
const CLASSES = 20;
const ATTRIBUTES = 30;
const ATTRIBUTES_OF_CLASS = 3;
const FRAME = ['a', 'photo', 'of', '.', ','];
/** Of the encoder's product: a mean of ten tokens is short, and tanh shall bend. */
const GAIN = 3;
/** Standard deviation of an image's feature around a unit mean, in each of 64 directions. */
const NOISE = 0.1;
/** Length of what all images of training have in addition. */
const SHIFT = 0.5;
const TEST_IMAGES = 15;
const WEIGHT_DECAY = 5e-4;

/** Images of some classes, by what the classes are called. */
export interface ClassImages {
  readonly classNames: readonly string[];
  readonly imageFeatures: Tensor2D;
  readonly labels: readonly number[];
}

/** Classes to learn from few images, new ones to test on. */
export interface PromptWorld {
  readonly encoder: MeanPoolEncoder;
  readonly train: ClassImages;
  readonly base: ClassImages;
  readonly novel: ClassImages;
  /** Targets of the base classes out of descriptions, each of which tells two of three attributes. */
  readonly described: Tensor2D;
  dispose(): void;
}

/** Start and end token, then every word there is. */
function makeTokenizer(words: readonly string[]) {
  const ids = new Map(words.map((word, i) => [word, i + 3]));
  return (text: string) => {
    const list = text.match(/\w+|[.,]/g) ?? [];
    return [1, ...list.map((word) => ids.get(word)!), 2];
  };
}

function encode(encoder: MeanPoolEncoder, texts: readonly string[]): Tensor2D {
  const rows = texts.map((text) => encoder.tokenize(text));
  const longest = Math.max(...rows.map((row) => row.length));
  const padded = rows.map((row) => [...row, ...new Array<number>(longest - row.length).fill(0)]);
  const ends = tensor1d(
    rows.map((row) => row.length - 1),
    'int32',
  );
  const embedded = encoder.embed(padded);
  const features = encoder.encode(embedded, ends);
  ends.dispose();
  embedded.dispose();
  return features;
}

const unit = (x: readonly number[]) => {
  const length = Math.hypot(...x);
  return x.map((value) => value / length);
};

/** `tanh(mean of embeddings · E)`, E large enough for tanh to bend. */
function makeEncoder(random: Random, words: readonly string[]): MeanPoolEncoder {
  const tokens = random.normalTensor([words.length + 3, EMBED_DIM]) as Tensor2D;
  const scale = GAIN / Math.sqrt(EMBED_DIM);
  const projection = random.normalTensor([EMBED_DIM, FEATURE_DIM], 0, scale) as Tensor2D;
  const encoder = new MeanPoolEncoder({
    weights: { tokens, projection },
    tokenize: makeTokenizer(words),
  });
  tokens.dispose();
  projection.dispose();
  return encoder;
}

/** A world of 20 base and 20 new classes, `shots` images a base class to learn from. */
export async function makePromptWorld(random: Random, shots: number): Promise<PromptWorld> {
  const names = Array.from({ length: 2 * CLASSES }, (_, c) => `n${2 * c} n${2 * c + 1}`);
  const attributes = Array.from({ length: ATTRIBUTES }, (_, i) => `attribute${i}`);
  const words = [...FRAME, ...names.flatMap((name) => name.split(' ')), ...attributes];
  const encoder = makeEncoder(random, words);
  const traits = names.map(() => random.shuffle(attributes).slice(0, ATTRIBUTES_OF_CLASS));
  const truth = encode(
    encoder,
    names.map((name, c) => `a photo of ${name}, ${traits[c]!.join(' ')}`),
  );
  const rows = (await truth.array()).map(unit);
  truth.dispose();
  const shift = unit(Array.from({ length: FEATURE_DIM }, () => random.normal()));
  const draw = (from: number, count: number, strength: number): ClassImages => {
    const classes = Array.from({ length: CLASSES * count }, (_, i) => Math.floor(i / count));
    const images = classes.map((c) =>
      rows[from + c]!.map((x, k) => x + strength * shift[k]! + random.normal(0, NOISE)),
    );
    const imageFeatures = tensor2d(images);
    return {
      classNames: names.slice(from, from + CLASSES),
      imageFeatures,
      labels: classes,
    };
  };
  const train = draw(0, shots, SHIFT);
  const base = draw(0, TEST_IMAGES, 0);
  const novel = draw(CLASSES, TEST_IMAGES, 0);
  const described = await descriptionTargets(
    (texts) => encode(encoder, texts),
    base.classNames,
    traits
      .slice(0, CLASSES)
      .map((list) => list.map((_, out) => list.filter((_, i) => i !== out).join(' '))),
  );
  return {
    encoder,
    train,
    base,
    novel,
    described,
    dispose: () => {
      encoder.dispose();
      for (const { imageFeatures } of [train, base, novel]) imageFeatures.dispose();
      described.dispose();
    },
  };
}

/** How prompts are learned. */
export interface PromptWay {
  /** Name in the table. */
  readonly label: string;
  readonly make: (world: PromptWorld, seed: number) => MSGCoOp;
  /** Share of the common learning rate. Default 1 */
  readonly rate?: number;
  /** Multiple of the common weight decay. Default 1 */
  readonly decay?: number;
}

const ours = (world: PromptWorld, settings: object) => ({
  encoder: world.encoder,
  classNames: world.train.classNames,
  target: world.described,
  ...settings,
});

/** The ways that are compared. */
export const PROMPT_WAYS = {
  handWritten: {
    label: 'the hand-written prompt',
    rate: 0,
    make: ({ encoder, train }) => coop({ encoder, classNames: train.classNames }),
  },
  coop: {
    label: 'CoOp',
    make: ({ encoder, train }) => coop({ encoder, classNames: train.classNames }),
  },
  kgCoOp: {
    label: 'KgCoOp',
    make: ({ encoder, train }) => kgCoOp({ encoder, classNames: train.classNames }),
  },
  described: {
    label: 'one prompt, description targets',
    make: (world) => new MSGCoOp(ours(world, { numPrompts: 1 })),
  },
  describedSlow: {
    label: 'one prompt, description targets, a quarter of the rate and four times the weight decay',
    rate: 0.25,
    decay: 4,
    make: (world) => new MSGCoOp(ours(world, { numPrompts: 1, diversityWeight: 0 })),
  },
  msgcoop: {
    label: 'MSGCoOp, four prompts, equal at the start',
    make: (world) => new MSGCoOp(ours(world, {})),
  },
  noisy: {
    label: 'MSGCoOp, four prompts that differ at the start',
    make: (world, seed) => new MSGCoOp(ours(world, { initNoise: 0.05, seed })),
  },
  noisyFree: {
    label: 'four prompts that differ at the start, no diversity loss',
    make: (world, seed) => new MSGCoOp(ours(world, { initNoise: 0.05, diversityWeight: 0, seed })),
  },
} satisfies Record<string, PromptWay>;

/** A way of {@link PROMPT_WAYS}. */
export type PromptWayName = keyof typeof PROMPT_WAYS;

/** What a way came to in a world. */
export interface PromptResult extends BaseToNew {
  readonly spread: number;
  readonly diversity: number;
}

/** Learns in one way, and measures on the base and the new classes. */
export async function learnPrompts(
  world: PromptWorld,
  way: PromptWay,
  { epochs, learningRate, seed }: { epochs: number; learningRate: number; seed: number },
): Promise<PromptResult> {
  const model = way.make(world, seed);
  const { train, base, novel } = world;
  const { rate = 1, decay = 1 } = way;
  const history = await model.fit(train.imageFeatures, train.labels, {
    epochs: rate === 0 ? 1 : epochs,
    learningRate: learningRate * rate,
    weightDecay: WEIGHT_DECAY * decay,
  });
  const { imageFeatures, labels } = base;
  const result = await baseToNew(model, { base: { imageFeatures, labels }, novel });
  const spread = await model.spread();
  model.dispose();
  return { ...result, spread, diversity: history[history.length - 1]!.diversity };
}
