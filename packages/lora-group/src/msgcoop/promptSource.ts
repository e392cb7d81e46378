import type { Tensor, Tensor3D, Variable } from '@tensorflow/tfjs-core';

/** Classes to tell apart: by name, by tokens, or by features of theirs. One of them. */
export interface ClassSelection {
  /** Names; underscores count as spaces. Needs an encoder with `tokenize`. */
  readonly classNames?: readonly string[];
  /** Tokens of each class from the start to the end token, without the context: `[start, …name, '.', end]`. */
  readonly tokens?: readonly (readonly number[])[];
  /** In feature-space mode: text features, shape `[C, D]`. */
  readonly classFeatures?: Tensor;
}

/** Classes made ready; whoever made them frees them. */
export interface PreparedClasses {
  readonly size: number;
  dispose(): void;
}

/** Where text features come from, and what is learned there. */
export interface PromptSource {
  readonly featureDim: number;
  readonly numPrompts: number;
  /** All that is learned. */
  readonly parameter: Variable;
  /** Whether what is learned fits the classes it was learned for alone. */
  readonly classSpecific: boolean;
  prepare(caller: string, selection: ClassSelection): PreparedClasses;
  /** Not normalised, shape `[N, C, D]`; differentiable with respect to the parameter. */
  features(classes: PreparedClasses): Tensor3D;
}

const KINDS = ['classNames', 'tokens', 'classFeatures'] as const;

/** The kind of a selection. @throws TypeError unless it is one, and among those `allowed` */
export function kindOf(
  caller: string,
  selection: ClassSelection,
  allowed: readonly (keyof ClassSelection)[],
): keyof ClassSelection {
  const given = KINDS.filter((kind) => selection[kind] !== undefined);
  if (given.length !== 1 || !allowed.includes(given[0]!)) {
    throw new TypeError(
      `${caller}: classes must be given by one of ${allowed.join(', ')}, got ${given.join(', ') || 'none'}`,
    );
  }
  return given[0]!;
}
