/** Where WebGPU comes from: the browser's `navigator.gpu`, or Dawn in Node. */
import { globalRegistry } from '@orth/backend';
import { explainNoDawn, explainNoNavigatorGpu, isNode, surroundings } from './explain.js';

interface Dawn {
  create(flags: readonly string[]): GPU;
  readonly globals: Record<string, unknown>;
}

/** One Dawn a process: a second instance over the first leaves promises of the first unresolved. */
const dawn = globalRegistry('webgpu-dawn', () => ({ gpu: undefined as GPU | undefined }));

/**
 * WebGPU's entry point. In Node it loads the package `webgpu` and puts its classes and `navigator.gpu` where tfjs looks
 * for them, which must happen before tfjs's backend is loaded.
 *
 * @param flags - for Dawn; read when it is first created
 * @throws Error that says what is missing
 */
export async function findGpu(flags: readonly string[] = []): Promise<GPU> {
  const present = (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
  if (present) return present;
  if (!isNode()) throw new Error(explainNoNavigatorGpu(surroundings()));
  dawn.gpu ??= await createDawn(flags);
  publish(dawn.gpu);
  return dawn.gpu;
}

async function createDawn(flags: readonly string[]): Promise<GPU> {
  // An optional peer: bundlers must not look for it, nor type checkers.
  const name: string = 'webgpu';
  let loaded: Dawn;
  try {
    loaded = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  } catch (cause) {
    throw new Error(explainNoDawn(cause), { cause });
  }
  Object.assign(globalThis, loaded.globals);
  return loaded.create([...flags]);
}

/** Node 20 has no navigator; later ones have one without `gpu`. */
function publish(gpu: GPU): void {
  if (!globalThis.navigator) {
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  }
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
}
