import {
  add,
  addN,
  div,
  minimum,
  mul,
  sqrt,
  square,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/**
 * Scales gradients down together so that their joint norm is at most `clipNorm`: `g ← g · min(1, clipNorm / (‖g‖ + 1e−6))`.
 * Directions after orthogonalisation are never clipped: their norm is √rank by design.
 */
export function clipGradients(gradients: readonly Tensor[], clipNorm: number): Tensor[] {
  return tidy(() => {
    const norm = sqrt(addN(gradients.map((g) => sum(square(g)))));
    const scale = minimum(1, div(clipNorm, add(norm, 1e-6)));
    return gradients.map((g) => mul(g, scale));
  });
}
