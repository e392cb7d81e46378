/** The built package in plain Node, beside tfjs-core alone, as an ES module and as CommonJS. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..');

async function runNode(inputType: 'module' | 'commonjs', script: string): Promise<unknown> {
  if (!existsSync(join(folder, 'dist/index.js'))) throw new Error('build the package first');
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [`--input-type=${inputType}`, '--eval', script],
    { cwd: folder, timeout: 50_000 },
  );
  expect(stderr, 'a library prints nothing').toBe('');
  // Nothing but what the script itself prints: one line of JSON.
  return JSON.parse(stdout);
}

const train = `
  const results = {};
  for (const backend of ['cpu', 'wasm']) {
    const { name } = await useBackend(backend);
    const [dx, dw] = tf.grads((x, w) => tf.mean(tf.square(tf.relu(tf.matMul(x, w)))))([
      tf.ones([2, 3]),
      tf.ones([3, 2]),
    ]);
    results[name] = [dx.dataSync()[0], dw.dataSync()[0]];
  }
  console.log(JSON.stringify(results));
`;
/** y = 3 everywhere: dx = 2 · 2 · 3 / 4, dw = 2 · 2 · 3 / 4. */
const trained = { cpu: [3, 3], wasm: [3, 3] };

test('ES module', async () => {
  const script = `
    import * as tf from '@tensorflow/tfjs-core';
    import { useBackend } from '@orth/backend';
    ${train}`;
  expect(await runNode('module', script)).toEqual(trained);
});

test('CommonJS', async () => {
  const script = `
    const tf = require('@tensorflow/tfjs-core');
    const { useBackend } = require('@orth/backend');
    (async () => { ${train} })();`;
  expect(await runNode('commonjs', script)).toEqual(trained);
});

test('the import alone registers gradients, with the core that the program loaded', async () => {
  const script = `
    import { getGradient } from '@tensorflow/tfjs-core';
    const before = Boolean(getGradient('Mean'));
    await import('@orth/backend');
    console.log(JSON.stringify([before, Boolean(getGradient('Mean'))]));`;
  expect(await runNode('module', script)).toEqual([false, true]);
});

test('an ES module and a CommonJS copy in one process share backends, kernels and the choice', async () => {
  const script = `
    import { createRequire } from 'node:module';
    import * as tf from '@tensorflow/tfjs-core';
    import * as esm from '@orth/backend';
    const cjs = createRequire(process.cwd() + '/')('@orth/backend');
    await esm.useBackend('cpu');
    cjs.registerFusedKernel('copies/double', 'cpu', ([x]) => tf.mul(x, 2));
    const double = esm.defineFusedOp({ name: 'copies/double', reference: ([x]) => x });
    console.log(JSON.stringify({
      copies: cjs.useBackend !== esm.useBackend,
      reason: cjs.backendInfo().reason,
      fused: esm.backendInfo().fusedOps,
      value: double([tf.tensor([4])], {}).dataSync()[0],
    }));`;
  expect(await runNode('module', script)).toEqual({
    copies: true,
    reason: 'asked for by name',
    fused: ['copies/double'],
    value: 8,
  });
});

test('for bundlers: each import of a file inside a package has its extension, which webpack demands', () => {
  const text = readFileSync(join(folder, 'dist/gradients.js'), 'utf8');
  const imports = [...text.matchAll(/(?:import|from) ["']([^"']+)["']/g)].map((match) => match[1]!);
  const files = imports.filter((name) => name.split('/').length > 2);
  expect(files).toEqual(['@tensorflow/tfjs-core/dist/register_all_gradients.js']);
});
