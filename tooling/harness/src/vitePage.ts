/** Opens a project's page in the tests' Chromium as its users meet it: from Vite's dev server, and as a production build. */
import type { Browser } from 'playwright';
import { chromium as playwright } from 'playwright';
import { build, createServer, type InlineConfig, preview } from 'vite';
import { chromium } from './softwareGpu.js';

/** How to serve the page. */
export interface VitePageOptions {
  readonly mode: 'dev' | 'build';
  /** Response headers, e.g. those of cross-origin isolation. Default none */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What happened in the page. */
export interface VitePage {
  /** What the page's `globalThis.result`, a promise, was resolved with. */
  readonly result: unknown;
  /** Addresses of all files that were loaded. */
  readonly requests: readonly string[];
  /** Warnings and errors on the console, and uncaught exceptions. */
  readonly complaints: readonly string[];
}

/** Headers under which a page may use threads. */
export const CROSS_ORIGIN_ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
} as const;

/** How long a page may take for its result. */
const RESULT_MS = 20_000;

/** Starts the tests' browser. */
export async function launchChromium(): Promise<Browser> {
  const launch = await chromium();
  if (!launch) throw new Error('no Chromium on this machine');
  return playwright.launch({ ...launch, headless: true });
}

/**
 * Serves the Vite project in `folder` without a configuration of its own, and waits for its page's result.
 *
 * @param folder - holds index.html and node_modules
 */
export async function openVitePage(
  browser: Browser,
  folder: string,
  { mode, headers = {} }: VitePageOptions,
): Promise<VitePage> {
  const config: InlineConfig = { root: folder, configFile: false, logLevel: 'error' };
  const serving = { headers: { ...headers }, port: 0, strictPort: false };
  if (mode === 'build') await build({ ...config, build: { chunkSizeWarningLimit: 10_000 } });
  const server =
    mode === 'dev'
      ? await (await createServer({ ...config, server: serving })).listen()
      : await preview({ ...config, preview: serving });
  const page = await browser.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['warning', 'error'].includes(message.type())) complaints.push(message.text());
  });
  try {
    await page.goto(server.resolvedUrls!.local[0]!);
    // Vite's dev server may reload a page when it first meets a dependency; the second page is the one to ask.
    await page.waitForFunction('globalThis.result !== undefined');
    const late = new Promise<never>((_, reject) => {
      const message = () => `no result after ${RESULT_MS} ms; console: ${complaints.join('\n')}`;
      setTimeout(() => reject(new Error(message())), RESULT_MS).unref();
    });
    const result = await Promise.race([page.evaluate('globalThis.result'), late]);
    return { result, requests, complaints };
  } finally {
    await page.close();
    await server.close();
  }
}
