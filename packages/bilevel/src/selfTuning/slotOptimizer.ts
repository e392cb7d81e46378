import {
  add,
  div,
  equal,
  minimum,
  mul,
  type NamedTensorMap,
  pow,
  type Scalar,
  scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  type Variable,
  variable,
  where,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { indicator } from './indicator.js';

/** An update rule: momentum as in PyTorch (`v ← m v + g`, `w ← w − lr v`), or Adam with bias correction. */
export type UpdateRule =
  | { readonly kind: 'momentum'; readonly momentum: number }
  | { readonly kind: 'adam' };

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/**
 * An optimizer that never reads from the device and never writes what is not finite: a gradient with a NaN leaves
 * weights and state as they were and is counted.
 */
export class SlotOptimizer {
  /** Everything that a checkpoint needs, in a fixed order: updates, skipped updates, then the slots. */
  readonly state: Variable[];
  private readonly updates: Variable;
  private readonly skipped: Variable;
  private readonly slots: Variable[][];

  constructor(
    private readonly rule: UpdateRule,
    readonly variables: readonly Variable[],
    private readonly clipNorm = Number.POSITIVE_INFINITY,
  ) {
    const make = (initial: Tensor) => {
      const result = variable(initial, false);
      initial.dispose();
      return result;
    };
    this.updates = make(scalar(0));
    this.skipped = make(scalar(0));
    const count = rule.kind === 'adam' ? 2 : 1;
    this.slots = variables.map((v) => Array.from({ length: count }, () => make(zeros(v.shape))));
    this.state = [this.updates, this.skipped, ...this.slots.flat()];
  }

  /** Updates that were not made because the gradient was not finite. */
  get skippedUpdates(): Tensor {
    return this.skipped;
  }

  /** One update; gradients that are absent count as 0. */
  apply(gradients: NamedTensorMap, learningRate: number): void {
    tidy(() => {
      const present = this.variables.flatMap((v) => gradients[v.name] ?? []);
      const squared = present.map((g) => sum(square(g))).reduce((a, b) => add(a, b), scalar(0));
      // 0 · x is 0 for finite x only.
      const finite = equal(mul(squared, 0), 0);
      const one = indicator(finite);
      const updates = add(this.updates, one);
      const factor = Number.isFinite(this.clipNorm)
        ? minimum(1, div(this.clipNorm, add(sqrt(squared), 1e-12)))
        : undefined;
      for (const [i, v] of this.variables.entries()) {
        const given = gradients[v.name] ?? zerosLike(v);
        const g = factor ? mul(given, factor) : given;
        const [next, slots] = this.updated(v, g, this.slots[i]!, learningRate, updates);
        v.assign(where(finite, next, v) as Tensor);
        for (const [j, slot] of slots.entries()) {
          const old = this.slots[i]![j]!;
          old.assign(where(finite, slot, old) as Tensor);
        }
      }
      this.updates.assign(updates as Scalar);
      this.skipped.assign(add(this.skipped, sub(1, one)) as Scalar);
    });
  }

  private updated(
    w: Tensor,
    g: Tensor,
    [first, second]: Tensor[],
    learningRate: number,
    updates: Tensor,
  ): [Tensor, Tensor[]] {
    if (this.rule.kind === 'momentum') {
      const velocity = add(mul(first!, this.rule.momentum), g);
      return [sub(w, mul(velocity, learningRate)), [velocity]];
    }
    const m = add(mul(first!, BETA1), mul(g, 1 - BETA1));
    const v = add(mul(second!, BETA2), mul(square(g), 1 - BETA2));
    const corrected = (slot: Tensor, beta: number) => div(slot, sub(1, pow(beta, updates)));
    const step = div(corrected(m, BETA1), add(sqrt(corrected(v, BETA2)), EPSILON));
    return [sub(w, mul(step, learningRate)), [m, v]];
  }

  dispose(): void {
    for (const v of this.state) if (!v.isDisposed) v.dispose();
  }
}
