/** Adapters for golden fixtures: shapes, sizes and options are read off the fixture. */
import type { Adapter } from '@orth/testing';
import { adapters as maid } from './adapters/maid.js';
import { adapters as selfTuning } from './adapters/selfTuning.js';

export const adapters: Record<string, Adapter> = { ...maid, ...selfTuning };
