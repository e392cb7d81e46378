import { engine, findBackendFactory, getBackend, memory, setBackend } from '@tensorflow/tfjs-core';
import { checkInteger, checkOptions } from './checks.js';
import { BackendUnavailableError, type RejectedBackend } from './errors.js';
import { fusedKernelNames } from './fusedOp.js';
import { globalRegistry } from './globalRegistry.js';
import { registerGradients } from './gradients/register.js';
import { type BackendDetails, providers } from './provider.js';

/** A backend's name; other names work when tfjs or a provider knows them. */
export type BackendName = 'auto' | 'cpu' | 'wasm' | 'node' | 'cuda' | 'webgpu' | (string & {});

/** Options of {@link useBackend} for every backend. */
export interface CommonBackendOptions {
  /**
   * Threads to use, where the backend has them; integer >= 1. Default: the backend's own choice. Read when a backend
   * starts for the first time; {@link BackendInfo} tells how many there are.
   */
  readonly threads?: number;
}

/** Options of {@link useBackend} for wasm. */
export interface WasmOptions extends CommonBackendOptions {
  /**
   * Where its three .wasm files are served, a folder that ends in `/` or an address for each file name. Default:
   * they come with this package. Read when the backend starts for the first time.
   */
  readonly wasmPaths?: string | Readonly<Record<string, string>>;
}

/**
 * Options of {@link useBackend} for `'auto'`, under which each backend reads its own, and for backends of one's own.
 */
export interface BackendOptions extends WasmOptions {
  readonly [option: string]: unknown;
}

/** Options by backend; a backend's package adds its own, so that a misspelt one is found when a program is compiled. */
export interface BackendOptionsByName {
  cpu: CommonBackendOptions;
  wasm: WasmOptions;
}

/** Options of {@link useBackend} for a name: any at all where the backend is not in {@link BackendOptionsByName}. */
export type BackendOptionsOf<Name> = Name extends keyof BackendOptionsByName
  ? BackendOptionsByName[Name]
  : BackendOptions;

/** What is active and why. */
export interface BackendInfo extends BackendDetails {
  /** tfjs's name of the active backend. */
  readonly name: string;
  /** Why this one: asked for by name, or the best that could start. */
  readonly reason: string;
  /** Better backends that were tried and could not start, with the reason. */
  readonly rejected: readonly RejectedBackend[];
  /** Fused operations that this backend has its own kernels for. */
  readonly fusedOps: readonly string[];
  /** tfjs's live tensors and the bytes they hold. */
  readonly memory: { readonly tensors: number; readonly bytes: number };
}

type Chosen = Omit<BackendInfo, 'fusedOps' | 'memory'>;
const active = globalRegistry('active-backend', () => ({
  chosen: undefined as Chosen | undefined,
  /** One switch at a time: tfjs's own switch is asynchronous, and two at once would leave either active. */
  queue: Promise.resolve() as Promise<unknown>,
}));

/** Where to get a backend that has no provider yet. */
const PACKAGES: Record<string, string> = {
  webgpu: '@orth/backend-webgpu',
  node: '@orth/backend-node',
  cuda: '@orth/backend-cuda',
};

/**
 * Switches tfjs to a backend on which models can be trained.
 *
 * `'auto'` takes the fastest that starts here: those whose package was imported (`@orth/backend-webgpu`, …), then wasm,
 * then plain JavaScript. A name takes that backend or fails; on failure the backend that was active stays active.
 *
 * @param name - `'auto'` (default), `'cpu'`, `'wasm'`, or a backend whose package was imported, or one that tfjs knows
 * @param options - see {@link BackendOptionsOf}
 * @returns what is active and why, as {@link backendInfo} gives it
 * @throws (rejects with) TypeError or RangeError for a bad or unknown option; BackendUnavailableError with what was tried
 *   and how to get it
 * @example
 * import { useBackend } from '@orth/backend';
 * const { name, device } = await useBackend();
 */
