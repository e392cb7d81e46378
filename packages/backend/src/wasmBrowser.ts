/**
 * Starts tfjs's wasm backend in a browser without any file being served beside the page's scripts.
 *
 * Left alone, tfjs fetches its .wasm file from where no bundler puts it, and hands its threads the source text of a
 * function that refers to names around it, which a minifier renames: threads then fail in production builds only. So
 * the binary and the threads' scripts travel in modules of this package, unmodified, and only the variant that the page
 * can run is loaded.
 */
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type {
  BackendWasmModule,
  WasmFactoryConfig,
} from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js';

/** What a page can run. */
export interface WasmFeatures {
  readonly simd: boolean;
  readonly threads: boolean;
}

/** Addresses of tfjs's three .wasm files: a folder that ends in `/`, or one for each file name. */
export type WasmPaths = string | Readonly<Record<string, string>>;

/** Emscripten's further settings, which tfjs's types leave out. */
interface FactoryConfig extends WasmFactoryConfig {
  wasmBinary?: Uint8Array;
  print: (line: string) => void;
  printErr: (line: string) => void;
}

/** Emscripten's way to a C function, as far as it is used here. */
type Wrap = (
  name: string,
  returns: 'number' | null,
  parameters: readonly 'number'[],
) => (...parameters: number[]) => number;

type Factory = (config: WasmFactoryConfig) => Promise<BackendWasmModule>;

/**
 * Instantiates the variant for `features` as tfjs's own start does.
 *
 * @param paths - where the .wasm files are served, instead of the built-in ones
 * @throws Error that says what failed, in the engine's words
 */
export async function startInBrowser(
  { BackendWasm: Backend }: { BackendWasm: typeof BackendWasm },
  features: WasmFeatures,
  paths?: WasmPaths,
): Promise<BackendWasm> {
  const file = `tfjs-backend-wasm${features.threads ? '-threaded-simd' : features.simd ? '-simd' : ''}.wasm`;
  const messages: string[] = [];
  const config: FactoryConfig = { print: () => {}, printErr: (line) => messages.push(line) };
  let workerUrl: string | undefined;
  if (features.threads) {
    const { mainScript, workerScript } = await import('#wasm/threadedSimd');
    config.mainScriptUrlOrBlob = scriptBlob(mainScript);
    workerUrl = URL.createObjectURL(scriptBlob(workerScript));
  }
  if (paths === undefined) config.wasmBinary = await builtInBinary(features);
  config.locateFile = (name) => {
    if (name.endsWith('.worker.js') && workerUrl) return workerUrl;
    return typeof paths === 'string' ? `${paths}${file}` : (paths?.[file] ?? name);
  };
  const create = await factoryFor(features);
  const module = await new Promise<BackendWasmModule>((resolve, reject) => {
    const fail = (cause: unknown) => {
      const reasons = [...new Set([...messages, String(cause)])].join('; ');
      reject(new Error(`${file} could not be started: ${reasons}`));
    };
    config.onAbort = fail;
    create(config).then(resolve, fail);
  });
  const { cwrap } = module as unknown as { cwrap: Wrap };
  module.tfjs = {
    init: cwrap('init', null, []),
    initWithThreadsCount: cwrap('init_with_threads_count', null, ['number']),
    getThreadsCount: cwrap('get_threads_count', 'number', []),
    registerTensor: cwrap('register_tensor', null, ['number', 'number', 'number']),
    disposeData: cwrap('dispose_data', null, ['number']),
    dispose: cwrap('dispose', null, []),
  };
  return new Backend(module);
}

async function factoryFor({ threads }: WasmFeatures): Promise<Factory> {
  const loaded = (await (threads
    ? import('@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.js')
    : import('@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js'))) as {
    default?: Factory;
  };
  return loaded.default ?? (loaded as unknown as Factory);
}

async function builtInBinary({ simd, threads }: WasmFeatures): Promise<Uint8Array> {
  const { binary } = await (threads
    ? import('#wasm/threadedSimd')
    : simd
      ? import('#wasm/simd')
      : import('#wasm/plain'));
  if (typeof DecompressionStream === 'undefined') {
    throw new Error(
      'this browser is too old to unpack the built-in .wasm files (Chrome 80, Safari 16.4 and Firefox 113 can);' +
        " serve those of @tensorflow/tfjs-backend-wasm/dist and pass the option wasmPaths: '/folder/'",
    );
  }
  const bytes = Uint8Array.from(atob(binary), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const scriptBlob = (text: string) => new Blob([text], { type: 'text/javascript' });

/**
 * Whether the page's policy lets workers start from `blob:` addresses and load scripts from them, as tfjs's threads do.
 * Where it does not, a start with threads would wait for ever.
 */
export async function blobWorkersAllowed(): Promise<boolean> {
  const inner = URL.createObjectURL(scriptBlob(''));
  const outer = URL.createObjectURL(scriptBlob(`importScripts('${inner}'); postMessage('ready');`));
  let worker: Worker | undefined;
  try {
    return await new Promise<boolean>((resolve) => {
      worker = new Worker(outer);
      worker.onmessage = () => resolve(true);
      worker.onerror = (event) => {
        event.preventDefault();
        resolve(false);
      };
    });
  } catch {
    return false;
  } finally {
    worker?.terminate();
    URL.revokeObjectURL(inner);
    URL.revokeObjectURL(outer);
  }
}
