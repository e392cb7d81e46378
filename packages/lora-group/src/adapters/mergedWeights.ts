import { NonFiniteError } from '@orth/backend';
import {
  all,
  cast,
  isFinite as isFiniteTensor,
  reshape,
  stack,
  type Tensor,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import { hold } from './extraWeights.js';
import { listNames } from './matchTargets.js';
import type { Target } from './target.js';

/** The pretrained weights while adapters are merged into the model: kept, so that unmerging brings every bit back. */
export class MergedWeights {
  private originals: Map<string, Tensor> | undefined;

  /** Whether adapters are merged. */
  get merged(): boolean {
    return this.originals !== undefined;
  }

  /** Writes merged weights, by path, into the model, and frees them. */
  commit(targets: readonly Target[], merged: ReadonlyMap<string, Tensor>): void {
    const originals = new Map<string, Tensor>();
    for (const { path, variable } of targets) {
      const W = merged.get(path);
      if (!W) continue;
      originals.set(path, hold(variable));
      variable.assign(W);
      W.dispose();
    }
    this.originals = originals;
  }

  /** Brings the pretrained weights back. */
  restore(targets: readonly Target[]): void {
    for (const { path, variable } of targets) {
      const original = this.originals?.get(path);
      if (!original) continue;
      variable.assign(original);
      original.dispose();
    }
    this.originals = undefined;
  }

  /** Leaves the merged weights in the model for good. */
  forget(): void {
    for (const original of this.originals?.values() ?? []) original.dispose();
    this.originals = undefined;
  }

  /** A weight as pretrained, merged or not. */
  original(path: string, variable: Variable): Tensor {
    return this.originals?.get(path) ?? variable;
  }

  /** Its matrix view. */
  originalMatrix(target: Target): Tensor {
    const W = this.original(target.path, target.variable);
    return W.rank === 2 ? W : reshape(W, [target.inSize, target.outSize]);
  }

  /** Runs `work` with the target's variable as pretrained. */
  onOriginal<T>(target: Target, work: () => T): T {
    const original = this.originals?.get(target.path);
    if (!original) return work();
    const merged = hold(target.variable);
    target.variable.assign(original);
    try {
      return work();
    } finally {
      target.variable.assign(merged);
      merged.dispose();
    }
  }
}

/**
 * Demands that weights to be merged are finite; else they are freed.
 * @throws (rejects with) NonFiniteError naming those that are not
 */
export async function checkFiniteWeights(
  caller: string,
  merged: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const weights = [...merged.values()];
  const finite = tidy(() => stack(weights.map((W) => cast(all(isFiniteTensor(W)), 'int32'))));
  const flags = await finite.data();
  finite.dispose();
  const bad = [...merged.keys()].filter((_, i) => flags[i] === 0);
  if (bad.length === 0) return;
  for (const W of weights) W.dispose();
  throw new NonFiniteError(
    `${caller}: merged weights must be finite, got NaN or an infinity in ${listNames(bad)}; nothing was changed`,
  );
}
