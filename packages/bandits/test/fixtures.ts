/** Adapters for golden fixtures: what an op's inputs, parameters and wanted outputs mean to our functions. */
import type { Adapter } from '@orth/testing';
import { adapters as baselines } from './adapters/baselines.js';
import { adapters as neucb } from './adapters/neucb.js';
import { adapters as ope } from './adapters/ope.js';

export const adapters: Record<string, Adapter> = { ...neucb, ...baselines, ...ope };
