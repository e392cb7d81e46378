/** The loops of conjugate gradients in WebAssembly SIMD. */
import {
  type Arithmetic,
  type Code,
  F64,
  I32,
  type Local,
  loadInt,
  one,
  plus,
  splat,
  sumOfTwo,
  two,
  V128,
  type WasmFunction,
  wasmModule,
  whileBelow,
} from './wasmCode.js';

/** Most entries of a row, or diagonals, that a kernel is made for. */
export const MAX_TAPS = 9;

/** Kernels over one memory; addresses in bytes, lengths of vectors padded with zeros to a multiple of 4. */
export interface CgKernels {
  /** y = A x by compressed rows, whose column indices are in bytes. `pointers` from the second to `end`. */
  csr(pointers: number, end: number, indices: number, values: number, x: number, y: number): void;
  /** xᵀy */
  dot(x: number, end: number, y: number): number;
  /** x += α p, r −= α Ap; gives rᵀr. */
  advance(x: number, end: number, p: number, r: number, Ap: number, alpha: number): number;
  /** p = z + β p */
  turn(p: number, end: number, z: number, beta: number): void;
}

/**
 * `y[i] = Σ_k c_k x[i + o_k]` for i in some runs: a table with where each run begins and ends, in bytes from y; then how far
 * each `x + o_k` is from y, in bytes; then c_k.
 */
export type TapsKernel = (
  table: number,
  tableEnd: number,
  y: number,
  ...distancesAndFactors: number[]
) => void;

/** `y[i] = Σ_k d_k[i] x[i + o_k]` for y up to `end`: how far each d_k is from y in bytes, then each `x + o_k`. */
export type BandsKernel = (y: number, end: number, ...distances: number[]) => void;

const csr: WasmFunction = {
  name: 'csr',
  parameters: [I32, I32, I32, I32, I32, I32],
  locals: [I32, F64],
  result: false,
  body: (pointer, end, index, value, x, y, rowEnd, sum) => {
    // `rowEnd` first keeps where the indices begin, to which pointers (in bytes) are relative.
    const entry: Code[] = [
      sum!.set(
        one.add(
          sum!.get,
          one.mul(one.load(value!.get), one.load(plus(x!.get, loadInt(index!.get)))),
        ),
      ),
      index!.move(4),
      value!.move(8),
    ];
    return whileBelow(
      pointer!.get,
      end!.get,
      rowEnd!.set(loadInt(pointer!.get)),
      sum!.set([0x44, 0, 0, 0, 0, 0, 0, 0, 0]),
      whileBelow(index!.get, rowEnd!.get, ...entry),
      one.store(y!.get, sum!.get),
      pointer!.move(4),
      y!.move(8),
    );
  },
};

const dot: WasmFunction = {
  name: 'dot',
  parameters: [I32, I32, I32],
  locals: [V128, V128],
  result: true,
  body: (x, end, y, s, t) => [
    ...whileBelow(
      x!.get,
      end!.get,
      s!.set(two.add(s!.get, two.mul(two.load(x!.get), two.load(y!.get)))),
      t!.set(two.add(t!.get, two.mul(two.load(x!.get, 16), two.load(y!.get, 16)))),
      x!.move(32),
      y!.move(32),
    ),
    ...s!.set(two.add(s!.get, t!.get)),
    ...sumOfTwo(s!),
  ],
};

const advance: WasmFunction = {
  name: 'advance',
  parameters: [I32, I32, I32, I32, I32, F64],
  locals: [V128, V128, V128, V128],
  result: true,
  body: (x, end, p, r, Ap, alpha, a, next, s, t) => {
    const half = (offset: number, sum: Local): Code[] => [
      two.store(
        x!.get,
        two.add(two.load(x!.get, offset), two.mul(a!.get, two.load(p!.get, offset))),
        offset,
      ),
      next!.set(two.sub(two.load(r!.get, offset), two.mul(a!.get, two.load(Ap!.get, offset)))),
      two.store(r!.get, next!.get, offset),
      sum.set(two.add(sum.get, two.mul(next!.get, next!.get))),
    ];
    return [
      ...a!.set(splat(alpha!.get)),
      ...whileBelow(
        x!.get,
        end!.get,
        ...half(0, s!),
        ...half(16, t!),
        ...[x!, p!, r!, Ap!].map((pointer) => pointer.move(32)),
      ),
      ...s!.set(two.add(s!.get, t!.get)),
      ...sumOfTwo(s!),
    ];
  },
};

