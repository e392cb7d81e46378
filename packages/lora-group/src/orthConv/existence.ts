import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { type ConvPadding, PADDINGS, type PerAxis, perAxis, product } from './convShape.js';

/** A convolution layer; see {@link orthogonalConvExists}. */
export interface ConvLayer {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Taps on each axis. */
  readonly kernel: PerAxis;
  /** Default 1 */
  readonly stride?: PerAxis;
  /** Default `'circular'` */
  readonly padding?: ConvPadding;
  /** Side of the input; without it the answer is for large inputs. */
  readonly size?: PerAxis;
  /** Spatial axes, 1 or 2. Default: as many as `kernel`, `stride` or `size` have numbers, else 2 */
  readonly dim?: 1 | 2;
}

/** Whether a layer can be orthogonal. */
export interface ConvExistence {
  /** Whether a kernel exists for which it is; undefined where that is not known (small inputs without padding). */
  readonly exists: boolean | undefined;
  /** `'row'`: orthonormal rows are asked for (out < in · ΠS); `'column'`: orthonormal columns; `'square'`: both. */
  readonly case: 'row' | 'column' | 'square';
  /** Whether all such kernels are trivial: a 1×1 convolution, or tiles that do not overlap. */
  readonly trivial: boolean;
  /** Why, in a sentence. */
  readonly reason: string;
}

const OPTIONS = ['inChannels', 'outChannels', 'kernel', 'stride', 'padding', 'size', 'dim'];

interface Axis {
  readonly k: number;
  readonly S: number;
  /** Side of the input, or Infinity. */
  readonly size: number;
}

/**
 * Whether a convolution layer's matrix can have orthonormal rows (or columns, if fewer), and why.
 *
 * - `'circular'`: rows, iff `out <= in Π min(k, S)`; columns, iff `S <= k` on each axis. For `out <= in ΠS` and square kernels
 *   these are the theorem's `M <= C k^d` and `S <= k`.
 * - `'same'`, `'zero'`: as for `'circular'`, but only by kernels that see no padding: at stride 1 all taps but one are 0, else
 *   all but a block of S taps an axis. Border outputs see part of the kernel only and must have norm 1 too.
 * - `'valid'`: columns never, but for tiles (k = S) and some inputs little larger than the kernel: the corner of the input is seen
 *   by one tap only. Rows as for `'circular'`, and for small inputs more often.
 *
 * @throws TypeError or RangeError for an argument that is no layer, an input that is no multiple of the stride (circular), or
 *   smaller than the kernel (valid)
 * @example
 * orthogonalConvExists({ inChannels: 4, outChannels: 40, kernel: 3, stride: 4 });
 * // { exists: false, case: 'row', trivial: false, reason: 'M = 40 filters cannot be orthonormal: …' }
 * @see Achour, Malgouyres, Mamalet 2022, theorem 4 (circular); the other paddings derived here
 */
export function orthogonalConvExists(layer: ConvLayer): ConvExistence {
  const caller = 'orthogonalConvExists';
  checkOptions(caller, layer, OPTIONS);
  const { inChannels: C, outChannels: M, kernel, stride = 1, padding = 'circular' } = layer;
  checkInteger(caller, 'inChannels', C, { min: 1 });
  checkInteger(caller, 'outChannels', M, { min: 1 });
  checkOneOf(caller, 'padding', padding, PADDINGS);
  const lists = [kernel, stride, layer.size].filter((x) => Array.isArray(x)) as number[][];
  const dim = layer.dim ?? lists[0]?.length ?? 2;
  checkOneOf(caller, 'dim', dim, [1, 2]);
  const k = perAxis(caller, 'kernel', kernel, dim);
  const S = perAxis(caller, 'stride', stride, dim);
  const size = layer.size === undefined ? undefined : perAxis(caller, 'size', layer.size, dim);
  const axes = k.map((taps, i): Axis => ({ k: taps, S: S[i]!, size: size?.[i] ?? Infinity }));
  for (const axis of axes) checkSize(caller, axis, padding);
  if (padding === 'valid') return valid(M, C, axes);
  return padding === 'circular' ? circular(M, C, axes) : zero(M, C, axes);
}

function checkSize(caller: string, { k, S, size }: Axis, padding: ConvPadding): void {
  if (size === Infinity) return;
  if (padding === 'circular' && size % S !== 0) {
    throw new RangeError(`${caller}: size must be a multiple of the stride ${S}, got ${size}`);
  }
  if (padding === 'valid' && size < k) {
    throw new RangeError(`${caller}: size must be >= the kernel's ${k}, got ${size}`);
  }
}

const caseOf = (M: number, square: number) =>
  M < square ? 'row' : M > square ? 'column' : 'square';

