/** Index arithmetic on the host: which axes a kernel needs. */

/** Elements between neighbours along each axis, row-major. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** Strides of an operand in a result that it is broadcast to: 0 along axes that it lacks or has one element of. */
export function broadcastStrides(operand: readonly number[], result: readonly number[]): number[] {
  const missing = result.length - operand.length;
  const own = stridesOf(operand);
  return result.map((_, axis) => {
    const at = axis - missing;
    return at < 0 || operand[at] === 1 ? 0 : own[at]!;
  });
}

/** Axes and, for each view, strides. */
export interface Layout {
  readonly shape: number[];
  readonly strides: number[][];
}

/** Drops axes of one element, and joins neighbours that every view walks as one; at least one axis is left. */
export function collapse(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
): Layout {
  const out: Layout = { shape: [], strides: strides.map(() => []) };
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const last = out.shape.length - 1;
    const joins =
      last >= 0 && strides.every((view, k) => out.strides[k]![last] === view[axis]! * size);
    if (joins) {
      out.shape[last] = out.shape[last]! * size;
      strides.forEach((view, k) => {
        out.strides[k]![last] = view[axis]!;
      });
    } else {
      out.shape.push(size);
      strides.forEach((view, k) => {
        out.strides[k]!.push(view[axis]!);
      });
    }
  });
  if (out.shape.length === 0) {
    out.shape.push(1);
    for (const view of out.strides) view.push(0);
  }
  return out;
}

/** A copy of a list with one entry replaced. */
export const replaced = (list: readonly number[], at: number, value: number): number[] =>
  list.map((old, i) => (i === at ? value : old));

/** A copy of a list with `remove` entries from `at` on replaced by others. */
export const spliced = (
  list: readonly number[],
  at: number,
  remove: number,
  ...insert: number[]
): number[] => [...list.slice(0, at), ...insert, ...list.slice(at + remove)];
