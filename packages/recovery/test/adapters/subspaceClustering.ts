import {
  adjustedRandIndex,
  affinity,
  ConvAutoencoder,
  clusteringAccuracy,
  distancePreservingLoss,
  keepLargest,
  lrr,
  lsr,
  normalizedMutualInfo,
  pairwiseF,
  selfExpressionLoss,
  spectralClustering,
  spectralEmbedding,
  ssc,
  structuredNorm,
} from '@orth/recovery';
import type { Adapter, AdapterContext } from '@orth/testing';
import {
  grads,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  transpose,
} from '@tensorflow/tfjs-core';

type Values = Record<string, Tensor | ArrayLike<number> | number>;

/** Tensors named `stem0`, `stem1`, … in order. */
const numbered = (inputs: AdapterContext['inputs'], stem: string): Tensor[] =>
  Object.keys(inputs)
    .filter((name) => new RegExp(`^${stem}\\d+$`).test(name))
    .sort((a, b) => Number(a.slice(stem.length)) - Number(b.slice(stem.length)))
    .map((name) => inputs[name]!);

/** NCHW weights and images of the author's network through ours, which is NHWC. */
function convAutoencoder({ inputs, params }: AdapterContext): Values {
  const { channels, kernels } = params;
  const made: Tensor[] = [];
  const hold = <T extends Tensor>(x: T): T => {
    made.push(x);
    return x;
  };
  const net = new ConvAutoencoder({ channels, kernels });
  const weights = ['enc', 'dec'].flatMap((part) => {
    const biases = numbered(inputs, `${part}Bias`);
    return numbered(inputs, part).flatMap((kernel, l) => [
      hold(transpose(kernel, [2, 3, 1, 0])),
      biases[l]!,
    ]);
  });
  net.setWeights(weights);
  const x = hold(transpose(inputs.x!, [0, 2, 3, 1])) as Tensor4D;
  const layers = net.encode(x).map(hold);
  const reconstruction = hold(net.decode(layers.at(-1)!));
  const channelsFirst = (images: Tensor) => transpose(images, [0, 3, 1, 2]);
  const out: Values = { reconstruction: channelsFirst(reconstruction) };
  layers.forEach((layer, l) => {
    out[`encoder${l}`] = channelsFirst(layer);
  });
  for (const tensor of made) tensor.dispose();
  net.dispose();
  return out;
}

/** Labels are up to a permutation: ours, with the names that the fixture gave to most of each cluster. */
function renamed(got: Int32Array, want: readonly number[]): number[] {
  const votes = new Map<number, Map<number, number>>();
  got.forEach((label, i) => {
    const of = votes.get(label) ?? new Map<number, number>();
    of.set(want[i]!, (of.get(want[i]!) ?? 0) + 1);
    votes.set(label, of);
  });
  const taken = new Set<number>();
  const names = new Map<number, number>();
  for (const [label, of] of votes) {
    const [name] = [...of].sort((a, b) => b[1] - a[1]).find(([known]) => !taken.has(known)) ?? [-1];
    taken.add(name);
    names.set(label, name);
  }
  return Array.from(got, (label) => names.get(label)!);
}

/** The α of `lambda_i = max_j|<x_j,x_i>|/α`, which older fixtures state in words only. */
function alphaOf({ fixture, params }: AdapterContext): number {
  const given = params.alpha ?? params.sscAlpha;
  if (given !== undefined) return given;
  const stated = /max_j\s*\|[^|]*\|\s*\/\s*([\d.]+)/.exec(fixture.how);
  return stated ? Number(stated[1]) : 20;
}

const general: Adapter = async (context) => {
  const { fixture, inputs, params, wanted } = context;
  if (inputs.enc0) return convAutoencoder(context);
  const out: Values = {};
  const wants = (...names: string[]) => names.some((name) => wanted.includes(name));
  const X = inputs.X as Tensor2D;
  const { lambda, keep, tau, clusters } = params;
  if (wants('lsr')) out.lsr = (await lsr(X, { lambda })).data;
  if (wants('lsrZeroDiag')) {
    out.lsrZeroDiag = (await lsr(X, { lambda, zeroDiagonal: true })).data;
  }
  if (wants('ssc', 'sscLambda')) {
    const found = await ssc(X, { alpha: alphaOf(context), tolerance: 1e-9 });
    out.ssc = found.C.data;
    out.sscLambda = found.lambda;
  }
  if (wants('lrr')) out.lrr = (await lrr(X, { tau })).data;
  const C = inputs.affinityInput;
  if (!C) return out;
  if (wants('keepLargestPerRow')) {
    out.keepLargestPerRow = (await keepLargest(C, { keep, of: 'row' })).data;
  }
  const W = await affinity(C, { keep });
  out.affinity = W.data;
  const eigenvalues = fixture.outputs.topEigenvalues;
  if (eigenvalues) {
    out.topEigenvalues = (await spectralEmbedding(W, eigenvalues.shape[0]!)).values;
  }
  const predicted = fixture.outputs.predicted;
  if (predicted) out.predicted = renamed(await spectralClustering(W, clusters), predicted.data);
  return out;
};

const lossFunctions: Adapter = ({ inputs, wanted }) => {
  const features = numbered(inputs, 'features');
  const C = inputs.C as Tensor2D;
  const labels = inputs.labels as Tensor1D;
  const out: Values = {
    selfExpression: selfExpressionLoss(C, features),
    structured: structuredNorm(C, labels),
    distance: distancePreservingLoss(features),
  };
  const expressed = grads((c: Tensor, ...layers: Tensor[]) =>
    selfExpressionLoss(c as Tensor2D, layers),
  )([C, ...features]);
  expressed.forEach((g, i) => {
    out[i === 0 ? 'gradC' : `gradFeatures${i - 1}`] = g;
  });
  const preserved = grads((...layers: Tensor[]) => distancePreservingLoss(layers))(features);
  preserved.forEach((g, l) => {
    out[`gradDistanceFeatures${l}`] = g;
  });
  if (wanted.includes('gradStructuredC')) {
    const [g] = grads((c: Tensor) => structuredNorm(c as Tensor2D, labels))([C]);
    out.gradStructuredC = g!;
  }
  return out;
};

const METRICS = {
  Acc: clusteringAccuracy,
  Nmi: normalizedMutualInfo,
  F: pairwiseF,
  Ari: adjustedRandIndex,
};

const metrics: Adapter = async ({ inputs, wanted }) => {
  const labels = await inputs.labels!.data();
  const out: Values = {};
  for (const name of wanted) {
    const [, stem, metric] = /^(.+?)(Acc|Nmi|F|Ari)$/.exec(name)!;
    const predicted = await inputs[`${stem}Pred`]!.data();
    out[name] = METRICS[metric as keyof typeof METRICS](labels, predicted);
  }
  return out;
};

export const adapters: Record<string, Adapter> = {
  'recovery/subspace-clustering': general,
  'recovery/subspace-clustering/losses': lossFunctions,
  'recovery/subspace-clustering/metrics': metrics,
};
