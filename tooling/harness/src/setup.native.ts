/** Before `setup.ts` for native speed in Node: the package that registers the backend. */
import '@orth/backend-node';

await import('./setup.js');
