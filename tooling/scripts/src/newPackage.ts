/**
 * `pnpm new-package NAME [algorithm|backend|foundation]`: a package that builds, type-checks and is tested from its
 * first minute. Everything it writes besides package.json is a line or two, because the settings live in tooling/.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export function packageFiles(name: string, tag: string): Record<string, string> {
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  return {
    'package.json': json({
      name: `@orth/${name}`,
      version: '0.0.0',
      description: 'TODO: one sentence for someone who never heard of the paper',
      license: 'MIT',
      type: 'module',
      sideEffects: false,
      engines: { node: '>=20.19' },
      files: ['dist', 'src', 'README.md', 'CHANGELOG.md'],
      exports: {
        '.': {
          import: { types: './dist/index.d.ts', default: './dist/index.js' },
          require: { types: './dist/index.d.cts', default: './dist/index.cjs' },
        },
        './package.json': './package.json',
      },
      main: './dist/index.cjs',
      module: './dist/index.js',
      types: './dist/index.d.ts',
      scripts: {
        build: 'tsup',
        typecheck: 'tsc -p .',
        test: `vitest run --root ../.. packages/${name}/`,
      },
      dependencies: { '@orth/backend': 'workspace:^' },
      peerDependencies: { '@tensorflow/tfjs-core': '^4.22.0' },
      devDependencies: {
        '@orth/config': 'workspace:*',
        '@orth/testing': 'workspace:*',
        '@tensorflow/tfjs-core': 'catalog:',
        '@types/node': 'catalog:',
        'fast-check': 'catalog:',
        tsup: 'catalog:',
        typescript: 'catalog:',
        vite: 'catalog:',
        vitest: 'catalog:',
      },
    }),
    'turbo.json': json({ extends: ['//'], tags: [tag] }),
    'tsconfig.json': json({
      extends: '@orth/config/tsconfig.json',
      compilerOptions: { types: ['node', 'vite/client'] },
      include: ['src', 'test'],
    }),
    'tsconfig.build.json': json({
      extends: './tsconfig.json',
      compilerOptions: { types: [], rootDir: 'src' },
      include: ['src'],
    }),
    'typedoc.json': json({ extends: ['@orth/config/typedoc.json'], entryPoints: ['src/index.ts'] }),
    'tsup.config.ts': "import { library } from '@orth/config/tsup';\n\nexport default library();\n",
    'src/index.ts': 'export {};\n',
    'README.md': `# @orth/${name}\n`,
  };
}

function main(): void {
  const [name, tag = 'algorithm'] = process.argv.slice(2);
  if (!name || !/^[a-z][a-z0-9-]*$/.test(name) || !/^(algorithm|backend|foundation)$/.test(tag)) {
    console.error('usage: pnpm new-package NAME [algorithm|backend|foundation]');
    process.exit(2);
  }
  const folder = join(root, 'packages', name);
  if (existsSync(folder)) {
    console.error(`packages/${name} exists already; nothing was changed`);
    process.exit(1);
  }
  for (const [file, text] of Object.entries(packageFiles(name, tag))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  execFileSync('npx', ['--no-install', 'biome', 'format', '--write', folder], { cwd: root });
  console.log(`packages/${name} written; now: pnpm install && pnpm build`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
