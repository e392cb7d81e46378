/** Adapters for golden fixtures: what an op's inputs, parameters and wanted outputs mean to our functions. */
import type { Adapter } from '@orth/testing';
import { adapters as ensembles } from './adapters/ensembles.js';
import { adapters as laws } from './adapters/laws.js';
import { adapters as randomFeatures } from './adapters/randomFeatures.js';

export const adapters: Record<string, Adapter> = { ...randomFeatures, ...laws, ...ensembles };
