/**
 * Just enough WebAssembly, with SIMD, to write the loops of conjugate gradients in float64: instructions as lists of bytes,
 * and the module around them.
 * @see WebAssembly core specification 2.0, chapter 5
 */

/** Instructions, encoded. */
export type Code = readonly number[];

/** Value types: integer, float64, two float64. */
export const [I32, F64, V128] = [0x7f, 0x7c, 0x7b] as const;

/** LEB128, signed or not. */
function leb(value: number, signed: boolean): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const ends = signed ? rest === (low & 0x40 ? -1 : 0) : rest === 0;
    bytes.push(ends ? low : low | 0x80);
    if (ends) return bytes;
  }
}

const count = (n: number): number[] => leb(n, false);

/** A local of the function at hand. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
  /** Adds bytes to a pointer. */
  move(bytes: number): Code;
}

const local = (i: number): Local => ({
  get: [0x20, ...count(i)],
  set: (value) => [...value, 0x21, ...count(i)],
  move: (bytes) => [0x20, ...count(i), 0x41, ...leb(bytes, true), 0x6a, 0x21, ...count(i)],
});

const join =
  (...opcode: number[]) =>
  (...operands: Code[]): Code => [...operands.flat(), ...opcode];

/** Integers. */
export const plus = join(0x6a);
export const loadInt = (address: Code): Code => [...address, 0x28, 2, 0];

/** Arithmetic of one float64, or of two. */
export interface Arithmetic {
  add(a: Code, b: Code): Code;
  sub(a: Code, b: Code): Code;
  mul(a: Code, b: Code): Code;
  load(address: Code, offset?: number): Code;
  store(address: Code, value: Code, offset?: number): Code;
}

export const one: Arithmetic = {
  add: join(0xa0),
  sub: join(0xa1),
  mul: join(0xa2),
  load: (address, offset = 0) => [...address, 0x2b, 3, ...count(offset)],
  store: (address, value, offset = 0) => [...address, ...value, 0x39, 3, ...count(offset)],
};
export const two: Arithmetic = {
  add: join(0xfd, 0xf0, 0x01),
  sub: join(0xfd, 0xf1, 0x01),
  mul: join(0xfd, 0xf2, 0x01),
  load: (address, offset = 0) => [...address, 0xfd, 0, 3, ...count(offset)],
  store: (address, value, offset = 0) => [...address, ...value, 0xfd, 0x0b, 3, ...count(offset)],
};
/** Two copies of a float64. */
export const splat = join(0xfd, 0x14);
/** The sum of the two. */
export const sumOfTwo = ({ get }: Local): Code => [
  ...[...get, 0xfd, 0x21, 0],
  ...[...get, 0xfd, 0x21, 1],
  0xa0,
];

/** `while (a < b) body`, unsigned. */
export const whileBelow = (a: Code, b: Code, ...body: Code[]): Code => [
  ...[0x02, 0x40, 0x03, 0x40, ...a, ...b, 0x4f, 0x0d, 1],
  ...body.flat(),
  ...[0x0c, 0, 0x0b, 0x0b],
];

/** A function: parameters, further locals (0 at first), and what they compute. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly number[];
  readonly locals: readonly number[];
  /** Whether it leaves a float64. */
  readonly result: boolean;
  body(...locals: Local[]): Code;
}

const vector = (items: readonly Code[]): number[] => [...count(items.length), ...items.flat()];
const section = (id: number, content: Code): number[] => [id, ...count(content.length), ...content];
const text = (value: string): number[] => vector([...value].map((c) => [c.charCodeAt(0)]));

/** The bytes of a module over a memory that it imports as `env.memory`. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...vector(parameters.map((type) => [type])),
    ...vector(result ? [[F64]] : []),
  ]);
  const bodies = functions.map(({ parameters, locals, body }) => {
    const all = [...parameters, ...locals].map((_, i) => local(i));
    const content = [...vector(locals.map((type) => [1, type])), ...body(...all), 0x0b];
    return [...count(content.length), ...content];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, vector([[...text('env'), ...text('memory'), 0x02, 0x00, 0x01]])),
    ...section(3, vector(functions.map((_, i) => count(i)))),
    ...section(7, vector(functions.map(({ name }, i) => [...text(name), 0x00, ...count(i)]))),
    ...section(10, vector(bodies)),
  ]);
}
