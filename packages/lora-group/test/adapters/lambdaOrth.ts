/** λ-orthogonality: penalty, strict maps, the whole loss with gradients, and retrieval. */
import {
  backfillOrder,
  cayley,
  compatibilityLoss,
  lambdaOrth,
  matrixExp,
  procrustes,
  retrieval,
  skewSymmetric,
  softOrth,
} from '@orth/lora-group';
import type { Adapter } from '@orth/testing';
import {
  add,
  grad,
  grads,
  matMul,
  mean,
  mul,
  type Scalar,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

const thresholds = (params: Record<string, number>) => ({
  ...(params.lambda !== undefined && { lambda: params.lambda }),
  ...(params.lambdaRel !== undefined && { lambdaRel: params.lambdaRel }),
  ...(params.alpha !== undefined && { alpha: params.alpha }),
});

const regularizer: Adapter = ({ inputs, params }) => {
  const W = inputs.W!;
  const options = thresholds(params);
  return tidy(() => ({
    fro: softOrth(W),
    softOrth: softOrth(W),
    softOrthGrad: grad((x: Tensor) => softOrth(x))(W),
    loss: lambdaOrth(W, options),
    grad: grad((x: Tensor) => lambdaOrth(x, options))(W),
    hard: lambdaOrth(W, { ...options, form: 'hard' }),
    hardGrad: grad((x: Tensor) => lambdaOrth(x, { ...options, form: 'hard' }))(W),
  }));
};

const expm: Adapter = ({ inputs, wanted }) => {
  const { v, C } = inputs as Record<string, Tensor>;
  return tidy(() => {
    const gradient = (name: string, map: (P: Tensor) => Tensor) =>
      wanted.includes(name) && {
        [name]: grad((x: Tensor) => sum(mul(C!, map(skewSymmetric(x)))))(v!),
      };
    return {
      B: matrixExp(skewSymmetric(v!)),
      cayley: cayley(skewSymmetric(v!)),
      ...gradient('gradV', matrixExp),
      ...gradient('gradCayley', cayley),
    };
  });
};

const align: Adapter = ({ inputs }) => {
  const { hNew, hOld } = inputs as Record<string, Tensor>;
  return tidy(() => {
    const B = procrustes(hNew!, hOld!);
    return { B, mse: mean(sum(square(sub(matMul(hNew!, B), hOld!)), 1)) };
  });
};

const total: Adapter = async ({ inputs, params }) => {
  const { hOld, hNew, labels, W, b, FW, Fb } = inputs as Record<string, Tensor>;
  const classes = labels ? [...(await labels.data())] : null;
  const m = Math.min(hOld!.shape[1]!, hNew!.shape[1]!);
  const cut = (x: Tensor) => slice(x, [0, 0], [-1, m]);
  const options = {
    perFeature: false,
    ...(params.tau !== undefined && { tau: params.tau as number }),
    ...(params.w && { weights: params.w as [number, number, number] }),
  };
  const bias = (x: Tensor, by: Tensor | undefined) => (by ? add(x, by) : x);
  const losses = (w: Tensor, a?: Tensor, f?: Tensor, c?: Tensor) =>
    compatibilityLoss(
      {
        backward: bias(matMul(cut(hNew!), w), a),
        forward: f ? bias(matMul(hOld!, f), c) : null,
        old: cut(hOld!),
      },
      classes,
      options,
    );
  return tidy(() => {
    const parts = losses(W!, b, FW, Fb);
    const penalty = lambdaOrth(W!, thresholds(params));
    const given = [W, b, FW, Fb].map((x) => x !== undefined);
    const variables = [W, b, FW, Fb].filter((x) => x !== undefined);
    const gradients = grads((...list: Tensor[]) => {
      const [w, a, f, c] = given.map((is) => (is ? list.shift() : undefined));
      return add(losses(w!, a, f, c).total, lambdaOrth(w!, thresholds(params)));
    })(variables);
    const [gradW, gradB, gradFW, gradFb] = given.map((is) => (is ? gradients.shift() : undefined));
    return {
      LB: parts.backward,
      LF: parts.forward,
      LC: parts.contrastive,
      Llambda: penalty,
      loss: add(parts.total, penalty) as Scalar,
      gradW: gradW!,
      ...(gradB && { gradB }),
      ...(gradFW && { gradFW }),
      ...(gradFb && { gradFb }),
    };
  });
};

const metrics: Adapter = async ({ inputs, params }) => {
  const { query, gallery, labels, labelsQ, labelsG, queryLabels, galleryLabels } = inputs as Record<
    string,
    Tensor
  >;
  const asked = [...(await (labels ?? labelsQ ?? queryLabels)!.data())];
  const stored = [...(await (labels ?? labelsG ?? galleryLabels)!.data())];
  const { cmc, mAP } = await retrieval(query!, gallery!, asked, stored, {
    k: params.k ?? [1],
    excludeSelf: params.excludeSelf ?? true,
    metric: params.metric ?? 'cosine',
  });
  const order = params.backfillMetric ?? 'euclidean';
  return { cmc: [...cmc], mAP, backfillOrder: await backfillOrder(gallery!, stored, order) };
};

export const adapters: Record<string, Adapter> = {
  'lora-group/lambda-orth/regularizer': regularizer,
  'lora-group/lambda-orth/expm': expm,
  'lora-group/lambda-orth/procrustes': align,
  'lora-group/lambda-orth/total': total,
  'lora-group/lambda-orth/metrics': metrics,
};
