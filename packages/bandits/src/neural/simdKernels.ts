/** The loops of a network in WebAssembly SIMD, four float32 at a time: {@link Kernels} over the memory of an arena. */
import { type Kernels, SMALLEST_WEIGHT } from './kernels.js';
import {
  type Arithmetic,
  advance,
  and,
  anyBit,
  type Code,
  float,
  flushBelow,
  four,
  get,
  ifElse,
  int,
  lane,
  load32,
  load128,
  nonZero,
  plus,
  set,
  shift,
  single,
  splat,
  store32,
  TYPE,
  type WasmFunction,
  wasmModule,
  when,
  whileBelow,
  zero32,
  zeros,
} from './wasmBuilder.js';

const { i32, f32, v128 } = TYPE;

/** Locals by name: parameters first. */
function names(...list: string[]) {
  const index = new Map(list.map((name, i) => [name, i]));
  const at = (name: string) => {
    const i = index.get(name);
    if (i === undefined) throw new Error(`no local ${name}`);
    return i;
  };
  return { $: (name: string) => get(at(name)), at };
}

/** Element offsets to addresses. */
const addresses = (at: (name: string) => number, ...list: string[]): Code[] =>
  list.map((name) => set(at(name), shift(get(at(name)), 2)));

/** y[j] += Σ_i x[i] W[i][j]: rows four at a time, columns eight, four and one at a time; four zero rows are skipped. */
function addRows(): WasmFunction {
  const { $, at } = names(
    ...['w', 'x', 'm', 'n', 'y', 'stride', 'x4', 'xEnd', 'y8', 'y4', 'yEnd', 'p', 'q0', 'q1'],
    ...['q2', 'q3', 's0', 's1', 's2', 's3', 'v0', 'v1', 'v2', 'v3'],
  );
  const rows = [0, 1, 2, 3];
  /** One column group of the sum over `used` rows. */
  const columns = (math: Arithmetic, factor: string, used: number[], offset: number) => {
    const products = used.map((r) => math.mul($(`${factor}${r}`), math.load($(`q${r}`), offset)));
    const sum = products.reduce((a, b) => math.add(a, b));
    return math.store($('p'), math.add(math.load($('p'), offset), sum), offset);
  };
  const move = (used: number[], bytes: number): Code[] =>
    ['p', ...used.map((r) => `q${r}`)].map((name) => advance(at(name), int(bytes)));
  const sweep = (used: number[]): Code[] => [
    set(at('p'), $('y')),
    ...used.map((r) => set(at(`q${r}`), r === 0 ? $('w') : plus($(`q${r - 1}`), $('stride')))),
    ...used.map((r) => set(at(`v${r}`), load32($('x'), 4 * r))),
    ...used.map((r) => set(at(`s${r}`), splat($(`v${r}`)))),
    whileBelow(
      $('p'),
      $('y8'),
      columns(four, 's', used, 0),
      columns(four, 's', used, 16),
      ...move(used, 32),
    ),
    whileBelow($('p'), $('y4'), columns(four, 's', used, 0), ...move(used, 16)),
    whileBelow($('p'), $('yEnd'), columns(single, 'v', used, 0), ...move(used, 4)),
  ];
  const end = (start: string, count: Code) => plus($(start), shift(count, 2));
  return {
    name: 'addRows',
    parameters: [i32, i32, i32, i32, i32],
    results: [],
    locals: [...new Array(11).fill(i32), ...new Array(4).fill(v128), ...new Array(4).fill(f32)],
    body: [
      ...addresses(at, 'w', 'x', 'y'),
      set(at('stride'), shift($('n'), 2)),
      set(at('x4'), end('x', and($('m'), int(-4)))),
      set(at('xEnd'), end('x', $('m'))),
      set(at('y8'), end('y', and($('n'), int(-8)))),
      set(at('y4'), end('y', and($('n'), int(-4)))),
      set(at('yEnd'), end('y', $('n'))),
      whileBelow(
        $('x'),
        $('x4'),
        when(anyBit(load128($('x'))), ...sweep(rows)),
        advance(at('w'), shift($('stride'), 2)),
        advance(at('x'), int(16)),
      ),
      whileBelow(
        $('x'),
        $('xEnd'),
        when(nonZero(load32($('x'))), ...sweep([0])),
        advance(at('w'), $('stride')),
        advance(at('x'), int(4)),
      ),
    ].flat(),
  };
}

