/**
 * The inner loop of `hostProduct`, as a WebAssembly module of some 400 bytes written out here, and the same in
 * JavaScript for places without its vector instructions. Both add the same products in the same order, without fused
 * multiply-adds, so their results agree bit for bit.
 *
 * A `[m, k]` and B `[k, n]`, m and n multiples of 4, lie in panels of 4 rows and 4 columns, `[m / 4, k, 4]` and
 * `[n / 4, k, 4]`; C `[m, n]` is row-major.
 */

/** Entries of each side of a tile. */
export const TILE = 4;

/** Float64 memory and the product on it; offsets count entries. */
export interface TileKernel {
  /** Memory of at least `entries` numbers; what was in it may be lost. */
  memory(entries: number): Float64Array;
  multiply(a: number, b: number, c: number, m: number, n: number, k: number): void;
}

let kernel: TileKernel | undefined;

/** The fastest kernel that starts here. */
export function tileKernel(): TileKernel {
  kernel ??= wasmKernel() ?? scalarKernel();
  return kernel;
}

// Types and instructions of WebAssembly's binary format that are used below.
const I32 = 0x7f;
const V128 = 0x7b;
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const constant = (value: number) => [0x41, ...signed(value)];
const ADD = 0x6a;
const MULTIPLY = 0x6c;
const vector = (code: number) => [0xfd, ...unsigned(code)];
const load = (offset: number) => [...vector(0), 3, ...unsigned(offset)];
const loadSplat = (offset: number) => [...vector(10), 3, ...unsigned(offset)];
const store = (offset: number) => [...vector(11), 3, ...unsigned(offset)];
const ZERO = [...vector(12), ...new Array<number>(16).fill(0)];
const VECTOR_ADD = vector(240);
const VECTOR_MULTIPLY = vector(242);

function unsigned(value: number): number[] {
  const rest = value >>> 7;
  return rest === 0 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(rest)];
}

function signed(value: number): number[] {
  const rest = value >> 7;
  const done = (rest === 0 && !(value & 0x40)) || (rest === -1 && (value & 0x40) !== 0);
  return done ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(rest)];
}

const increase = (local: number, by: number[]) => [...get(local), ...by, ADD, ...set(local)];
/** Runs `body`, lowers `counter` by `step`, and goes on while it is not 0. */
const repeat = (counter: number, step: number, body: number[]) => [
  ...[0x03, 0x40],
  ...body,
  ...increase(counter, constant(-step)),
  ...get(counter),
  ...[0x0d, 0],
  0x0b,
];

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const [a, b, c, m, n, k, rows, columns, left, pa, pb] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const [b0, b1, x, firstSum] = [11, 12, 13, 14];
  const sums = Array.from({ length: 8 }, (_, i) => firstSum + i);
  const bytesOfPanelRow = 8 * TILE;
  const stride = [...get(n), ...constant(8), MULTIPLY];
  const inner = [
    ...[...get(pb), ...load(0), ...set(b0), ...get(pb), ...load(16), ...set(b1)],
    ...[0, 1, 2, 3].flatMap((row) => [
      ...[...get(pa), ...loadSplat(8 * row), ...set(x)],
      ...[b0, b1].flatMap((factor, half) => [
        ...get(sums[2 * row + half]!),
        ...[...get(x), ...get(factor), ...VECTOR_MULTIPLY, ...VECTOR_ADD],
        ...set(sums[2 * row + half]!),
      ]),
    ]),
    ...increase(pa, constant(bytesOfPanelRow)),
    ...increase(pb, constant(bytesOfPanelRow)),
  ];
  // The address of a tile's row moves down three times and back by what is left to the next tile.
  const storeTile = [0, 1, 2, 3].flatMap((row) => [
    ...[...get(c), ...get(sums[2 * row]!), ...store(0)],
    ...[...get(c), ...get(sums[2 * row + 1]!), ...store(16)],
    ...(row < 3 ? increase(c, stride) : []),
  ]);
  const back = increase(c, [
    ...constant(bytesOfPanelRow),
    ...[...stride, ...constant(-3), MULTIPLY, ADD],
  ]);
  const body = [
    ...[...get(m), ...set(rows)],
    ...repeat(rows, TILE, [
      ...[...get(n), ...set(columns), ...get(b), ...set(pb)],
      ...repeat(columns, TILE, [
        ...[...get(a), ...set(pa), ...get(k), ...set(left)],
        ...sums.flatMap((sum) => [...ZERO, ...set(sum)]),
        ...repeat(left, 1, inner),
        ...storeTile,
        ...back,
      ]),
      ...[...get(pa), ...set(a)],
      ...increase(c, [...stride, ...constant(3), MULTIPLY]),
    ]),
    0x0b,
  ];
  const section = (id: number, content: number[]) => [id, ...unsigned(content.length), ...content];
  const text = (word: string) => [word.length, ...[...word].map((letter) => letter.charCodeAt(0))];
  const locals = [2, ...[5, I32], ...[11, V128]];
  const code = [...locals, ...body];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 6, I32, I32, I32, I32, I32, I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...text('memory'), 2, 0, ...text('multiply'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

const PAGE = 65536;

/** Undefined where WebAssembly, its vector instructions, or the compilation of code are not to be had. */
export function wasmKernel(): TileKernel | undefined {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
    const memory = exports.memory as WebAssembly.Memory;
    const multiply = exports.multiply as TileKernel['multiply'];
    let view = new Float64Array(memory.buffer);
    return {
      memory(entries) {
        const missing = 8 * entries - memory.buffer.byteLength;
        if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
        if (view.buffer !== memory.buffer) view = new Float64Array(memory.buffer);
        return view;
      },
      multiply: (a, b, c, m, n, k) => multiply(8 * a, 8 * b, 8 * c, m, n, k),
    };
  } catch {
    return undefined;
  }
}

/** In JavaScript: a tile's sixteen sums stay in registers. */
export function scalarKernel(): TileKernel {
  let x = new Float64Array(0);
  return {
    memory(entries) {
      if (x.length < entries) x = new Float64Array(entries);
      return x;
    },
    multiply(a, b, c, m, n, k) {
      for (let i = 0; i < m; i += TILE) {
        for (let j = 0; j < n; j += TILE) tile(x, a + i * k, b + j * k, c + i * n + j, n, k);
      }
    },
  };
}

function tile(x: Float64Array, a: number, b: number, c: number, n: number, k: number): void {
  let [c00, c01, c02, c03] = [0, 0, 0, 0];
  let [c10, c11, c12, c13] = [0, 0, 0, 0];
  let [c20, c21, c22, c23] = [0, 0, 0, 0];
  let [c30, c31, c32, c33] = [0, 0, 0, 0];
  for (let p = 0; p < TILE * k; p += TILE) {
    const a0 = x[a + p]!;
    const a1 = x[a + p + 1]!;
    const a2 = x[a + p + 2]!;
    const a3 = x[a + p + 3]!;
    const b0 = x[b + p]!;
    const b1 = x[b + p + 1]!;
    const b2 = x[b + p + 2]!;
    const b3 = x[b + p + 3]!;
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
  }
  const put = (at: number, v0: number, v1: number, v2: number, v3: number) => {
    x[at] = v0;
    x[at + 1] = v1;
    x[at + 2] = v2;
    x[at + 3] = v3;
  };
  put(c, c00, c01, c02, c03);
  put(c + n, c10, c11, c12, c13);
  put(c + 2 * n, c20, c21, c22, c23);
  put(c + 3 * n, c30, c31, c32, c33);
}
