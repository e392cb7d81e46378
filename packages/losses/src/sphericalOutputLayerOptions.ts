import { checkBoolean, checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { Tensor } from '@tensorflow/tfjs-core';
import { FactoredWeights } from './factoredWeights.js';
import {
  type SphericalLoss,
  type SphericalLossName,
  type SphericalLossOptions,
  sphericalLoss,
} from './sphericalLoss.js';

/** Options of `SphericalOutputLayer`. */
export interface SphericalOutputLayerOptions {
  /** D, integer >= 1 */
  readonly classes: number;
  /** Length d of a hidden vector, integer >= 1 */
  readonly inputSize: number;
  /** A name that {@link sphericalLoss} knows, or a loss of your own. Default `'zLoss'` */
  readonly loss?: SphericalLossName | SphericalLoss;
  /** Parameters of a loss given by name. */
  readonly lossOptions?: SphericalLossOptions;
  /** Whether each class has a bias, 0 at the start. Default false */
  readonly useBias?: boolean;
  /** W, `D × d` finite numbers, row-major; copied, a tensor by a synchronous read. Default: random */
  readonly initialWeights?: Float32Array | Tensor;
  /** Standard deviation of random weights, which are uniform, > 0. Default 0.001, as the authors' */
  readonly initialScale?: number;
  /** Seed of random weights, integer. Default 0 */
  readonly seed?: number;
  /**
   * How far from the identity U may go, in condition `‖U‖ ‖U⁻¹‖ / d` and in scale, before it is renormalised, > 1;
   * rows lose about as many digits as it has. `Infinity` renormalises only where U is singular. Default 10
   */
  readonly conditionLimit?: number;
}

/** Options with every default in place. */
export interface ResolvedLayer {
  readonly classes: number;
  readonly inputSize: number;
  readonly loss: SphericalLoss;
  readonly useBias: boolean;
  readonly initialWeights: Float32Array | undefined;
  readonly initialScale: number;
  readonly seed: number;
  readonly conditionLimit: number;
}

const CALLER = 'SphericalOutputLayer';
const KNOWN: readonly (keyof SphericalOutputLayerOptions)[] = [
  'classes',
  'inputSize',
  'loss',
  'lossOptions',
  'useBias',
  'initialWeights',
  'initialScale',
  'seed',
  'conditionLimit',
];

/**
 * Checks the options.
 * @throws as the layer's constructor
 */
export function resolveLayer(options: SphericalOutputLayerOptions): ResolvedLayer {
  checkOptions(CALLER, options, KNOWN);
  const { classes, inputSize, useBias = false, initialScale = 1e-3, seed = 0 } = options;
  const { conditionLimit = 10 } = options;
  checkInteger(CALLER, 'classes', classes, { min: 1 });
  checkInteger(CALLER, 'inputSize', inputSize, { min: 1 });
  checkBoolean(CALLER, 'useBias', useBias);
  checkNumber(CALLER, 'initialScale', initialScale, { above: 0 });
  checkInteger(CALLER, 'seed', seed);
  if (conditionLimit !== Infinity) {
    checkNumber(CALLER, 'conditionLimit', conditionLimit, { above: 1 });
  }
  return {
    classes,
    inputSize,
    loss: resolveLoss(options),
    useBias,
    initialWeights: resolveWeights(options),
    initialScale,
    seed,
    conditionLimit,
  };
}

function resolveLoss({ loss = 'zLoss', lossOptions }: SphericalOutputLayerOptions): SphericalLoss {
  if (typeof loss === 'string') return sphericalLoss(loss, lossOptions);
  if (lossOptions !== undefined) {
    throw new TypeError(`${CALLER}: lossOptions must be left out where loss is not a name`);
  }
  if (typeof loss?.evaluate !== 'function' || typeof loss.name !== 'string') {
    throw new TypeError(`${CALLER}: loss must be a name or an object with name and evaluate`);
  }
  return loss;
}

function resolveWeights(options: SphericalOutputLayerOptions): Float32Array | undefined {
  const { classes, inputSize, initialWeights } = options;
  if (initialWeights === undefined) return undefined;
  const values = initialWeights instanceof Tensor ? initialWeights.dataSync() : initialWeights;
  if (!(values instanceof Float32Array)) {
    throw new TypeError(`${CALLER}: initialWeights must be a Float32Array or a float32 tensor`);
  }
  const shape = initialWeights instanceof Tensor ? `${initialWeights.shape}` : undefined;
  if (values.length !== classes * inputSize || (shape && shape !== `${[classes, inputSize]}`)) {
    throw new RangeError(
      `${CALLER}: initialWeights must hold ${classes} x ${inputSize} numbers, got ${shape ? `shape [${shape}]` : values.length}`,
    );
  }
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    throw new RangeError(
      `${CALLER}: initialWeights must be finite, got ${values[i]} at index ${i}`,
    );
  }
  return values;
}

/** The layer's weights at the start. */
export function createWeights(layer: ResolvedLayer): FactoredWeights {
  const { classes, inputSize, useBias, initialWeights, initialScale, seed } = layer;
  const d = inputSize + Number(useBias);
  const weights = new FactoredWeights(classes, d);
  const { V } = weights;
  // Uniform numbers of this half-width have the standard deviation asked for, at a tenth of the price of normal ones.
  const halfWidth = Math.sqrt(3) * initialScale;
  const random = seededRandom(seed);
  for (let c = 0; c < classes; c++) {
    for (let j = 0; j < inputSize; j++) {
      V[c * d + j] = initialWeights
        ? initialWeights[c * inputSize + j]!
        : halfWidth * (2 * random.uniform() - 1);
    }
  }
  weights.summarize();
  return weights;
}
