import {
  areaOverCurve,
  infoNceLoss,
  mrrAtK,
  mwLoss,
  ndcgAtK,
  type RetrievalOptions,
  rocAuc,
} from '@orth/losses';
import type { Adapter } from '@orth/testing';
import {
  div,
  grads,
  matMul,
  maximum,
  norm,
  reshape,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';

/** Scores as the paper has them, plainly; `[B, B]` and `[B, B H]`. */
function scoresOf(queries: Tensor2D, documents: Tensor, similarity: string): Tensor {
  const unit = (x: Tensor) =>
    similarity === 'cosine' ? div(x, maximum(norm(x, 2, -1, true), 1e-30)) : x;
  const flat = reshape(documents, [-1, queries.shape[1]!]);
  return matMul(unit(queries), unit(flat), false, true);
}

const losses: Adapter = async ({ inputs, params, wanted }) => {
  const queries = inputs.queries as Tensor2D;
  const positives = inputs.positives as Tensor2D;
  const hard = inputs.hardNegatives as Tensor3D | undefined;
  const { temperature = 0.01, similarity = 'cosine' } = params;
  const present = hard && hard.shape[1]! > 0;
  const names = ['queries', 'positives', ...(present ? ['hardNegatives'] : [])];
  const all = names.map((name) => inputs[name]!);
  const options = (h: Tensor | undefined): RetrievalOptions & { temperature: number } => ({
    temperature,
    similarity,
    ...(h && { hardNegatives: h as Tensor3D }),
  });
  const f = {
    mwLossMean: (q: Tensor, p: Tensor, h?: Tensor) =>
      mwLoss(q as Tensor2D, p as Tensor2D, { ...options(h), reduction: 'mean' }),
    mwLossSum: (q: Tensor, p: Tensor, h?: Tensor) =>
      mwLoss(q as Tensor2D, p as Tensor2D, { ...options(h), reduction: 'sumOverNegatives' }),
    contrastive: (q: Tensor, p: Tensor, h?: Tensor) =>
      infoNceLoss(q as Tensor2D, p as Tensor2D, options(h)),
  };
  const gradients = (loss: keyof typeof f) =>
    grads((...xs: Tensor[]) => f[loss](xs[0]!, xs[1]!, xs[2]))(all);
  const outputs: Record<string, Tensor | number> = {};
  for (const [kind, loss] of [
    ['Mean', 'mwLossMean'],
    ['Sum', 'mwLossSum'],
    ['CL', 'contrastive'],
  ] as const) {
    if (!wanted.some((name) => name.startsWith(`grad${kind}_`))) continue;
    for (const [i, gradient] of gradients(loss).entries()) {
      const name = `grad${kind}_${names[i]}`;
      if (wanted.includes(name)) outputs[name] = gradient;
      else gradient.dispose();
    }
  }
  for (const loss of Object.keys(f) as (keyof typeof f)[]) {
    if (wanted.includes(loss)) outputs[loss] = f[loss](all[0]!, all[1]!, all[2]);
  }
  const inBatch = tidy(() => scoresOf(queries, positives, similarity));
  const others = present ? tidy(() => scoresOf(queries, hard, similarity)) : undefined;
  const S = await inBatch.data();
  const B = queries.shape[0];
  const diagonal = Array.from({ length: B }, (_, i) => S[i * B + i]!);
  const negatives = [
    ...Array.from(S).filter((_, at) => at % (B + 1) !== 0),
    ...(others ? await others.data() : []),
  ];
  outputs.auc = await rocAuc(diagonal, negatives);
  outputs.aoc = await areaOverCurve(diagonal, negatives);
  outputs.posScores = tensor1d(diagonal);
  outputs.negScoresInBatch = inBatch;
  if (others) outputs.negScoresHard = others;
  return outputs;
};

const metrics: Adapter = async ({ inputs, params, wanted }) => {
  const { pos, neg, scores, relevance } = inputs as Record<string, Tensor>;
  const { k = 10, gain = 'linear' } = params;
  const outputs: Record<string, ArrayLike<number> | number> = {};
  if (wanted.includes('auc')) outputs.auc = await rocAuc(pos!, neg!);
  if (wanted.includes('aoc')) outputs.aoc = await areaOverCurve(pos!, neg!);
  if (wanted.includes('mrr')) outputs.mrr = await mrrAtK(scores!, relevance!, k);
  if (wanted.includes('ndcg')) outputs.ndcg = await ndcgAtK(scores!, relevance!, k, { gain });
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'losses/mw': losses,
  'losses/mw/metrics': metrics,
};
