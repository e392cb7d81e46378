/**
 * The few WebAssembly instructions that the kernels of this package need, and the frame of a module around them. Code is
 * lists of bytes; each helper leaves on the stack what its name says.
 * @see WebAssembly core specification 2.0, chapter 5 (binary format), with SIMD
 */

/** Instructions, encoded. */
export type Code = readonly number[];

/** Value types. */
export const TYPE = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 127;
    rest >>>= 7;
    bytes.push(rest > 0 ? low | 128 : low);
  } while (rest > 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 127;
    rest >>= 7;
    if ((rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0)) {
      bytes.push(low);
      return bytes;
    }
    bytes.push(low | 128);
  }
}

const simd = (opcode: number, ...rest: number[]): Code => [0xfd, ...unsigned(opcode), ...rest];
const chain = (...parts: Code[]): Code => parts.flat();

/** Reads local `i`. */
export const get = (i: number): Code => [0x20, ...unsigned(i)];
/** Local `i` = value. */
export const set = (i: number, value: Code): Code => chain(value, [0x21, ...unsigned(i)]);
/** Integer constant. */
export const int = (value: number): Code => [0x41, ...signed(value)];
/** Integer a + b. */
export const plus = (a: Code, b: Code): Code => chain(a, b, [0x6a]);
/** Integer a & b. */
export const and = (a: Code, b: Code): Code => chain(a, b, [0x71]);
/** Integer a << b. */
export const shift = (a: Code, b: number): Code => chain(a, int(b), [0x74]);
/** Local `i` += by. */
export const advance = (i: number, by: Code): Code => set(i, plus(get(i), by));

/** float32 at address + offset, and its store. */
export const load32 = (address: Code, offset = 0): Code =>
  chain(address, [0x2a, 2, ...unsigned(offset)]);
export const store32 = (address: Code, value: Code, offset = 0): Code =>
  chain(address, value, [0x38, 2, ...unsigned(offset)]);
/** Four float32 at address + offset, which need not be aligned, and their store. */
export const load128 = (address: Code, offset = 0): Code =>
  chain(address, simd(0x00, 2, ...unsigned(offset)));
export const store128 = (address: Code, value: Code, offset = 0): Code =>
  chain(address, value, simd(0x0b, 2, ...unsigned(offset)));

/** A float32 constant. */
export const float = (value: number): Code => [
  0x43,
  ...new Uint8Array(new Float32Array([value]).buffer),
];

/** Arithmetic of one float32, or of four. */
export interface Arithmetic {
  add(a: Code, b: Code): Code;
  sub(a: Code, b: Code): Code;
  mul(a: Code, b: Code): Code;
  div(a: Code, b: Code): Code;
  one: Code;
  load(address: Code, offset?: number): Code;
  store(address: Code, value: Code, offset?: number): Code;
}

export const single: Arithmetic = {
  add: (a, b) => chain(a, b, [0x92]),
  sub: (a, b) => chain(a, b, [0x93]),
  mul: (a, b) => chain(a, b, [0x94]),
  div: (a, b) => chain(a, b, [0x95]),
  one: float(1),
  load: load32,
  store: store32,
};
export const four: Arithmetic = {
  add: (a, b) => chain(a, b, simd(0xe4)),
  sub: (a, b) => chain(a, b, simd(0xe5)),
  mul: (a, b) => chain(a, b, simd(0xe6)),
  div: (a, b) => chain(a, b, simd(0xe7)),
  one: chain(float(1), simd(0x13)),
  load: load128,
  store: store128,
};
/** Four copies of a float32. */
export const splat = (value: Code): Code => chain(value, simd(0x13));
/** Four zeros. */
export const zeros: Code = simd(0x0c, ...new Array(16).fill(0));
/** float32 zero. */
export const zero32: Code = float(0);
/** One of the four. */
export const lane = (value: Code, i: number): Code => chain(value, simd(0x1f, i));
/** The four where their magnitude is at least `bound`, else 0. */
export const flushBelow = (value: Code, bound: Code): Code =>
  chain(value, value, simd(0xe0), bound, simd(0x46), simd(0x4e));
/** Whether any bit is set. */
export const anyBit = (value: Code): Code => chain(value, simd(0x53));
/** Whether a float32 is not 0. */
export const nonZero = (value: Code): Code => chain(value, zero32, [0x5c]);

/** `while (a < b) body`, unsigned integers. */
export const whileBelow = (a: Code, b: Code, ...body: Code[]): Code =>
  chain([0x02, 0x40, 0x03, 0x40], a, b, [0x49, 0x45, 0x0d, 1], ...body, [0x0c, 0, 0x0b, 0x0b]);
/** `if (condition) body`. */
export const when = (condition: Code, ...body: Code[]): Code =>
  chain(condition, [0x04, 0x40], ...body, [0x0b]);

/** `if (condition) a else b`. */
export const ifElse = (condition: Code, a: Code[], b: Code[]): Code =>
  chain(condition, [0x04, 0x40], ...a, [0x05], ...b, [0x0b]);

/** A function of a module. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Types of the locals after the parameters. */
  readonly locals: readonly number[];
  readonly body: Code;
}

const vector = (items: readonly Code[]): Code => chain(unsigned(items.length), ...items);
const section = (id: number, content: Code): Code => chain([id], unsigned(content.length), content);
const text = (value: string): Code => vector([...value].map((c) => [c.charCodeAt(0)]));

/** The bytes of a module with these functions, which works on the memory that it imports as `env.memory`. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, results }) =>
    chain([0x60], vector(parameters.map((t) => [t])), vector(results.map((t) => [t]))),
  );
  const bodies = functions.map(({ locals, body }) => {
    const content = chain(vector(locals.map((type) => [1, type])), body, [0x0b]);
    return chain(unsigned(content.length), content);
  });
  return Uint8Array.from(
    chain(
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, vector(types)),
      section(2, vector([chain(text('env'), text('memory'), [0x02, 0x00, 0x01])])),
      section(3, vector(functions.map((_, i) => unsigned(i)))),
      section(7, vector(functions.map(({ name }, i) => chain(text(name), [0x00], unsigned(i))))),
      section(10, vector(bodies)),
    ),
  );
}
