/** Penalties with gradients, and maps to orthogonal matrices. */
import {
  bjorck,
  blockReflector,
  householder,
  type OrthoPenaltyKind,
  type OrthoPenaltyOptions,
  orthogonal,
  orthoPenalty,
  parsevalUpdate,
} from '@orth/lora-group';
import { polar } from '@orth/newton-schulz';
import type { Adapter } from '@orth/testing';
import { grad, type Tensor, tidy } from '@tensorflow/tfjs-core';

const KINDS: readonly OrthoPenaltyKind[] = [
  'soft',
  'softNorm',
  'double',
  'mutualCoherence',
  'srip',
  'offDiagonalCosine',
];

const penalties: Adapter = ({ inputs, params, wanted }) => {
  const { kernel, v0 } = inputs as Record<string, Tensor>;
  return tidy(() => {
    const found: Record<string, Tensor> = {};
    for (const kind of KINDS) {
      if (!wanted.includes(kind) && !wanted.includes(`grad_${kind}`)) continue;
      const options: OrthoPenaltyOptions = {
        kind,
        weight: params.weight ?? 1,
        ...(params.side && { side: params.side }),
        ...(params.reduction && { reduction: params.reduction }),
        ...(kind === 'srip' && v0 && { start: v0 }),
      };
      found[kind] = orthoPenalty(kernel!, options);
      found[`grad_${kind}`] = grad((x: Tensor) => orthoPenalty(x, options))(kernel!);
    }
    return found;
  });
};

const parametrizations: Adapter = ({ inputs, params }) => {
  const { A, h, V, W } = inputs as Record<string, Tensor>;
  return tidy(() => ({
    ...(A && {
      cayley: orthogonal(A, { map: 'cayley' }),
      expm: orthogonal(A, { map: 'matrixExp' }),
    }),
    ...(h && { householder: householder(h) }),
    ...(V && { blockReflector: blockReflector(V) }),
    ...(W && {
      parseval: parsevalUpdate(W, params.beta ?? 1e-3),
      bjorck: bjorck(W, { steps: params.bjorckSteps ?? 12 }),
      polar: polar(W),
    }),
  }));
};

export const adapters: Record<string, Adapter> = {
  'lora-group/ortho-regs/penalties': penalties,
  'lora-group/ortho-regs/parametrizations': parametrizations,
};
