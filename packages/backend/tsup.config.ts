import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { library } from '@orth/config/tsup';
import { defineConfig } from 'tsup';

const gradients = { clean: false, onSuccess: async () => {}, sourcemap: false };

const notice = `/*!
 * @license
 * WebAssembly binary of @tensorflow/tfjs-backend-wasm, unmodified but for gzip and base64.
 * Copyright Google LLC. Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
 * It contains XNNPACK (BSD-3-Clause, Copyright Facebook, Inc. and Google LLC) and Emscripten's libraries (MIT).
 */`;

/** Each binary as a module, so that any bundler carries it along and loads it only when it is asked for. */
function writeWasmModules() {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  mkdirSync('dist/wasm', { recursive: true });
  const variants = { plain: '', simd: '-simd', threadedSimd: '-threaded-simd' };
  for (const [name, suffix] of Object.entries(variants)) {
    const file = readFileSync(join(folder, `tfjs-backend-wasm${suffix}.wasm`));
    const base64 = gzipSync(file, { level: 9 }).toString('base64');
    writeFileSync(`dist/wasm/${name}.js`, `${notice}\nexport const binary = '${base64}';\n`);
  }
}

writeWasmModules();

export default defineConfig([
  library({ clean: false, external: [/^#/] }),
  // Bundlers resolve core's files themselves; Node cannot (imports without extensions), so it gets them in one file,
  // which keeps core's licence notices and registers into the core that the user loaded.
  library({ ...gradients, entry: ['src/gradients.ts'] }),
  library({
    ...gradients,
    entry: { 'gradients.node': 'src/gradients.ts' },
    noExternal: [/tfjs-core\/dist/],
  }),
]);
