/** One proximal-gradient step with its own gradient: what ISTA, IHT and their unfolded forms repeat. */
import {
  add,
  customGrad,
  div,
  mul,
  neg,
  relu,
  reshape,
  sign,
  sqrt,
  step,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import type { BoundOperator } from './linearOperator.js';
import { type Field, radius } from './packedComplex.js';
import { hardPacked, maskAbove, softPacked } from './thresholds.js';

/** Which penalty: `'ista'` for `λ‖x‖₁` (soft threshold), `'iht'` for `λ‖x‖₀` (hard threshold). */
export type ShrinkageKind = 'ista' | 'iht';

/** What a step minimises. */
export interface ShrinkageRule {
  readonly kind: ShrinkageKind;
  readonly lambda: number;
}

/** Threshold of a step of size `a`: `λ a`, or `√(2 λ a)`; 0 for a negative one, never NaN. */
export function thresholdOf({ kind, lambda }: ShrinkageRule, a: Tensor): Tensor {
  return kind === 'ista' ? mul(relu(a), lambda) : sqrt(mul(relu(a), 2 * lambda));
}

/** The proximal operator of the penalty on packed numbers. */
export function shrink(rule: ShrinkageRule, z: Tensor, s: Tensor, field: Field): Tensor {
  return rule.kind === 'ista' ? softPacked(z, s, field) : hardPacked(z, s, field);
}

/**
 * `x⁺ = prox(x + a Aᴴ(y − A x))` of packed batches, differentiable in `x`, `y` and `a`.
 *
 * The gradient is written out: two products with A, none kept on the tape, whatever the user's functions are made of.
 * The hard threshold's mask and threshold count as constants, as their derivative is 0 almost everywhere.
 *
 * @param x - packed; undefined for 0, which saves a product
 * @param a - scalar
 */
export function shrinkageStep(
  op: BoundOperator,
  rule: ShrinkageRule,
  x: Tensor | undefined,
  y: Tensor,
  a: Tensor,
): Tensor {
  const field = op.inputField;
  const run = customGrad((...args) => {
    const save = args.pop() as unknown as (tensors: Tensor[]) => void;
    const [y, a] = args.slice(-2) as [Tensor, Tensor];
    const x = args.length === 3 ? (args[0] as Tensor) : undefined;
    const residual = x ? sub(y, op.apply(x)) : y;
    const descent = op.adjoint(residual);
    const z = x ? add(x, mul(descent, a)) : mul(descent, a);
    const s = thresholdOf(rule, a);
    save([z, descent, s, a]);
    const gradFunc = (dy: Tensor, saved: Tensor[]) => {
      const [z, descent, s, a] = saved as [Tensor, Tensor, Tensor, Tensor];
      return tidy(() => {
        const { dz, ds } = shrinkGradient(rule, z, s, dy, field);
        let da = sum(mul(dz, descent));
        if (ds) da = add(da, mul(ds, mul(step(a), rule.lambda)));
        const forward = op.apply(dz);
        const gradients = [mul(forward, a), reshape(da, a.shape)];
        return x ? [sub(dz, mul(op.adjoint(forward), a)), ...gradients] : gradients;
      });
    };
    return { value: shrink(rule, z, s, field), gradFunc };
  });
  return x ? run(x, y, a) : run(y, a);
}

function shrinkGradient(
  { kind }: ShrinkageRule,
  z: Tensor,
  s: Tensor,
  dy: Tensor,
  field: Field,
): { dz: Tensor; ds?: Tensor } {
  const mask = maskAbove(z, s, field);
  const kept = mul(mask, dy);
  if (kind === 'iht') return { dz: kept };
  if (field === 'real') return { dz: kept, ds: neg(sum(mul(kept, sign(z)))) };
  const r = radius(z);
  const along = div(sum(mul(z, kept), 0, true), r);
  return { dz: sub(kept, mul(div(s, r), sub(kept, mul(div(along, r), z)))), ds: neg(sum(along)) };
}
