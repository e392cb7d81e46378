/**
 * One vitest project for each backend, over the tests of all packages:
 * - `*.test.ts` on cpu and wasm; `conformance.test.ts` and `fixtures.test.ts` on every backend, in a browser too;
 * - `*.native.test.ts` on `@orth/backend-node` alone; `*.cuda.test.ts` on `@orth/backend-cuda` alone;
 * - `*.node.test.ts` once, without a backend: command lines, files, processes.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import type { UserWorkspaceConfig } from 'vitest/config';
import { CUDA_MISSING, nvidiaGpu } from './cudaDevice.js';
import { type ChromiumLaunch, chromium } from './softwareGpu.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const setup = join(here, 'setup.ts');
/** What must not be imported in a browser, nor searched for by its bundler, has a setup of its own. */
const setups: Record<string, string> = {
  cuda: join(root, 'packages/backend-cuda/test/setup.ts'),
  node: join(here, 'setup.native.ts'),
  webgpu: join(here, 'setup.webgpu.ts'),
};

const everyBackend = ['packages/*/test/{conformance,fixtures}.test.ts'];
const tests = ['{packages,apps,tooling}/*/test/**/*.test.ts'];
const native = ['packages/*/test/**/*.native.test.ts'];
const cuda = ['packages/*/test/**/*.cuda.test.ts'];
const nodeOnly = ['{packages,apps,tooling}/*/test/**/*.node.test.ts'];

/** Tests run on the sources: `@orth/x` is packages/x/src, so that an edit needs no build and a stack names our lines. */
const sources = [
  ...readdirSync(join(root, 'packages')).map((name) => ({
    find: new RegExp(`^@orth/${name}$`),
    replacement: join(root, 'packages', name, 'src/index.ts'),
  })),
  {
    find: /^@orth\/testing$/,
    replacement: join(root, 'tooling/testing/src/index.ts'),
  },
].filter(({ replacement }) => existsSync(replacement));

function nodeProject(name: string, include: string[], backend?: string): UserWorkspaceConfig {
  return {
    root,
    resolve: { alias: sources },
    test: {
      name,
      include,
      exclude: [
        '**/node_modules/**',
        ...(backend ? ['**/*.node.test.ts'] : []),
        ...(backend === 'node' ? [] : ['**/*.native.test.ts']),
        ...(backend === 'cuda' ? [] : ['**/*.cuda.test.ts']),
      ],
      pool: 'forks',
      ...(backend && { setupFiles: [setups[backend] ?? setup], provide: { backend } }),
      testTimeout: 60_000,
    },
  };
}

/**
 * CUDA on a GPU: every package's conformance and fixtures. Without one the kernels run on the CPU, in an emulator, which is
 * slow: the packages whose operations CUDA has kernels of its own for. Without a compiler for that, a skipped test.
 */
function cudaProject(): UserWorkspaceConfig {
  if (CUDA_MISSING !== undefined) {
    return nodeProject('cuda', ['tooling/harness/src/cudaMissing.ts']);
  }
  const emulated = ['packages/{backend,newton-schulz,muon}/test/{conformance,fixtures}.test.ts'];
  return nodeProject('cuda', [...(nvidiaGpu ? everyBackend : emulated), ...cuda], 'cuda');
}

/** WebGPU in Node: one process for all files, since pipelines compile slowly and a process may start Dawn once. */
function webgpuProject(): UserWorkspaceConfig {
  const project = nodeProject('webgpu', everyBackend, 'webgpu');
  return {
    ...project,
    test: {
      ...project.test,
      isolate: false,
      fileParallelism: false,
    },
  };
}

function chromiumProject(backend: string, launch: ChromiumLaunch): UserWorkspaceConfig {
  const { executablePath, channel, env, args } = launch;
  return {
    root,
    // The compiled gradients are Node's; a browser takes tfjs's own files, as a bundler would.
    resolve: {
      alias: [
        ...sources,
        { find: '#gradients', replacement: join(root, 'packages/backend/src/gradients.ts') },
      ],
    },
    // Bundled anew for each run: Vite does not look again for what tests import when it finds a former bundle, and a
    // dependency that turns up while a page loads reloads the page in the middle of a test.
    cacheDir: runFolder(`vite-${backend}`),
    optimizeDeps: { entries: [...everyBackend, setup] },
    server: {
      // Cross-origin isolation: without it a page has no threads.
      headers: {
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
      },
    },
    test: {
      name: `chromium-${backend}`,
      include: everyBackend,
      setupFiles: [setup],
      provide: { backend },
      testTimeout: 60_000,
      fileParallelism: false,
      isolate: false,
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: { executablePath, channel, env, args } }),
        instances: [{ browser: 'chromium' }],
      },
    },
  };
}

/** A folder for this run alone, since runs at one time would replace each other's files. */
function runFolder(name: string): string {
  const folder = join(root, 'node_modules/.cache/orth', `${name}-${process.pid}`);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The projects for this machine; where no Chromium runs, one test that is skipped and says why. */
export async function projects(): Promise<UserWorkspaceConfig[]> {
  const launch = await chromium();
  return [
    nodeProject('node', nodeOnly),
    nodeProject('cpu', tests, 'cpu'),
    nodeProject('wasm', tests, 'wasm'),
    nodeProject('native', [...everyBackend, ...native], 'node'),
    cudaProject(),
    webgpuProject(),
    ...(launch
      ? [chromiumProject('webgpu', launch), chromiumProject('wasm', launch)]
      : [nodeProject('chromium-missing', ['tooling/harness/src/chromiumMissing.ts'])]),
  ];
}
