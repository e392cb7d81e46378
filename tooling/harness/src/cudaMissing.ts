/** Stands for the tests on CUDA on a machine where none can run, so that their absence is counted and explained. */
import { test } from 'vitest';
import { CUDA_MISSING } from './cudaDevice.js';

test.skip(`${CUDA_MISSING}`, () => {});
