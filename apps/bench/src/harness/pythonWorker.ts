import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { messageOf } from './errors.js';

/** What a worker says about itself when it starts. */
export interface WorkerHello {
  readonly python: string;
  readonly torch: string;
  /** The library behind torch's matrix products. */
  readonly blas: string;
  readonly threads: number;
}

type Answer = Readonly<Record<string, unknown>>;

/** Settings that slow BLAS down on some machines: a peer must not run under them. */
export const UNSET_FOR_PEERS = ['OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE'] as const;

/** The environment of a peer with a fixed number of threads. */
export function peerEnvironment(threads: number, base = process.env): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...base };
  for (const name of UNSET_FOR_PEERS) delete environment[name];
  // torch.set_num_threads does not reach a BLAS with threads of its own; these do.
  for (const library of ['OMP', 'OPENBLAS', 'MKL', 'BLIS']) {
    environment[`${library}_NUM_THREADS`] = String(threads);
  }
  return environment;
}

/** A Python process that executes peers on request: `peers/worker.py` has the protocol. */
export class PythonWorker {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = [];
  private complaint = '';
  private ended: Error | undefined;
  /** What runs there. */
  readonly hello: Promise<WorkerHello>;

  constructor(python: string, peers: URL, threads: number) {
    const script = fileURLToPath(new URL('worker.py', peers));
    this.child = spawn(python, [script], { env: peerEnvironment(threads) });
    this.child.stderr.on('data', (text) => {
      this.complaint = `${this.complaint}${text}`.slice(-2000);
    });
    this.child.on('error', (error) => this.end(error));
    this.child.on('close', (code) => {
      const last = this.complaint.trim().split('\n').at(-1);
      this.end(new Error(`${python} ended with code ${code}${last ? `: ${last}` : ''}`));
    });
    // A write to a process that is gone also ends in 'close', which tells why.
    this.child.stdin.on('error', () => {});
    createInterface({ input: this.child.stdout }).on('line', (line) => this.take(line));
    this.hello = this.answer() as Promise<unknown> as Promise<WorkerHello>;
    // Whoever asks sees the failure; nobody asking is no reason to end this process.
    this.hello.catch(() => {});
  }

  private take(line: string): void {
    const waiter = this.waiting.shift();
    try {
      const answer = JSON.parse(line) as Answer;
      if (typeof answer.error === 'string') throw new Error(answer.error);
      waiter?.resolve(answer);
    } catch (error) {
      waiter?.reject(new Error(messageOf(error)));
    }
  }

  private end(error: Error): void {
    this.ended ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.ended);
  }

  private answer(): Promise<Answer> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /**
   * Sends one request and gives the answer.
   * @throws Error with Python's message, or when the process is gone
   */
  async request(request: object): Promise<Answer> {
    if (!this.ended) this.child.stdin.write(`${JSON.stringify(request)}\n`);
    return this.answer();
  }

  /** Ends the process. */
  close(): void {
    this.child.stdin.end();
    this.child.kill();
  }
}
