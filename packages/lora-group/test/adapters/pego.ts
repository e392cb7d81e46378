/** Groups: forward and merge, and the two penalties over several weights with gradients. */
import { loraDelta, loraForward, pegoPenalty } from '@orth/lora-group';
import type { Adapter } from '@orth/testing';
import {
  add,
  mul,
  reshape,
  type Tensor,
  tidy,
  transpose,
  unstack,
  valueAndGrads,
} from '@tensorflow/tfjs-core';

/** A group `[n, in, r]`, `[n, r, out]` as one update of rank n r. */
function joined(A: Tensor, B: Tensor) {
  const [n, inSize, r] = A.shape as [number, number, number];
  return {
    A: reshape(transpose(A, [1, 0, 2]), [inSize, n * r]),
    B: reshape(B, [n * r, B.shape[2]!]),
  };
}

const forward: Adapter = ({ inputs, params }) => {
  const { x, W, A, B, bias } = inputs as Record<string, Tensor>;
  return tidy(() => {
    const factors = joined(A!, B!);
    const scaling = params.scaling ?? 1;
    const delta = loraDelta(factors.A, factors.B, scaling);
    return {
      delta,
      merged: add(W!, delta),
      ...(x && { y: loraForward(x, W!, factors, { scaling, ...(bias && { bias }) }) }),
    };
  });
};

const loss: Adapter = ({ inputs, params }) => {
  const { W, A, B } = inputs as Record<string, Tensor>;
  const lambda = params.lambda ?? 1e-3;
  return tidy(() => {
    const weights = W!.rank === 2 ? [W!] : unstack(W!);
    const perWeight = (x: Tensor) => (x.rank === 3 ? [x] : unstack(x));
    const penalties = (a: Tensor, b: Tensor) => {
      const [as, bs] = [perWeight(a), perWeight(b)];
      const norm = params.norm ?? 'l1';
      return weights.map((w, t) => pegoPenalty(w, as[t]!, bs[t]!, { norm }));
    };
    const total = (list: readonly Tensor[]) => list.reduce((x, y) => add(x, y));
    const parts = penalties(A!, B!);
    const preserve = total(parts.map((part) => part.preserve));
    const diversify = total(parts.map((part) => part.diversify));
    const { value, grads } = valueAndGrads((a: Tensor, b: Tensor) => {
      const all = penalties(a, b);
      return mul(total(all.flatMap((part) => [part.preserve, part.diversify])), lambda);
    })([A!, B!]);
    return { preserve, diversify, loss: value, gradA: grads[0]!, gradB: grads[1]! };
  });
};

export const adapters: Record<string, Adapter> = {
  'lora-group/pego/forward': forward,
  'lora-group/pego/loss': loss,
};
