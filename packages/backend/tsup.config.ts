import { library } from '@orth/config/tsup';
import { defineConfig } from 'tsup';

const gradients = { clean: false, onSuccess: async () => {}, sourcemap: false };

export default defineConfig([
  library({ clean: false, external: ['#gradients'] }),
  // Bundlers resolve core's files themselves; Node cannot (imports without extensions), so it gets them in one file,
  // which keeps core's licence notices and registers into the core that the user loaded.
  library({ ...gradients, entry: ['src/gradients.ts'] }),
  library({
    ...gradients,
    entry: { 'gradients.node': 'src/gradients.ts' },
    noExternal: [/tfjs-core\/dist/],
  }),
]);