/** y[i] = Σ_j W[i][j] x[j]. */
function dotRows(): WasmFunction {
  const { $, at } = names(...['w', 'x', 'm', 'n', 'y', 'yEnd', 'x4', 'xEnd', 'p', 'sum', 'rest']);
  const lanes = [0, 1, 2, 3].map((i) => lane($('sum'), i)).reduce((a, b) => single.add(a, b));
  const step = (bytes: number): Code[] => [
    advance(at('w'), int(bytes)),
    advance(at('p'), int(bytes)),
  ];
  return {
    name: 'dotRows',
    parameters: [i32, i32, i32, i32, i32],
    results: [],
    locals: [i32, i32, i32, i32, v128, f32],
    body: [
      ...addresses(at, 'w', 'x', 'y'),
      set(at('yEnd'), plus($('y'), shift($('m'), 2))),
      set(at('x4'), plus($('x'), shift(and($('n'), int(-4)), 2))),
      set(at('xEnd'), plus($('x'), shift($('n'), 2))),
      whileBelow(
        $('y'),
        $('yEnd'),
        set(at('p'), $('x')),
        set(at('sum'), zeros),
        set(at('rest'), zero32),
        whileBelow(
          $('p'),
          $('x4'),
          set(at('sum'), four.add($('sum'), four.mul(load128($('w')), load128($('p'))))),
          ...step(16),
        ),
        whileBelow(
          $('p'),
          $('xEnd'),
          set(at('rest'), single.add($('rest'), single.mul(load32($('w')), load32($('p'))))),
          ...step(4),
        ),
        store32($('y'), single.add(lanes, $('rest'))),
        advance(at('y'), int(4)),
      ),
    ].flat(),
  };
}

/**
 * W[i][j] ← f(W[i][j]) − rate x[i] δ[j], with f(w) = w, keep·w, or a + keep (w − a). With `skip` rows of x = 0 are left
 * alone.
 */
function descend(name: string, pull: 'none' | 'zero' | 'anchor'): WasmFunction {
  const { $, at } = names(
    ...['w', 'x', 'm', 'n', 'd', 'rate', 'keep', 'skip', 'a', 'xEnd', 'd4', 'dEnd', 'p', 'next'],
    ...['v', 'vs', 'ks'],
  );
  const column = (math: Arithmetic, v: string, k: string) => {
    const w = math.load($('w'));
    const a = math.load($('a'));
    const kept = {
      none: w,
      zero: math.mul($(k), w),
      anchor: math.add(a, math.mul($(k), math.sub(w, a))),
    }[pull];
    return math.store($('w'), math.sub(kept, math.mul($(v), math.load($('p')))));
  };
  const step = (bytes: number): Code[] => [
    advance(at('w'), int(bytes)),
    ...(pull === 'anchor' ? [advance(at('a'), int(bytes))] : []),
    advance(at('p'), int(bytes)),
  ];
  const row: Code[] = [
    set(at('v'), single.mul($('rate'), load32($('x')))),
    set(at('vs'), splat($('v'))),
    set(at('p'), $('d')),
    whileBelow($('p'), $('d4'), column(four, 'vs', 'ks'), ...step(16)),
    whileBelow($('p'), $('dEnd'), column(single, 'v', 'keep'), ...step(4)),
  ];
  const bytes = shift($('n'), 2);
  return {
    name,
    parameters: [i32, i32, i32, i32, i32, f32, f32, i32, i32],
    results: [],
    locals: [i32, i32, i32, i32, i32, f32, v128, v128],
    body: [
      ...addresses(at, 'w', 'x', 'd', 'a'),
      set(at('ks'), splat($('keep'))),
      set(at('xEnd'), plus($('x'), shift($('m'), 2))),
      set(at('d4'), plus($('d'), shift(and($('n'), int(-4)), 2))),
      set(at('dEnd'), plus($('d'), bytes)),
      whileBelow(
        $('x'),
        $('xEnd'),
        set(at('next'), plus($('w'), bytes)),
        when(
          // skip & x = 0 leaves the row; `next` says where the following one is.
          [...nonZero(load32($('x'))), ...$('skip'), 0x45, 0x72],
          ...row,
        ),
        ...(pull === 'anchor' ? [set(at('a'), plus($('a'), [...$('next'), ...$('w'), 0x6b]))] : []),
        set(at('w'), $('next')),
        advance(at('x'), int(4)),
      ),
    ].flat(),
  };
}

