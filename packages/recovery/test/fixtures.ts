/**
 * Adapters for golden fixtures: what an op's inputs, parameters and wanted outputs mean to our functions. Everything is
 * read off the names, so that fixtures with other shapes, steps and parameters run as they are.
 */
import type { Adapter } from '@orth/testing';
import { adapters as onlineDictionary } from './adapters/onlineDictionary.js';
import { adapters as subgm } from './adapters/subgm.js';
import { adapters as subspaceClustering } from './adapters/subspaceClustering.js';

export const adapters: Record<string, Adapter> = {
  ...onlineDictionary,
  ...subgm,
  ...subspaceClustering,
};
