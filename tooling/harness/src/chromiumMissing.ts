/** Stands for the tests in a browser on a machine where none runs, so that their absence is counted and explained. */
import { test } from 'vitest';
import { CHROMIUM_MISSING } from './softwareGpu.js';

test.skip(CHROMIUM_MISSING, () => {});