/** U[i][j] += x[i] d[j], V = 1/U; rows of x = 0 are left alone. */
function raise(): WasmFunction {
  const { $, at } = names('u', 'v', 'x', 'm', 'n', 'd', 'xEnd', 'd4', 'dEnd', 'p', 's', 'ss');
  const column = (math: Arithmetic, s: string): Code[] => [
    math.store($('u'), math.add(math.load($('u')), math.mul($(s), math.load($('p'))))),
    math.store($('v'), math.div(math.one, math.load($('u')))),
  ];
  const step = (bytes: number) => ['u', 'v', 'p'].map((name) => advance(at(name), int(bytes)));
  const bytes = shift($('n'), 2);
  return {
    name: 'raise',
    parameters: [i32, i32, i32, i32, i32, i32],
    results: [],
    locals: [i32, i32, i32, i32, f32, v128],
    body: [
      ...addresses(at, 'u', 'v', 'x', 'd'),
      set(at('xEnd'), plus($('x'), shift($('m'), 2))),
      set(at('d4'), plus($('d'), shift(and($('n'), int(-4)), 2))),
      set(at('dEnd'), plus($('d'), bytes)),
      whileBelow(
        $('x'),
        $('xEnd'),
        set(at('s'), load32($('x'))),
        set(at('ss'), splat($('s'))),
        set(at('p'), $('d')),
        ifElse(
          nonZero($('s')),
          [
            whileBelow($('p'), $('d4'), ...column(four, 'ss'), ...step(16)),
            whileBelow($('p'), $('dEnd'), ...column(single, 's'), ...step(4)),
          ],
          [advance(at('u'), bytes), advance(at('v'), bytes)],
        ),
        advance(at('x'), int(4)),
      ),
    ].flat(),
  };
}

/** Σ 0·x: 0 if all are finite, else NaN. */
function finite(): WasmFunction {
  const { $, at } = names('x', 'n', 'x4', 'xEnd', 'sum', 'rest');
  const lanes = [0, 1, 2, 3].map((i) => lane($('sum'), i)).reduce((a, b) => single.add(a, b));
  return {
    name: 'zeroIfFinite',
    parameters: [i32, i32],
    results: [f32],
    locals: [i32, i32, v128, f32],
    body: [
      ...addresses(at, 'x'),
      set(at('x4'), plus($('x'), shift(and($('n'), int(-4)), 2))),
      set(at('xEnd'), plus($('x'), shift($('n'), 2))),
      set(at('sum'), zeros),
      set(at('rest'), zero32),
      whileBelow(
        $('x'),
        $('x4'),
        set(at('sum'), four.add($('sum'), four.mul(zeros, load128($('x'))))),
        advance(at('x'), int(16)),
      ),
      whileBelow(
        $('x'),
        $('xEnd'),
        set(at('rest'), single.add($('rest'), single.mul(zero32, load32($('x'))))),
        advance(at('x'), int(4)),
      ),
      single.add(lanes, $('rest')),
    ].flat(),
  };
}

/** x = 0 where |x| < 1e-20, in fours; a rest of less than four stays. */
function flush(): WasmFunction {
  const { $, at } = names('x', 'n', 'x4', 'bound');
  return {
    name: 'flush',
    parameters: [i32, i32],
    results: [],
    locals: [i32, v128],
    body: [
      ...addresses(at, 'x'),
      set(at('x4'), plus($('x'), shift(and($('n'), int(-4)), 2))),
      set(at('bound'), splat(float(SMALLEST_WEIGHT))),
      whileBelow(
        $('x'),
        $('x4'),
        four.store($('x'), flushBelow(load128($('x')), $('bound'))),
        advance(at('x'), int(16)),
      ),
    ].flat(),
  };
}

let compiled: WebAssembly.Module | null | undefined;

/** The module; undefined where WebAssembly or its SIMD is missing or forbidden. */
function simdModule(): WebAssembly.Module | undefined {
  if (compiled === undefined) {
    try {
      compiled = new WebAssembly.Module(
        wasmModule([
          addRows(),
          dotRows(),
          descend('descend', 'none'),
          descend('descendToZero', 'zero'),
          descend('descendToAnchor', 'anchor'),
          raise(),
          flush(),
          finite(),
        ]),
      );
    } catch {
      compiled = null;
    }
  }
  return compiled ?? undefined;
}

/** Kernels over a new memory of `bytes`; undefined where WebAssembly or its SIMD is missing or forbidden. */
export function simdKernels(bytes: number): { buffer: ArrayBuffer; kernels: Kernels } | undefined {
  const module = simdModule();
  if (!module) return undefined;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { addRows, dotRows, descend, descendToZero, descendToAnchor, raise, flush, zeroIfFinite } =
    exports as unknown as Record<string, (...numbers: number[]) => number>;
  return {
    buffer: memory.buffer,
    kernels: {
      addRows: addRows as Kernels['addRows'],
      dotRows: dotRows as Kernels['dotRows'],
      descend(w, x, m, n, d, { rate, keep, skip, anchor }) {
        const step = keep === 1 ? descend : anchor < 0 ? descendToZero : descendToAnchor;
        step!(w, x, m, n, d, rate, keep, skip ? 1 : 0, Math.max(anchor, 0));
      },
      raise: raise as Kernels['raise'],
      flush: flush as Kernels['flush'],
      isFinite: (x, n) => zeroIfFinite!(x, n) === 0,
    },
  };
}
