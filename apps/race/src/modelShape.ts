import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';

/** Bytes are the vocabulary. */
export const BYTES = 256;

/** Sizes of a {@link Gpt}. */
export interface ModelShape {
  /** Transformer blocks. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly width: number;
  /** Attention heads; divides `width`. */
  readonly heads: number;
  /** Width of the MLP's hidden layer. */
  readonly hidden: number;
  /** Most bytes the model can look back on, and the bytes in a row of a batch. */
  readonly context: number;
}

/** Ready-made sizes; trained numbers: tiny 0.09 M, small 0.46 M, medium 3.3 M. */
export const SIZES = {
  tiny: { layers: 1, width: 64, heads: 2, hidden: 256, context: 32 },
  small: { layers: 2, width: 128, heads: 4, hidden: 512, context: 64 },
  medium: { layers: 4, width: 256, heads: 8, hidden: 1024, context: 128 },
} as const satisfies Record<string, ModelShape>;

/** Name of a ready-made size. */
export type SizeName = keyof typeof SIZES;

/** Width of a head where only layers and width are given. */
const HEAD_WIDTH = 32;

/**
 * Reads a size: a name of {@link SIZES}, or `LAYERSxWIDTH` or `LAYERSxWIDTHxHEADS`, such as `3x192` or `3x192x6`; the
 * MLP is then four times as wide as the residual stream and a head 32 wide (or as near as it divides).
 *
 * @param context - bytes the model looks back on; default: the named size's, or small's
 * @throws RangeError if `size` is neither, or a number is out of range
 */
export function parseSize(size: string, context?: number): ModelShape {
  const numbers = /^(\d+)x(\d+)(?:x(\d+))?$/.exec(size);
  if (!numbers) {
    checkOneOf('parseSize', 'size', size, Object.keys(SIZES) as SizeName[]);
    return checkShape('parseSize', { ...SIZES[size], ...(context !== undefined && { context }) });
  }
  const [layers, width] = [Number(numbers[1]), Number(numbers[2])];
  const heads = numbers[3] ? Number(numbers[3]) : Math.max(1, Math.floor(width / HEAD_WIDTH));
  return checkShape('parseSize', {
    layers,
    width,
    heads,
    hidden: 4 * width,
    context: context ?? SIZES.small.context,
  });
}

/**
 * Demands a usable shape.
 * @throws RangeError or TypeError that names the number at fault
 */
export function checkShape(caller: string, shape: ModelShape): ModelShape {
  checkOptions(caller, shape, ['layers', 'width', 'heads', 'hidden', 'context']);
  checkInteger(caller, 'layers', shape.layers, { min: 1, max: 64 });
  checkInteger(caller, 'width', shape.width, { min: 2, max: 4096 });
  checkInteger(caller, 'heads', shape.heads, { min: 1, max: shape.width });
  checkInteger(caller, 'hidden', shape.hidden, { min: 1, max: 16384 });
  checkInteger(caller, 'context', shape.context, { min: 2, max: 2048 });
  if (shape.width % shape.heads === 0) return shape;
  throw new RangeError(`${caller}: heads must divide width ${shape.width}, got ${shape.heads}`);
}
