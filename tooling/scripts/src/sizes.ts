/**
 * `pnpm sizes`: what each package adds to a page, minified and gzipped, without TensorFlow.js and without the other
 * packages it uses: all of it, and one import.
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const packages = join(dirname(fileURLToPath(import.meta.url)), '../../../packages');

/** The import that a README's first example makes, where a package has more than one thing to import. */
const ONE_IMPORT: Record<string, string> = {
  backend: 'useBackend',
  bandits: 'ContextualBandit',
  bilevel: 'maid',
  'lora-group': 'adapt',
  losses: 'compSumLoss',
  muon: 'Muon',
  'newton-schulz': 'orthogonalize',
  operators: 'STFNO',
  'ot-sparse': 'sparseTransport',
  recovery: 'subgm',
  scaling: 'rfRisk',
  unfolding: 'deepConjugateDirection',
};

async function kilobytes(name: string, imported: string): Promise<string> {
  const entry = join(packages, name, 'dist/index.js');
  const { outputFiles } = await build({
    stdin: {
      contents: `export ${imported === '*' ? '*' : `{ ${imported} }`} from ${JSON.stringify(entry)};`,
      resolveDir: packages,
    },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    // `#…` files load one by one when they are needed; what is in them is not part of the entry.
    external: ['@tensorflow/*', '@orth/*', '#*', 'node:*', 'koffi', 'onnxruntime-node', 'webgpu'],
    logLevel: 'error',
  });
  return (gzipSync(outputFiles[0]!.contents).length / 1000).toFixed(1);
}

console.log('| package | all of it | one import |\n|---|--:|--:|');
for (const name of readdirSync(packages)) {
  if (!existsSync(join(packages, name, 'dist/index.js'))) continue;
  const one = ONE_IMPORT[name];
  const single = one ? `${await kilobytes(name, one)} kB (\`${one}\`)` : '–';
  console.log(`| \`@orth/${name}\` | ${await kilobytes(name, '*')} kB | ${single} |`);
}