export async function useBackend<Name extends BackendName = 'auto'>(
  name?: Name,
  options?: BackendOptionsOf<Name>,
): Promise<BackendInfo>;
export async function useBackend(
  name: BackendName = 'auto',
  options: BackendOptions = {},
): Promise<BackendInfo> {
  if (typeof name !== 'string') {
    throw new TypeError(`useBackend: name must be a string, got ${typeof name}`);
  }
  const candidates = name === 'auto' ? [...providers.values()] : [providers.get(name)];
  const known = candidates.flatMap((provider) => provider?.options ?? []);
  checkOptions('useBackend', options, ['threads', ...new Set(known)]);
  if (options.threads !== undefined) {
    checkInteger('useBackend', 'threads', options.threads, { min: 1 });
  }
  const result = active.queue.then(() =>
    name === 'auto' ? chooseBest(options) : choose(name, options),
  );
  active.queue = result.catch(() => undefined);
  return result;
}

async function chooseBest(options: BackendOptions): Promise<BackendInfo> {
  const rejected: RejectedBackend[] = [];
  for (const { name } of [...providers.values()].sort((a, b) => b.priority - a.priority)) {
    try {
      const details = await start(name, { ...options, auto: true });
      const reason = 'the fastest that could start here';
      return remember({ ...details, name, reason, rejected });
    } catch (error) {
      if (isBadOption(error)) throw error;
      rejected.push({ name, reason: messageOf(error) });
    }
  }
  throw unavailable('useBackend: no backend could start', rejected);
}

async function choose(name: string, options: BackendOptions): Promise<BackendInfo> {
  try {
    const details = await start(name, { ...options, auto: false });
    return remember({ ...details, name, reason: 'asked for by name', rejected: [] });
  } catch (error) {
    if (isBadOption(error)) throw error;
    const message = `useBackend: backend '${name}' cannot be used here`;
    throw unavailable(message, [{ name, reason: messageOf(error) }]);
  }
}

/** Starts a backend and switches to it, or leaves the former one active and throws. */
async function start(
  name: string,
  request: BackendOptions & { auto: boolean },
): Promise<BackendDetails> {
  const former = engine().backendName;
  const provider = providers.get(name);
  if (!provider && !findBackendFactory(name)) throw new Error(howToGet(name));
  const details = provider
    ? await provider.start(request)
    : { library: 'a backend registered with tfjs', version: 'unknown', device: 'unknown' };
  if (await setBackend(name).catch(() => false)) {
    // Importing all of `@tensorflow/tfjs` after this package has put tfjs's own gradients back.
    registerGradients();
    return details;
  }
  // A failed switch leaves tfjs with the name of a backend that does not run.
  if (former) await setBackend(former);
  else Object.assign(engine(), { backendName: former });
  throw new Error(`tfjs could not initialise '${name}'`);
}

function howToGet(name: string): string {
  const known = [...providers.keys()].sort().join(', ');
  const from = PACKAGES[name];
  return from
    ? `its package is not loaded: npm install ${from}, then import '${from}' before useBackend`
    : `no such backend is registered; registered are ${known}`;
}

function unavailable(message: string, rejected: RejectedBackend[]): BackendUnavailableError {
  const reasons = rejected.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return new BackendUnavailableError(`${message} (${reasons})`, rejected);
}

/** A provider's verdict on the caller's options, which is no fault of the machine. */
const isBadOption = (error: unknown) =>
  (error instanceof TypeError || error instanceof RangeError) &&
  error.message.startsWith('useBackend: ');

/** tfjs rejects with plain objects that hold a message, too. */
const messageOf = (error: unknown) =>
  String((error as { message?: unknown } | undefined)?.message ?? error);

function remember(chosen: Chosen): BackendInfo {
  active.chosen = chosen;
  return backendInfo();
}

/**
 * What is active and why, also after tfjs's own `setBackend` changed it.
 * @throws Error if no backend is active yet
 */
export function backendInfo(): BackendInfo {
  if (!engine().backendName)
    throw new Error('backendInfo: no backend is active; await useBackend()');
  const name = getBackend();
  const chosen: Chosen =
    active.chosen?.name === name
      ? active.chosen
      : {
          name,
          reason: 'set through tfjs, not through useBackend',
          library: 'unknown',
          version: 'unknown',
          device: 'unknown',
          rejected: [],
        };
  const { numTensors, numBytes } = memory();
  return {
    ...chosen,
    fusedOps: fusedKernelNames(name),
    memory: { tensors: numTensors, bytes: numBytes },
  };
}
