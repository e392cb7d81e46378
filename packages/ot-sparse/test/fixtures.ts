/**
 * Adapters for golden fixtures: what an op's inputs, parameters and wanted outputs mean to our functions. Everything is
 * read off the names, so that fixtures with other shapes and parameters run as they are.
 */
import type { Adapter } from '@orth/testing';
import { adapters as divergence } from './adapters/divergence.js';
import { adapters as entropic } from './adapters/entropic.js';
import { adapters as exact } from './adapters/exact.js';
import { adapters as quadratic } from './adapters/quadratic.js';
import { adapters as routing } from './adapters/routing.js';
import { adapters as sparse } from './adapters/sparse.js';

export const adapters: Record<string, Adapter> = {
  ...sparse,
  ...quadratic,
  ...entropic,
  ...exact,
  ...divergence,
  ...routing,
};
