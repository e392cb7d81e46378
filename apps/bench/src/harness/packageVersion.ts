import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** Version of an installed package, also of one whose `exports` hide its package.json. */
export function packageVersion(name: string): string {
  for (let folder = dirname(require.resolve(name)); folder !== dirname(folder); ) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) {
      const found = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      // Inner package.json files say only "type": the package's own has its name.
      if (found.name === name && found.version) return found.version;
    }
    folder = dirname(folder);
  }
  throw new Error(`packageVersion: no package.json of ${name} found`);
}
