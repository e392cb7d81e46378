/** Adapters for golden fixtures, one file an area. */
import type { Adapter } from '@orth/testing';
import { adapters as conjugate } from './adapters/conjugate.js';
import { adapters as proximal } from './adapters/proximal.js';
import { adapters as sparse } from './adapters/sparse.js';

export const adapters: Record<string, Adapter> = {
  ...conjugate,
  ...proximal,
  ...sparse,
};
