import { type GradConfig, getGradient } from '@tensorflow/tfjs-core';
import { globalRegistry } from '../globalRegistry.js';
import { registerComplexGradients } from './complex.js';
import { registerEinsumGradient } from './einsum.js';
import { registerElementwiseGradients } from './elementwise.js';
import { registerMovingGradients } from './moving.js';
import { registerReductionGradients } from './reductions.js';
import { registerResizeGradients } from './resize.js';

const registered = globalRegistry('gradients', () => ({
  multiply: undefined as GradConfig | undefined,
}));

/**
 * Completes tfjs's gradients, on every backend: those it lacks, and those it has wrong. Runs after tfjs's own are
 * registered; complex tensors come last, since they extend the gradients before them. Does nothing while ours are in
 * place: some wrap tfjs's own, and must not wrap themselves.
 */
export function registerGradients(): void {
  if (registered.multiply && getGradient('Multiply') === registered.multiply) return;
  registerElementwiseGradients();
  registerReductionGradients();
  registerMovingGradients();
  registerResizeGradients();
  registerEinsumGradient();
  registerComplexGradients();
  registered.multiply = getGradient('Multiply');
}
