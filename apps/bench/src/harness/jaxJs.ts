import type { AbsentPeer, Contestant, Peer } from './contestant.js';
import { messageOf } from './errors.js';
import { packageVersion } from './packageVersion.js';
import type { HostTensor } from './pythonPeers.js';

type JaxJs = typeof import('@jax-js/jax');
/** jax-js's array: an operation consumes its arguments, unless it is given their `ref`. */
type JaxArray = ReturnType<JaxJs['numpy']['array']>;

const NAME = `jax-js ${packageVersion('@jax-js/jax')} wasm`;

let loading: Promise<JaxJs> | undefined;

/** jax-js on its WebAssembly backend: WebGPU apart, the fastest it has. */
async function load(): Promise<JaxJs> {
  // Node has had a navigator since 21, and jax-js asks it for the number of cores.
  if (typeof navigator === 'undefined') {
    const { availableParallelism } = await import('node:os');
    Object.assign(globalThis, { navigator: { hardwareConcurrency: availableParallelism() } });
  }
  const jax = await import('@jax-js/jax');
  if (!(await jax.init('wasm')).includes('wasm')) throw new Error('it has no wasm here');
  jax.defaultDevice('wasm');
  return jax;
}

/** A computation in jax-js. */
export interface JaxPeer {
  readonly inputs: readonly HostTensor[];
  /** The result from the inputs' references. */
  readonly compute: (jax: JaxJs, ...inputs: JaxArray[]) => JaxArray;
  error(output: HostTensor): number;
}

/** jax-js as a peer, or the reason why it cannot be one here. */
export async function jaxJs({ inputs, compute, error }: JaxPeer): Promise<Peer> {
  let jax: JaxJs;
  let arrays: JaxArray[];
  try {
    loading ??= load();
    jax = await loading;
    arrays = inputs.map(({ shape, data }) => jax.numpy.array(data.slice()).reshape([...shape]));
    const trial = compute(jax, ...arrays.map((x) => x.ref));
    await trial.blockUntilReady();
    trial.dispose();
  } catch (cause) {
    return { name: NAME, absent: messageOf(cause) } satisfies AbsentPeer;
  }
  const run = () => compute(jax, ...arrays.map((x) => x.ref));
  return {
    name: NAME,
    async time(runs) {
      const start = performance.now();
      for (let i = 0; i < runs; i++) {
        const result = run();
        await result.blockUntilReady();
        result.dispose();
      }
      return performance.now() - start;
    },
    async error() {
      const result = run();
      const { shape } = result;
      return error({ shape, data: Float32Array.from((await result.data()) as Float32Array) });
    },
    dispose() {
      for (const x of arrays) x.dispose();
    },
  } satisfies Contestant;
}
