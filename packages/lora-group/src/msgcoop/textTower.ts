/** Weights of a text tower of CLIP's form: random ones, or those of a checkpoint. */
import { CheckpointError, seededRandom } from '@orth/backend';
import { type FileTensor, permuteAxes, sizeOf } from '../files/fileTensor.js';

/** A product with a bias: `W [in, out]`, `b [out]`; or the scale and bias of a layer norm, both `[d]`. */
export interface Affine<T> {
  readonly W: T;
  readonly b: T;
}

/** A block of a text tower. */
export interface TowerBlock<T> {
  readonly norm1: Affine<T>;
  readonly query: Affine<T>;
  readonly key: Affine<T>;
  readonly value: Affine<T>;
  readonly out: Affine<T>;
  readonly norm2: Affine<T>;
  readonly up: Affine<T>;
  readonly down: Affine<T>;
}

/** A text tower. */
export interface TextTower<T> {
  /** `[V, d]`. */
  readonly tokens: T;
  /** `[L, d]`. */
  readonly positions: T;
  readonly blocks: readonly TowerBlock<T>[];
  readonly norm: Affine<T>;
  /** `[d, D]`. */
  readonly projection: T;
}

/** Sizes of a text tower. */
export interface TowerSizes {
  readonly vocabularySize: number;
  readonly embedDim: number;
  readonly featureDim: number;
  readonly layers: number;
  readonly hiddenDim: number;
  readonly maxLength: number;
}

/** Parts of a block by their names in a checkpoint. */
const PARTS = {
  norm1: 'layer_norm1',
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  out: 'self_attn.out_proj',
  norm2: 'layer_norm2',
  up: 'mlp.fc1',
  down: 'mlp.fc2',
} as const;

const mapAffine = <A, B>({ W, b }: Affine<A>, f: (x: A) => B): Affine<B> => ({ W: f(W), b: f(b) });

/** The same tower with every weight put through `f`. */
export function mapTower<A, B>(tower: TextTower<A>, f: (x: A) => B): TextTower<B> {
  return {
    tokens: f(tower.tokens),
    positions: f(tower.positions),
    blocks: tower.blocks.map(
      (block) =>
        Object.fromEntries(
          Object.entries(block).map(([part, affine]) => [part, mapAffine(affine, f)]),
        ) as unknown as TowerBlock<B>,
    ),
    norm: mapAffine(tower.norm, f),
    projection: f(tower.projection),
  };
}

/** Random weights: embeddings N(0, 1) and N(0, 0.1) for positions, so that words count; products keep a state's scale. */
export function randomTower(sizes: TowerSizes, seed: number): TextTower<FileTensor> {
  const { vocabularySize, embedDim: d, featureDim, layers, hiddenDim, maxLength } = sizes;
  const random = seededRandom(seed);
  const normal = (shape: readonly number[], deviation: number): FileTensor => ({
    shape,
    data: Float32Array.from({ length: sizeOf(shape) }, () => random.normal(0, deviation)),
  });
  const constant = (size: number, value: number): FileTensor => ({
    shape: [size],
    data: new Float32Array(size).fill(value),
  });
  const norm = () => ({ W: constant(d, 1), b: constant(d, 0) });
  const affine = (from: number, to: number) => ({
    W: normal([from, to], 1 / Math.sqrt(from)),
    b: constant(to, 0),
  });
  return {
    tokens: normal([vocabularySize, d], 1),
    positions: normal([maxLength, d], 0.1),
    blocks: Array.from({ length: layers }, () => ({
      norm1: norm(),
      query: affine(d, d),
      key: affine(d, d),
      value: affine(d, d),
      out: affine(d, d),
      norm2: norm(),
      up: affine(d, hiddenDim),
      down: affine(hiddenDim, d),
    })),
    norm: norm(),
    projection: normal([d, featureDim], 1 / Math.sqrt(d)),
  };
}

const EMBEDDINGS = 'text_model.embeddings.';
const BLOCK = /^text_model\.encoder\.layers\.(\d+)\./;

/**
 * Weights of a checkpoint of PyTorch's CLIP classes, products brought to `[in, out]`.
 * @throws CheckpointError if one is missing or of another shape
 */
export function readTower(
  caller: string,
  file: ReadonlyMap<string, FileTensor>,
): { readonly sizes: TowerSizes; readonly tower: TextTower<FileTensor> } {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${caller}: ${problem}`);
  };
  const take = (name: string, shape: readonly (number | null)[]): FileTensor => {
    const x = file.get(name);
    if (!x) return fail(`weights must hold ${name}, got none of that name`);
    const fits =
      x.shape.length === shape.length && shape.every((n, i) => n === null || n === x.shape[i]);
    const wanted = shape.map((n) => n ?? '*').join(',');
    return fits ? x : fail(`${name} must have shape [${wanted}], got [${x.shape}]`);
  };
  const tokens = take(`${EMBEDDINGS}token_embedding.weight`, [null, null]);
  const [vocabularySize, d] = tokens.shape as [number, number];
  const positions = take(`${EMBEDDINGS}position_embedding.weight`, [null, d]);
  const transposed = (name: string, shape: readonly (number | null)[]) =>
    permuteAxes(take(name, shape), [1, 0]);
  const projection = transposed('text_projection.weight', [null, d]);
  const numbers = [...file.keys()].flatMap((name) => {
    const number = BLOCK.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  const layers = numbers.reduce((most, number) => Math.max(most, number + 1), 0);
  const hiddenDim =
    layers > 0 ? take('text_model.encoder.layers.0.mlp.fc1.bias', [null]).shape[0]! : 1;
  const norm = (name: string) => ({
    W: take(`${name}.weight`, [d]),
    b: take(`${name}.bias`, [d]),
  });
  const sizeOfPart = (part: string): readonly [number, number] => {
    if (part === 'up') return [d, hiddenDim];
    return part === 'down' ? [hiddenDim, d] : [d, d];
  };
  const block = (index: number) =>
    Object.fromEntries(
      Object.entries(PARTS).map(([part, partName]) => {
        const name = `text_model.encoder.layers.${index}.${partName}`;
        if (part.startsWith('norm')) return [part, norm(name)];
        const [from, to] = sizeOfPart(part);
        const W = transposed(`${name}.weight`, [to, from]);
        return [part, { W, b: take(`${name}.bias`, [to]) }];
      }),
    ) as unknown as TowerBlock<FileTensor>;
  return {
    sizes: {
      vocabularySize,
      embedDim: d,
      featureDim: projection.shape[1]!,
      layers,
      hiddenDim,
      maxLength: positions.shape[0]!,
    },
    tower: {
      tokens,
      positions,
      blocks: Array.from({ length: layers }, (_, index) => block(index)),
      norm: norm('text_model.final_layer_norm'),
      projection,
    },
  };
}
