import type { Adapter } from '@orth/testing';

export const adapters: Record<string, Adapter> = {};
