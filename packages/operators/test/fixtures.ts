/** Adapters for golden fixtures, one file for each system. */
import type { Adapter } from '@orth/testing';
import { adapters as neuralOde } from './adapters/neuralOde.js';
import { adapters as spectralRefiner } from './adapters/spectralRefiner.js';

export const adapters: Record<string, Adapter> = { ...neuralOde, ...spectralRefiner };
