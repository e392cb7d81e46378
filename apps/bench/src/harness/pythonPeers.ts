import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Contestant, Peer } from './contestant.js';
import { messageOf } from './errors.js';
import { PythonWorker, UNSET_FOR_PEERS, type WorkerHello } from './pythonWorker.js';

/** A float32 array with its shape, row-major. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What a script of `peers/` is given. */
export interface PythonInput {
  readonly params: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, HostTensor>>;
}

/** A peer written in PyTorch: a file of `peers/` with `prepare(inputs, params)`. */
export interface PythonPeer extends PythonInput {
  /** File name without `.py`. */
  readonly script: string;
  /** What it does, in the table: `torch 1.13, 1 thread: <label>`. */
  readonly label?: string;
  /** Error of the outputs against float64. */
  error(outputs: HostTensor[]): number;
  /** What to run for {@link error}, where that is not what is timed. */
  readonly accuracy?: PythonInput;
}

/** Interpreters to try, in this order: `ORTH_PYTHON` alone where it is set. */
export const pythonCandidates = (environment = process.env): string[] =>
  environment.ORTH_PYTHON ? [environment.ORTH_PYTHON] : ['python3', '/usr/bin/python3'];

/** The first interpreter that imports torch, or why there is none. */
export async function findPython(
  candidates: readonly string[] = pythonCandidates(),
): Promise<{ python: string } | { absent: string }> {
  const reasons: string[] = [];
  for (const python of candidates) {
    try {
      await promisify(execFile)(python, ['-c', 'import torch'], { timeout: 60_000 });
      return { python };
    } catch (error) {
      const { code, stderr } = error as { code?: unknown; stderr?: string };
      const last = stderr?.trim().split('\n').at(-1);
      reasons.push(`${python}: ${code === 'ENOENT' ? 'not found' : last || messageOf(error)}`);
    }
  }
  const hint = 'set ORTH_PYTHON to a python3 with torch';
  return { absent: `no Python with torch (${reasons.join('; ')}); ${hint}` };
}

/** Runs PyTorch peers beside our code: one process for one thread, one for all cores, started when first needed. */
export class PythonPeers {
  private found: ReturnType<typeof findPython> | undefined;
  private readonly workers = new Map<number, PythonWorker>();
  private folder: string | undefined;
  private files = 0;
  private readonly hellos: WorkerHello[] = [];

  /**
   * @param peers - file URL of the folder with `worker.py` and the scripts
   * @param candidates - see {@link findPython}
   */
  constructor(
    private readonly peers: URL,
    private readonly candidates: readonly string[] = pythonCandidates(),
  ) {}

  /**
   * The peer with one thread, as wasm has, and with all cores where there are more: one or two entries, absent with the
   * reason where torch cannot be had.
   */
  async torch(peer: PythonPeer): Promise<Peer[]> {
    this.found ??= findPython(this.candidates);
    const found = await this.found;
    const threads = [...new Set([1, availableParallelism()])];
    return Promise.all(
      threads.map(async (count): Promise<Peer> => {
        const suffix = `, ${count} ${count === 1 ? 'thread' : 'threads'}`;
        const label = peer.label ? `: ${peer.label}` : '';
        if ('absent' in found) return { name: `torch${suffix}${label}`, absent: found.absent };
        try {
          const worker = this.worker(found.python, count);
          const hello = await worker.hello;
          if (!this.hellos.includes(hello)) this.hellos.push(hello);
          const name = `torch ${hello.torch} (${hello.blas})${suffix}${label}`;
          return this.contestant(worker, name, hello.threads, peer);
        } catch (error) {
          return { name: `torch${suffix}${label}`, absent: messageOf(error) };
        }
      }),
    );
  }

  private worker(python: string, threads: number): PythonWorker {
    let worker = this.workers.get(threads);
    if (!worker) {
      worker = new PythonWorker(python, this.peers, threads);
      this.workers.set(threads, worker);
    }
    return worker;
  }

  private contestant(
    worker: PythonWorker,
    name: string,
    threads: number,
    peer: PythonPeer,
  ): Contestant {
    let id: unknown;
    return {
      name,
      threads,
      time: async (runs) => {
        id ??= await this.prepare(worker, peer.script, peer);
        return Number((await worker.request({ op: 'time', id, runs })).ms);
      },
      error: async () => {
        const own = await this.prepare(worker, peer.script, peer.accuracy ?? peer);
        const outputs = await this.outputs(worker, own);
        await worker.request({ op: 'release', id: own });
        return peer.error(outputs);
      },
      dispose: async () => {
        if (id !== undefined) await worker.request({ op: 'release', id });
        id = undefined;
      },
    };
  }

  private async prepare(worker: PythonWorker, script: string, input: PythonInput) {
    this.folder ??= await mkdtemp(join(tmpdir(), 'orth-bench-'));
    const inputs: Record<string, { file: string; shape: readonly number[] }> = {};
    for (const [name, { shape, data }] of Object.entries(input.inputs)) {
      const file = join(this.folder, `input${this.files++}`);
      await writeFile(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      inputs[name] = { file, shape };
    }
    try {
      return (await worker.request({ op: 'prepare', script, params: input.params, inputs })).id;
    } finally {
      await Promise.all(Object.values(inputs).map(({ file }) => rm(file)));
    }
  }

  private async outputs(worker: PythonWorker, id: unknown): Promise<HostTensor[]> {
    const answer = await worker.request({ op: 'outputs', id, folder: this.folder });
    const written = answer.outputs as { file: string; shape: number[] }[];
    return Promise.all(
      written.map(async ({ file, shape }) => {
        const bytes = await readFile(file);
        await rm(file);
        // A copy: a Buffer may start where no float32 may.
        return { shape, data: new Float32Array(new Uint8Array(bytes).buffer) };
      }),
    );
  }

  /** Libraries that ran, by name. */
  libraries(): Record<string, string> {
    const [hello] = this.hellos;
    return hello ? { python: hello.python, torch: `${hello.torch} with ${hello.blas}` } : {};
  }

  /** What a reader must know to judge the peers' times. */
  notes(): string[] {
    if (this.hellos.length === 0) return [];
    const set = UNSET_FOR_PEERS.filter((name) => process.env[name] !== undefined);
    const notes = [
      `torch runs in a process of its own, timed inside it, without ${UNSET_FOR_PEERS.join(' and ')}` +
        (set.length > 0 ? ` (set here: ${set.join(', ')})` : ' (neither is set here)'),
    ];
    if (this.hellos.some(({ blas }) => blas === 'reference BLAS')) {
      notes.push(
        'torch computes with the reference BLAS here, some fifty times slower than OpenBLAS: these times say nothing ' +
          'about torch. On Debian: apt-get install libopenblas0-pthread',
      );
    }
    return notes;
  }

  /** Ends the processes and removes the files. */
  async close(): Promise<void> {
    for (const worker of this.workers.values()) worker.close();
    this.workers.clear();
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
    this.folder = undefined;
  }
}
