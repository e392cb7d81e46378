import { checkTensor } from '@orth/backend';
import {
  add,
  expandDims,
  type Tensor,
  type Tensor3D,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import {
  type ClassSelection,
  kindOf,
  type PreparedClasses,
  type PromptSource,
} from './promptSource.js';

interface FeatureClasses extends PreparedClasses {
  readonly classFeatures: Tensor;
}

/**
 * Feature-space mode, not in the paper: where a text encoder cannot be differentiated, what is learned is an offset
 * `delta [N, D]` of features that are given, `t_ic = classFeatures_c + delta_i`.
 */
export class FeaturePrompts implements PromptSource {
  readonly classSpecific = false;
  readonly featureDim: number;
  readonly numPrompts: number;

  constructor(
    /** `[N, D]`. */
    readonly parameter: Variable,
  ) {
    [this.numPrompts, this.featureDim] = parameter.shape as [number, number];
  }

  prepare(caller: string, selection: ClassSelection): FeatureClasses {
    kindOf(caller, selection, ['classFeatures']);
    const given = selection.classFeatures!;
    checkTensor(caller, 'classFeatures', given, { shape: [null, this.featureDim] });
    const classFeatures = given.clone();
    return {
      size: given.shape[0]!,
      classFeatures,
      dispose: () => classFeatures.dispose(),
    };
  }

  features(classes: PreparedClasses): Tensor3D {
    const { classFeatures } = classes as FeatureClasses;
    return tidy(() => add(expandDims(classFeatures, 0), expandDims(this.parameter, 1)) as Tensor3D);
  }
}
