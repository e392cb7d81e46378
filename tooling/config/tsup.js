// @ts-check
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Declarations by `tsc` rather than by tsup: its bundled .d.ts carry no declaration maps, so "go to definition"
 * would stop at the declaration. The CommonJS build needs its own copies, since a .d.ts beside "type": "module"
 * describes an ES module.
 */
function emitDeclarations() {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const flags = '--noEmit false --declaration --declarationMap --emitDeclarationOnly';
  execFileSync(
    process.execPath,
    [tsc, '-p', 'tsconfig.build.json', ...flags.split(' '), '--outDir', 'dist'],
    { stdio: 'inherit' },
  );
  for (const file of readdirSync('dist', { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.d.ts')) continue;
    const path = join('dist', file);
    // Importing for effect means nothing in a declaration, and a `#…` import would not resolve there.
    const types = readFileSync(path, 'utf8').replaceAll(/^import '[^']*';$/gm, '');
    writeFileSync(path, types);
    const text = types
      .replaceAll(/(from |import |import\()(['"])(\.{1,2}\/[^'"]*)\.js\2/g, '$1$2$3.cjs$2')
      .replace(/(sourceMappingURL=.*)\.d\.ts\.map/, '$1.d.cts.map');
    writeFileSync(path.replace(/\.d\.ts$/, '.d.cts'), text);
    const map = readFileSync(`${path}.map`, 'utf8');
    writeFileSync(path.replace(/\.d\.ts$/, '.d.cts.map'), map.replace('.d.ts"', '.d.cts"'));
  }
}

/**
 * A published library: ES modules first, CommonJS beside them, declarations with maps for both.
 * @param {import('tsup').Options} [options] what differs from the preset
 * @returns {import('tsup').Options}
 */
export function library(options = {}) {
  return {
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    target: 'es2022',
    // Without its prefix a built-in module looks like a package, to bundlers and to Deno.
    removeNodeProtocol: false,
    clean: true,
    sourcemap: true,
    silent: true,
    onSuccess: async () => emitDeclarations(),
    ...options,
  };
}

/**
 * A command-line application: ES modules only, no declarations.
 * @param {string[]} entry
 * @param {import('tsup').Options} [options] what differs from the preset
 * @returns {import('tsup').Options}
 */
export function application(entry, options = {}) {
  return {
    entry,
    format: ['esm'],
    target: 'es2022',
    removeNodeProtocol: false,
    clean: true,
    sourcemap: true,
    silent: true,
    ...options,
  };
}
