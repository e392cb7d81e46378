import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { library } from '@orth/config/tsup';
import { defineConfig } from 'tsup';

const gradients = { clean: false, onSuccess: async () => {}, sourcemap: false };

const notice = `/*!
 * @license
 * Files of @tensorflow/tfjs-backend-wasm, unmodified: the .wasm in gzip and base64, the scripts as text.
 * Copyright Google LLC. Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
 * They contain XNNPACK (BSD-3-Clause, Copyright Facebook, Inc. and Google LLC) and Emscripten's runtime (MIT).
 */`;

/** tfjs's files as modules, so that any bundler carries them along and loads only those that are asked for. */
function writeWasmModules() {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')), '../wasm-out');
  const write = (name: string, suffix: string, texts: Record<string, string> = {}) => {
    const file = readFileSync(join(folder, `tfjs-backend-wasm${suffix}.wasm`));
    const parts = { binary: gzipSync(file, { level: 9 }).toString('base64'), ...texts };
    const lines = Object.entries(parts).map(
      ([part, text]) => `export const ${part} = ${JSON.stringify(text)};`,
    );
    writeFileSync(`dist/wasm-assets/${name}.js`, `${[notice, ...lines].join('\n')}\n`);
  };
  mkdirSync('dist/wasm-assets', { recursive: true });
  write('plain', '');
  write('simd', '-simd');
  const script = join(folder, 'tfjs-backend-wasm-threaded-simd');
  const { wasmWorkerContents } = require(`${script}.worker.js`) as { wasmWorkerContents: string };
  write('threadedSimd', '-threaded-simd', {
    mainScript: readFileSync(`${script}.js`, 'utf8'),
    // tfjs keeps it in a template literal, which turned the escapes in its strings into line breaks.
    workerScript: wasmWorkerContents.replaceAll('\n', '\\n'),
  });
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
