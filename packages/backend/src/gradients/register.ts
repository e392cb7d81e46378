import { registerComplexGradients } from './complex.js';
import { registerEinsumGradient } from './einsum.js';
import { registerElementwiseGradients } from './elementwise.js';
import { registerMovingGradients } from './moving.js';
import { registerReductionGradients } from './reductions.js';
import { registerResizeGradients } from './resize.js';

/**
 * Completes tfjs's gradients, on every backend: those it lacks, and those it has wrong. Runs after tfjs's own are
 * registered; complex tensors come last, since they extend the gradients before them.
 */
export function registerGradients(): void {
  registerElementwiseGradients();
  registerReductionGradients();
  registerMovingGradients();
  registerResizeGradients();
  registerEinsumGradient();
  registerComplexGradients();
}
