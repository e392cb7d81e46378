import type { CType, Foreign } from './foreign.js';
import { blasCandidates } from './locate.js';

/** A row-major float32 product `C = op(A) op(B)`; `leading` numbers are the columns as stored. */
export interface BlasProduct {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** A BLAS with a C interface. */
export interface Blas {
  /** File it came from. */
  readonly path: string;
  /** What the library says about itself, or its file's name. */
  readonly version: string;
  /**
   * Whether its own threads are stopped by a fork, as those of OpenBLAS on POSIX threads are: a product that another
   * thread of the process has under way then waits for ever.
   */
  readonly stopsAtFork: boolean;
  multiply(product: BlasProduct): void;
}

/** CblasRowMajor, CblasNoTrans, CblasTrans of cblas.h. */
const ROW_MAJOR = 101;
const PLAIN = 111;
const TRANSPOSED = 112;

const SGEMM: readonly CType[] = [
  ...Array<CType>(6).fill('int'),
  'float',
  'address',
  'int',
  'address',
  'int',
  'float',
  'address',
  'int',
];

/** openblas_get_parallel() of a build on POSIX threads; OpenMP, which gives 2, survives a fork. */
const POSIX_THREADS = 1;

/** Setters of the number of threads; Accelerate has none and decides by itself. */
const THREAD_SETTERS = ['openblas_set_num_threads', 'MKL_Set_Num_Threads'];

/**
 * Opens the BLAS at `path`.
 * @throws Error if there is none or it has no C interface
 */
export function openBlas(foreign: Foreign, path: string, threads: number): Blas {
  const library = foreign.load(path);
  const sgemm = library.function<void>('cblas_sgemm', 'void', SGEMM);
  for (const name of THREAD_SETTERS) library.optional<void>(name, 'void', ['int'])?.(threads);
  const parallel = library.optional<number>('openblas_get_parallel', 'int', []);
  const describe = library.optional<string>('openblas_get_config', 'string', []);
  return {
    path,
    version: describe ? describe().trim() : (path.split(/[\\/]/).at(-1) ?? path),
    stopsAtFork: threads > 1 && parallel?.() === POSIX_THREADS,
    multiply({ transposeA, transposeB, m, n, k, a, b, c }) {
      sgemm(
        ROW_MAJOR,
        transposeA ? TRANSPOSED : PLAIN,
        transposeB ? TRANSPOSED : PLAIN,
        m,
        n,
        k,
        1,
        a,
        transposeA ? m : k,
        b,
        transposeB ? k : n,
        0,
        c,
        n,
      );
    },
  };
}

/**
 * Opens the best BLAS of the system.
 * @throws Error that lists what was tried
 */
export function openSystemBlas(foreign: Foreign, threads: number): Blas {
  const candidates = blasCandidates();
  for (const path of candidates) {
    try {
      return openBlas(foreign, path, threads);
    } catch {
      // Not here, or without the C interface: the next one.
    }
  }
  throw new Error(
    `no system BLAS is here (looked for ${candidates.join(', ')}); on Debian: apt install libopenblas0-pthread`,
  );
}