const turn: WasmFunction = {
  name: 'turn',
  parameters: [I32, I32, I32, F64],
  locals: [V128],
  result: false,
  body: (p, end, z, beta, b) => {
    const half = (offset: number): Code =>
      two.store(
        p!.get,
        two.add(two.load(z!.get, offset), two.mul(b!.get, two.load(p!.get, offset))),
        offset,
      );
    return [
      ...b!.set(splat(beta!.get)),
      ...whileBelow(p!.get, end!.get, half(0), half(16), p!.move(32), z!.move(32)),
    ];
  },
};

/** Runs of rows that are alike: two rows at a time, and one at the end of a run. */
function taps(terms: number): WasmFunction {
  const each = <T>(value: T): T[] => new Array(terms).fill(value);
  return {
    name: 'taps',
    parameters: [I32, I32, I32, ...each(I32), ...each(F64)],
    locals: [I32, I32, I32, ...each(V128)],
    result: false,
    body: (run, runsEnd, start, ...rest) => {
      const distances = rest.slice(0, terms);
      const factors = rest.slice(terms, 2 * terms);
      const [y, end, last] = rest.slice(2 * terms) as [Local, Local, Local];
      const pairs = rest.slice(2 * terms + 3);
      const rows = (math: Arithmetic, c: readonly Local[]): Code => {
        const products = distances.map((distance, k) =>
          math.mul(c[k]!.get, math.load(plus(y.get, distance.get))),
        );
        return math.store(
          y.get,
          products.reduce((a, b) => math.add(a, b)),
        );
      };
      return [
        ...pairs.flatMap((pair, k) => pair.set(splat(factors[k]!.get))),
        ...whileBelow(
          run!.get,
          runsEnd!.get,
          y.set(plus(start!.get, loadInt(run!.get))),
          end.set(plus(start!.get, loadInt(plus(run!.get, [0x41, 4])))),
          last.set(plus(end.get, [0x41, 0x78])),
          whileBelow(y.get, last.get, rows(two, pairs), y.move(16)),
          whileBelow(y.get, end.get, rows(one, factors), y.move(8)),
          run!.move(8),
        ),
      ];
    },
  };
}

/** A banded matrix, diagonal by diagonal: everything is as far from y as it was at the start, so that only y moves. */
function bands(terms: number): WasmFunction {
  return {
    name: 'bands',
    parameters: [I32, I32, ...new Array<number>(2 * terms).fill(I32)],
    locals: [],
    result: false,
    body: (y, end, ...distances) => {
      const products = Array.from({ length: terms }, (_, k) =>
        two.mul(
          two.load(plus(y!.get, distances[k]!.get)),
          two.load(plus(y!.get, distances[terms + k]!.get)),
        ),
      );
      const sum = products.reduce((a, b) => two.add(a, b));
      return whileBelow(y!.get, end!.get, two.store(y!.get, sum), y!.move(16));
    },
  };
}

/** Modules by name, of a few hundred bytes each: small enough to be compiled at once, everywhere. Null: not to be had. */
const modules = new Map<string, WebAssembly.Module | null>();

/** The functions of a module over a memory; undefined where there is no WebAssembly with SIMD, or it may not be compiled. */
function load<T>(
  name: string,
  functions: () => readonly WasmFunction[],
  memory: WebAssembly.Memory,
): T | undefined {
  let module = modules.get(name);
  if (module === undefined) {
    try {
      module = new WebAssembly.Module(wasmModule(functions()));
    } catch {
      module = null;
    }
    modules.set(name, module);
  }
  if (!module) return undefined;
  return new WebAssembly.Instance(module, { env: { memory } }).exports as T;
}

/** The kernels over a memory; undefined where there is no WebAssembly with SIMD. */
export const cgKernels = (memory: WebAssembly.Memory): CgKernels | undefined =>
  load('cg', () => [csr, dot, advance, turn], memory);

/** The kernel for runs of rows with so many entries. */
export const tapsKernel = (memory: WebAssembly.Memory, terms: number): TapsKernel | undefined =>
  load<{ taps: TapsKernel }>(`taps${terms}`, () => [taps(terms)], memory)?.taps;

/** The kernel for matrices with so many diagonals. */
export const bandsKernel = (memory: WebAssembly.Memory, terms: number): BandsKernel | undefined =>
  load<{ bands: BandsKernel }>(`bands${terms}`, () => [bands(terms)], memory)?.bands;
