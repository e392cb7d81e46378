/**
 * Adapters for golden fixtures, one file a system: everything is read off the names of inputs, parameters and outputs, so
 * that fixtures of other shapes and variants run as they are.
 */
import type { Adapter } from '@orth/testing';
import { adapters as compSum } from './adapters/compSum.js';
import { adapters as ensLoss } from './adapters/ensLoss.js';
import { adapters as hardPatches } from './adapters/hardPatches.js';
import { adapters as mw } from './adapters/mw.js';
import { adapters as sharpness } from './adapters/sharpness.js';
import { adapters as zLoss } from './adapters/zLoss.js';

export const adapters: Record<string, Adapter> = {
  ...compSum,
  ...ensLoss,
  ...hardPatches,
  ...mw,
  ...sharpness,
  ...zLoss,
};
