import { type Scalar, serialization, type Tensor } from '@tensorflow/tfjs-core';
import { checkPenaltyOptions, type OrthoPenaltyOptions, orthoPenalty } from './penalties.js';

/** Options of {@link orthoRegularizer}: those of {@link orthoPenalty} that JSON can hold. */
export type OrthoRegularizerOptions = Omit<OrthoPenaltyOptions, 'start' | 'weight' | 'step'> & {
  /** Factor, >= 0. Default 1e-2 */
  readonly weight?: number;
};

/**
 * What tf.layers takes as a regularizer of a class of its own: an object that has the class's name and configuration, of
 * which it makes another one.
 */
export abstract class LayerRegularizer extends serialization.Serializable {
  /** Registered name. */
  abstract readonly className: string;
  /** What {@link LayerRegularizer.getConfig} gives; tf.layers reads it. */
  abstract readonly config: serialization.ConfigDict;
  /** The penalty on a weight. */
  abstract apply(x: Tensor): Scalar;

  /** As tfjs saves it. */
  getConfig(): serialization.ConfigDict {
    return { ...this.config };
  }

  /** From what {@link LayerRegularizer.getConfig} gave. */
  static override fromConfig<T extends serialization.Serializable>(
    cls: serialization.SerializableConstructor<T>,
    config: serialization.ConfigDict,
  ): T {
    const { customObjects: _, ...options } = config;
    return new cls(options);
  }
}

/** {@link orthoPenalty} as tf.layers wants it; make it by {@link orthoRegularizer}. */
export class OrthoRegularizer extends LayerRegularizer {
  static readonly className = 'OrthRegularizer';
  readonly className = OrthoRegularizer.className;
  readonly config: serialization.ConfigDict;
  private step = 0;

  /** Use {@link orthoRegularizer}. */
  constructor(private readonly options: OrthoRegularizerOptions = {}) {
    super();
    checkPenaltyOptions('orthoRegularizer', options);
    this.config = { ...options } as serialization.ConfigDict;
  }

  /** The penalty on a kernel; each use counts as a step, so that `'srip'` starts from another vector. */
  apply(x: Tensor): Scalar {
    return orthoPenalty(x, { ...this.options, step: this.step++ });
  }
}

/**
 * An orthogonality penalty as `kernelRegularizer` of a layer: saved and loaded with the model. A program that loads such a
 * model calls this once before, which registers the class.
 *
 * @throws TypeError or RangeError for a wrong option
 * @example
 * tf.layers.dense({ units: 64, kernelRegularizer: orthoRegularizer({ kind: 'soft', weight: 1e-3 }) });
 */
export function orthoRegularizer(options: OrthoRegularizerOptions = {}): OrthoRegularizer {
  const regularizer = new OrthoRegularizer(options);
  serialization.registerClass(OrthoRegularizer);
  return regularizer;
}