function circular(M: number, C: number, axes: readonly Axis[]): ConvExistence {
  const square = C * product(axes.map(({ S }) => S));
  const kind = caseOf(M, square);
  // A kernel larger than the input wraps around and is no more than the input.
  const taps = axes.map(({ k, size }) => Math.min(k, size));
  const answer = (exists: boolean, reason: string): ConvExistence => ({
    exists,
    case: kind,
    trivial: false,
    reason,
  });
  if (kind === 'column') {
    const blind = axes.findIndex(({ S }, i) => S > taps[i]!);
    if (blind < 0) {
      return answer(true, `every input is seen, and M = ${M} >= C ΠS = ${square}`);
    }
    const { S } = axes[blind]!;
    const gap = `a kernel of ${taps[blind]} at stride ${S} never sees some inputs`;
    return answer(false, `columns cannot be orthonormal: ${gap}, whose columns are 0`);
  }
  const most = C * product(axes.map(({ S }, i) => Math.min(taps[i]!, S)));
  if (M <= most) return answer(true, `M = ${M} <= C Π min(k, S) = ${most}`);
  return answer(
    false,
    `M = ${M} filters cannot be orthonormal: M > C Π min(k, S) = ${most}, the inputs that one position has to itself`,
  );
}

function zero(M: number, C: number, axes: readonly Axis[]): ConvExistence {
  const padded = axes.filter(({ k, S }) => k > S);
  const whole = circular(
    M,
    C,
    axes.map(({ k, S }) => ({ k, S, size: Infinity })),
  );
  if (padded.length === 0) return { ...whole, trivial: axes.some(({ k }) => k > 1) };
  if (!whole.exists) {
    // Some outputs must see the whole kernel for the norms of border outputs to say so.
    const inner = axes.every(({ k, S, size }) => {
      const before = Math.floor((k - S) / 2);
      const outputs = Math.ceil(size / S);
      return k <= S || outputs - 1 >= Math.ceil(before / S) + Math.ceil((k - S - before) / S);
    });
    return inner
      ? whole
      : { ...whole, exists: undefined, reason: 'not known for so small an input' };
  }
  const block = axes.every(({ S }) => S === 1)
    ? 'all taps but one are 0, a 1×1 convolution'
    : 'all taps are 0 but a block of S an axis, tiles that do not overlap';
  return {
    ...whole,
    trivial: true,
    reason: `only kernels of which ${block}: outputs at the border see part of the kernel, and must have norm 1 too`,
  };
}

/** Outputs on an axis without padding. */
const outputsOf = ({ k, S, size }: Axis) =>
  size === Infinity ? Infinity : Math.floor((size - k) / S) + 1;

/** Inputs on an axis that some output sees, a lower bound of the axis' size. */
const seenOf = ({ k, S }: Axis, outputs: number) => (S >= k ? outputs * k : S * (outputs - 1) + k);

function valid(M: number, C: number, axes: readonly Axis[]): ConvExistence {
  const outputs = axes.map(outputsOf);
  const finite = outputs.every((count) => count !== Infinity);
  const square = C * product(axes.map(({ S }) => S));
  const rows = M * product(outputs);
  const columns = C * product(axes.map(({ size }) => size));
  const kind = finite ? caseOf(rows, columns) : caseOf(M, square);
  const answer = (
    exists: boolean | undefined,
    trivial: boolean,
    reason: string,
  ): ConvExistence => ({
    exists,
    case: kind,
    trivial,
    reason,
  });
  const once = axes.every((axis, i) => seenOnce(axis, outputs[i]!));
  if (kind === 'column' || kind === 'square') {
    if (once) return answer(true, true, 'every input can be seen by one output alone');
    if (kind === 'column' || finite) {
      const why =
        'an input at the border is seen by fewer taps than others, and must have norm 1 too';
      return answer(false, false, `columns cannot be orthonormal: ${why}`);
    }
  }
  // Where all shifts at which filters overlap occur, the conditions are those of a circular layer.
  const allShifts = axes.every(({ k, S }, i) => outputs[i]! > Math.floor((k - 1) / S));
  const most = C * product(axes.map((axis, i) => packed(axis, outputs[i]!)));
  if (M <= most) {
    const bound = finite && !allShifts ? 'taps that no two outputs share' : 'C Π min(k, S)';
    return answer(true, false, `M = ${M} <= ${most}, ${bound}`);
  }
  if (allShifts) {
    return answer(
      false,
      false,
      `M = ${M} filters cannot be orthonormal: M > C Π min(k, S) = ${most}`,
    );
  }
  const seen = C * product(axes.map((axis, i) => seenOf(axis, outputs[i]!)));
  if (rows > seen) {
    return answer(false, false, `${rows} rows cannot be orthonormal: only ${seen} inputs are seen`);
  }
  return answer(undefined, false, 'not known for so small an input');
}

/**
 * Whether taps can be chosen so that each input of an axis is seen by one output, else its columns cannot all have norm 1. The
 * first S inputs are seen by the first S taps alone, so these have norm 1; hence the taps S further on are 0 while there are
 * outputs, and so on with the number of outputs for a period, which must fit the last S taps too.
 */
function seenOnce({ k, S, size }: Axis, outputs: number): boolean {
  if (size === Infinity) return k === S;
  if (size !== S * (outputs - 1) + k) return false;
  return outputs === 1 || (k % S === 0 && (k / S - 1) % outputs === 0);
}

/** The most taps on an axis no two of which differ by a shift between outputs. */
function packed({ k, S }: Axis, outputs: number): number {
  let taps = 0;
  for (let residue = 0; residue < Math.min(S, k); residue++) {
    taps += Math.ceil(Math.ceil((k - residue) / S) / outputs || 1);
  }
  return taps;
}
