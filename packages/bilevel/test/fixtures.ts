/** Adapters for golden fixtures: shapes, sizes and options are read off the fixture. */
import type { Adapter } from '@orth/testing';
import { adapters as maid } from './adapters/maid.js';

export const adapters: Record<string, Adapter> = { ...maid };
