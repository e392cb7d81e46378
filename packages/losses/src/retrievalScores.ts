/** Scores of a batch of queries, and which of them are negatives: what retrieval losses share. */
import { checkOneOf, checkTensor } from '@orth/backend';
import {
  abs,
  cast,
  concat,
  customGrad,
  div,
  equal,
  expandDims,
  eye,
  type GradSaveFunc,
  greater,
  logicalOr,
  matMul,
  max,
  mul,
  onesLike,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  where,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Options of losses on a batch of queries with one document each. */
export interface RetrievalOptions {
  /** H further negatives for each query, `[B, H, d]`; they count for all queries. Default: none */
  readonly hardNegatives?: Tensor3D;
  /** Cosine of the angle, or the product as it is. Default `'cosine'` */
  readonly similarity?: 'cosine' | 'dot';
  /** Same id, same document: int32 `[B]`; another query's document with a query's own id is no negative of it. */
  readonly documentIds?: Tensor;
  /**
   * True (or not 0) where a document is no negative for a query: bool, int32 or float32, `[B, B]` for the positives of the
   * batch, or `[B, B + B H]`, the hard negatives in order.
   */
  readonly falseNegatives?: Tensor;
}

/** Names of {@link RetrievalOptions}. */
export const RETRIEVAL_OPTIONS: readonly (keyof RetrievalOptions)[] = [
  'hardNegatives',
  'similarity',
  'documentIds',
  'falseNegatives',
];

/**
 * Checks embeddings and options.
 * @throws TypeError or RangeError that names the argument
 */
export function checkRetrieval(
  caller: string,
  queries: Tensor2D,
  positives: Tensor2D,
  options: RetrievalOptions,
): void {
  checkTensor(caller, 'queries', queries, { rank: 2 });
  const [B, d] = queries.shape;
  checkTensor(caller, 'positives', positives, { shape: [B, d] });
  const { hardNegatives, similarity = 'cosine', documentIds, falseNegatives } = options;
  checkOneOf(caller, 'similarity', similarity, ['cosine', 'dot']);
  if (hardNegatives !== undefined) {
    checkTensor(caller, 'hardNegatives', hardNegatives, { shape: [B, null, d] });
  } else if (B < 2) {
    throw new RangeError(
      `${caller}: queries must be 2 or more where there are no hard negatives, got shape [${queries.shape}]`,
    );
  }
  if (documentIds !== undefined) {
    checkTensor(caller, 'documentIds', documentIds, { shape: [B], dtype: ['int32'] });
  }
  if (falseNegatives !== undefined) {
    const all = B + B * (hardNegatives?.shape[1] ?? 0);
    const width = falseNegatives.shape[1] === all ? all : B;
    const dtype = ['bool', 'int32', 'float32'];
    checkTensor(caller, 'falseNegatives', falseNegatives, { shape: [B, width], dtype });
  }
}

/** Scores `[B]` of the positives and `[B, B (1 + H)]` of all documents, and where these are negatives. */
export interface BatchScores {
  readonly positives: Tensor;
  readonly all: Tensor;
  /**
   * 1 where a score is that of a negative, float32, shape of `all`; undefined where that is everywhere but on the diagonal,
   * which holds the positives.
   */
  readonly isNegative: Tensor | undefined;
}

/** Scores of a checked batch; to be called within `tidy`. Differentiable. */
export function batchScores(
  queries: Tensor2D,
  positives: Tensor2D,
  options: RetrievalOptions,
): BatchScores {
  const { hardNegatives, similarity = 'cosine', documentIds, falseNegatives } = options;
  const [B, d] = queries.shape;
  const ready = (x: Tensor2D): Tensor2D =>
    similarity === 'cosine' ? (normalizeRows(x) as Tensor2D) : x;
  const [q, p] = [ready(queries), ready(positives)];
  const others = hardNegatives && ready(reshape(hardNegatives, [-1, d]));
  const parts = [p, ...(others ? [others] : [])];
  const all = concat(
    parts.map((documents) => matMul(q, documents, false, true)),
    1,
  );
  const N = all.shape[1]!;
  const scores = { positives: sum(mul(q, p), 1), all };
  if (!documentIds && !falseNegatives) return { ...scores, isNegative: undefined };
  // The own document, and what is known to be no negative.
  let excluded: Tensor = cast(eye(B), 'bool');
  if (documentIds) {
    excluded = logicalOr(excluded, equal(expandDims(documentIds, 0), expandDims(documentIds, 1)));
  }
  excluded = wide(excluded, N);
  if (falseNegatives) {
    excluded = logicalOr(excluded, wide(cast(falseNegatives, 'bool'), N));
  }
  return { ...scores, isNegative: sub(1, cast(excluded, 'float32')) };
}

/** With columns of false appended up to a width. */
function wide(mask: Tensor, width: number): Tensor {
  const [rows, columns] = mask.shape as [number, number];
  return columns === width ? mask : concat([mask, zeros([rows, width - columns], 'bool')], 1);
}

/** Rows by their length; rows of zeros stay zeros, and rows of any finite size are scaled without overflow. */
function normalizeRows(x: Tensor2D): Tensor {
  const op = customGrad((v, save) => {
    const largest = max(abs(v as Tensor), 1, true);
    const scale = where(greater(largest, zerosLike(largest)), largest, onesLike(largest));
    const scaled = div(v as Tensor, scale);
    const length = sqrt(sum(square(scaled), 1, true));
    const safe = where(greater(length, zerosLike(length)), length, onesLike(length));
    const unit = div(scaled, safe);
    (save as GradSaveFunc)([unit, mul(safe, scale)]);
    return {
      value: unit,
      gradFunc: (dy: Tensor, [u, norm]: Tensor[]) =>
        div(sub(dy, mul(u!, sum(mul(u!, dy), 1, true))), norm!),
    };
  });
  return op(x);
}
