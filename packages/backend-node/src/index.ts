import { registerBackend } from '@orth/backend';
import { nodeProvider } from './nodeProvider.js';

registerBackend(nodeProvider);

export type { NodeLibrary, NodeOptions } from './options.js';
