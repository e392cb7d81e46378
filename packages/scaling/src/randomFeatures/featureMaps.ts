/** Random feature maps, scaled so that inner products of features estimate a kernel. */
import { seededRandom } from '@orth/backend';
import {
  add,
  cos,
  matMul,
  mul,
  relu,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';

/** Kinds of random features: ReLU of random projections, or random Fourier features. */
export type FeatureKind = 'relu' | 'fourier';

/** A feature map of one's own: `[n, d]` → `[n, k]`, scaled so that inner products are O(1). The caller disposes its result. */
export type FeatureFunction = (X: Tensor2D) => Tensor2D;

/** What a feature map of a kind is made of. */
export interface FeatureWeights {
  /** W, `[k, d]`, entries N(0, 1). */
  readonly directions: Tensor2D;
  /** Phases in [0, 2π), `[k]`; Fourier features only. */
  readonly phases?: Tensor1D;
}

/** Draws the weights of a feature map. */
export function drawFeatures(
  kind: FeatureKind,
  k: number,
  d: number,
  seed: number,
): FeatureWeights {
  const random = seededRandom(seed);
  const directions = random.fork(1).normalTensor([k, d]) as Tensor2D;
  if (kind === 'relu') return { directions };
  return { directions, phases: random.fork(2).uniformTensor([k], 0, 2 * Math.PI) as Tensor1D };
}

/** relu(XWᵀ√(2/d))/√k, or √(2/k)·cos(XWᵀ/bandwidth + b). */
export function applyFeatures(
  kind: FeatureKind,
  X: Tensor2D,
  { directions, phases }: FeatureWeights,
  bandwidth: number,
): Tensor2D {
  const [k, d] = directions.shape;
  return tidy(() => {
    const projected: Tensor = matMul(X, directions, false, true);
    if (kind === 'relu') return mul(relu(projected), Math.sqrt(2 / d / k)) as Tensor2D;
    const wave = cos(add(mul(projected, 1 / bandwidth), phases!));
    return mul(wave, Math.sqrt(2 / k)) as Tensor2D;
  });
}
