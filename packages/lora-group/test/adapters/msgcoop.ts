/** MSGCoOp: prompts, losses with gradients, and training with a toy encoder. */
import {
  assemblePrompts,
  diversityLoss,
  MeanPoolEncoder,
  MSGCoOp,
  promptLogits,
  promptLosses,
} from '@orth/lora-group';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  concat,
  grad,
  reshape,
  stack,
  type Tensor,
  type Tensor2D,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';

const lossOptions = ({ params, inputs }: AdapterContext) => {
  const { semanticWeight, diversityWeight, logitScale } = params;
  return {
    ...(semanticWeight !== undefined && { semanticWeight }),
    ...(diversityWeight !== undefined && { diversityWeight }),
    ...(logitScale !== undefined && { logitScale }),
    ...(inputs.target ? { target: inputs.target as Tensor2D } : { semanticWeight: 0 }),
  };
};

const loss: Adapter = (context) => {
  const { textFeatures, imageFeatures, labels } = context.inputs as Record<string, Tensor>;
  const options = lossOptions(context);
  return tidy(() => {
    const losses = (t: Tensor) =>
      promptLosses({ textFeatures: t, imageFeatures: imageFeatures! }, labels!, options);
    const { ce, semantic, diversity, total } = losses(textFeatures!);
    return {
      logits: promptLogits(textFeatures!, imageFeatures!, options.logitScale),
      crossEntropy: ce,
      semantic,
      diversity,
      loss: total,
      gradText: grad((t) => losses(t).total)(textFeatures!),
      gradDiversity: grad((t) => diversityLoss(t))(textFeatures!),
    };
  });
};

const prompts: Adapter = ({ inputs }) => {
  const { ctx, prefix, suffix } = inputs as Record<string, Tensor>;
  return { prompts: assemblePrompts(ctx!, prefix!, suffix!) };
};

/** Prefix and suffix of each class become rows of their own in a table of token embeddings. */
const training: Adapter = async (context) => {
  const { ctx0, prefix, suffix, E, imageFeatures, labels } = context.inputs as Record<
    string,
    Tensor
  >;
  const { params } = context;
  const [classes, length, d] = suffix!.shape as [number, number, number];
  const start = prefix!.shape[1]!;
  const width = start + length;
  const table = tidy(() => {
    const rows = concat([prefix!, suffix!], 1);
    return reshape(rows, [classes * width, d]) as Tensor2D;
  });
  const encoder = new MeanPoolEncoder({
    weights: { tokens: table, projection: E as Tensor2D },
    maxLength: width + ctx0!.shape[ctx0!.rank - 2]!,
  });
  const classSpecific = ctx0!.rank === 4;
  const tokens = Array.from({ length: classes }, (_, c) =>
    Array.from({ length: width }, (_, i) => c * width + i),
  );
  const model = new MSGCoOp({
    encoder,
    tokens,
    ctxInit: ctx0!,
    classSpecific,
    ...lossOptions(context),
  });
  const steps = params.steps ?? 5;
  const losses: number[] = [];
  const trail: Tensor[] = [];
  await model.fit(imageFeatures as Tensor2D, labels!, {
    epochs: steps,
    batchSize: imageFeatures!.shape[0]!,
    learningRate: params.lr ?? 0.002,
    momentum: params.momentum ?? 0.9,
    weightDecay: params.weightDecay ?? 5e-4,
    onEpoch: ({ loss: value }) => {
      losses.push(value);
      trail.push(model.contexts.clone());
    },
  });
  const ctx = trail.length > 0 ? stack(trail) : zeros([0, ...ctx0!.shape]);
  for (const x of [...trail, table]) x.dispose();
  model.dispose();
  encoder.dispose();
  return { losses, ctx };
};

export const adapters: Record<string, Adapter> = {
  'lora-group/msgcoop/loss': loss,
  'lora-group/msgcoop/prompts': prompts,
  'lora-group/msgcoop/train': training,
};
