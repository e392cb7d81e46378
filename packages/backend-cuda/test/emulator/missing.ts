/** Stands for the tests of the project `cuda` on a machine with neither a GPU nor a compiler. */
import { test } from 'vitest';
import { EMULATOR_MISSING } from './emulator.js';

test.skip(`${EMULATOR_MISSING}`, () => {});
