import { checkBoolean, checkNumber, checkOptions } from '@orth/backend';
import {
  add,
  div,
  eye,
  greater,
  mean,
  mul,
  neg,
  pad,
  range,
  type Scalar,
  slice,
  sub,
  type Tensor,
  type Tensor2D,
  tidy,
  transpose,
  where,
} from '@tensorflow/tfjs-core';
import { labelLogLikelihood } from './logLikelihood.js';
import { checkNotNaN, shouldCheckValues } from './lossArguments.js';
import {
  batchScores,
  checkRetrieval,
  RETRIEVAL_OPTIONS,
  type RetrievalOptions,
} from './retrievalScores.js';

/** Options of {@link infoNceLoss}. */
export interface InfoNceOptions extends RetrievalOptions {
  /** τ > 0: scores are divided by it. Default 0.01 */
  readonly temperature?: number;
  /** Averages with the loss of documents against the batch's queries, as CLIP does. Default false */
  readonly symmetric?: boolean;
  /** Whether NaN is looked for, which reads from the device. Default: where that is free */
  readonly checkValues?: boolean;
}

/**
 * InfoNCE (contrastive) loss of a batch of B queries with one document each: cross-entropy of each query's scores over all
 * documents of the batch, hard negatives included. What {@link mwLoss} is compared with.
 *
 * @param queries - `[B, d]`, float32
 * @param positives - `[B, d]`, float32, each query's document
 * @returns scalar, in nats; differentiable in all embeddings
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape, temperature <= 0, or a batch
 *   without negatives
 * @see van den Oord, Li and Vinyals 2018, arXiv 1807.03748
 */
export function infoNceLoss(
  queries: Tensor2D,
  positives: Tensor2D,
  options: InfoNceOptions = {},
): Scalar {
  const caller = 'infoNceLoss';
  const own = ['temperature', 'symmetric', 'checkValues'];
  checkOptions(caller, options, [...own, ...RETRIEVAL_OPTIONS]);
  checkRetrieval(caller, queries, positives, options);
  const { temperature = 0.01, symmetric = false } = options;
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  checkBoolean(caller, 'symmetric', symmetric);
  const checkValues = shouldCheckValues(caller, options.checkValues);
  const B = queries.shape[0];
  return tidy(() => {
    const { all, isNegative } = batchScores(queries, positives, options);
    if (checkValues) checkNotNaN(caller, 'scores', all);
    const logits = withoutExcluded(div(all, temperature), isNegative);
    const labels = range(0, B, 1, 'int32');
    const loss = neg(mean(labelLogLikelihood(logits, labels)));
    if (!symmetric) return loss as Scalar;
    const square = transpose(slice(logits, [0, 0], [B, B]));
    return mul(sub(loss, mean(labelLogLikelihood(square, labels))), 0.5) as Scalar;
  });
}

/** −Infinity for documents that are neither a query's own nor a negative of it. */
function withoutExcluded(logits: Tensor, isNegative: Tensor | undefined): Tensor {
  if (!isNegative) return logits;
  const [B, N] = logits.shape as [number, number];
  const own = pad(eye(B), [
    [0, 0],
    [0, N - B],
  ]);
  return where(greater(add(isNegative, own), 0), logits, -Infinity);
}
