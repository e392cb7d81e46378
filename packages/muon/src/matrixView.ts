/**
 * A kernel of any rank seen as a batch of matrices. Which axes are rows and which columns follows from the layout:
 * tfjs stores dense kernels `[in, out]` and convolutions `[…spatial, in, out]` (`'inOut'`), PyTorch `[out, in]` and
 * `[out, in, …spatial]` (`'outIn'`). Orthogonalisation commutes with transposition and permutation, so the layout only
 * decides what is flattened, split, and fed to the learning-rate factor.
 */
import { checkInteger } from '@orth/backend';
import {
  concat,
  reshape,
  split,
  type Tensor,
  type Tensor3D,
  transpose,
} from '@tensorflow/tfjs-core';

/** Where a kernel keeps its outputs: last (`'inOut'`, tfjs) or first (`'outIn'`, PyTorch). */
export type Layout = 'inOut' | 'outIn';

/** Options of {@link matrixView}. */
export interface MatrixViewOptions {
  readonly layout: Layout;
  readonly convMode: 'flatten' | 'batched';
  readonly batchAxes?: readonly number[];
  readonly split?: readonly number[];
  readonly heads?: number;
  readonly splitAxis?: 'output' | 'input';
}

/** How a kernel becomes matrices and back. */
export interface MatrixView {
  /** Axis order that puts batch axes first, then rows, then columns; absent when they are so already. */
  readonly permutation?: readonly number[];
  /** Sizes in that order. */
  readonly permuted: readonly number[];
  /** Matrices in the batch before any split. */
  readonly batch: number;
  /** Rows and columns before any split. */
  readonly rows: number;
  readonly columns: number;
  /** Where the matrices are split, if they are. */
  readonly split?: { readonly axis: 'rows' | 'columns'; readonly sizes: readonly number[] };
  /** Shapes of the matrices after the split, with how many there are of each, and what the learning-rate factor needs. */
  readonly pieces: readonly MatrixPiece[];
}

/** Equal matrices of one kernel. */
export interface MatrixPiece {
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
  readonly outSize: number;
  readonly inSize: number;
}

const product = (sizes: readonly number[]) => sizes.reduce((p, n) => p * n, 1);

/**
 * Works out the matrices in a kernel.
 * @throws RangeError if the shape is empty or has fewer than two axes beside `batchAxes`, an axis does not exist, `split` does not sum
 *   to the axis' size, or `heads` does not divide it
 */
export function matrixView(
  caller: string,
  shape: readonly number[],
  options: MatrixViewOptions,
): MatrixView {
  const { layout, convMode, batchAxes = [], splitAxis = 'output' } = options;
  const named = new Set(
    batchAxes.map((axis) => {
      checkInteger(caller, 'batchAxes', axis, { min: -shape.length, below: shape.length });
      return axis < 0 ? axis + shape.length : axis;
    }),
  );
  const free = shape.map((_, axis) => axis).filter((axis) => !named.has(axis));
  if (free.length < 2) {
    throw new RangeError(
      `${caller}: a matrix must have rank >= 2 beside batchAxes, got shape [${shape}]`,
    );
  }
  if (shape.includes(0)) {
    throw new RangeError(`${caller}: a matrix must not be empty, got shape [${shape}]`);
  }
  const inOut = layout === 'inOut';
  const flat = convMode === 'flatten';
  // The axis pair [in, out] sits at the end of a tfjs kernel and [out, in] at the start of a PyTorch kernel.
  const spatial = flat ? [] : inOut ? free.slice(0, -2) : free.slice(2);
  const rest = free.filter((axis) => !spatial.includes(axis));
  const rowAxes = inOut ? rest.slice(0, -1) : rest.slice(0, 1);
  const columnAxes = inOut ? rest.slice(-1) : rest.slice(1);
  const order = [...[...named].sort((a, b) => a - b), ...spatial, ...rowAxes, ...columnAxes];
  const sizesOf = (axes: readonly number[]) => product(axes.map((axis) => shape[axis]!));
  const [rows, columns] = [sizesOf(rowAxes), sizesOf(columnAxes)];
  const batch = sizesOf([...named, ...spatial]);

  const onColumns = inOut === (splitAxis === 'output');
  const length = onColumns ? columns : rows;
  const sizes = splitSizes(caller, length, splitAxis, options);
  const counts = new Map<number, number>();
  for (const size of sizes) counts.set(size, (counts.get(size) ?? 0) + batch);
  const pieces = [...counts].map(([size, count]) => {
    const [m, n] = onColumns ? [rows, size] : [size, columns];
    return { count, rows: m, columns: n, outSize: inOut ? n : m, inSize: inOut ? m : n };
  });
  return {
    ...(order.some((axis, i) => axis !== i) && { permutation: order }),
    permuted: order.map((axis) => shape[axis]!),
    batch,
    rows,
    columns,
    ...(sizes.length > 1 && { split: { axis: onColumns ? 'columns' : 'rows', sizes } as const }),
    pieces,
  };
}

function splitSizes(
  caller: string,
  length: number,
  axis: string,
  { split: sizes, heads }: MatrixViewOptions,
): readonly number[] {
  if (sizes && heads !== undefined) {
    throw new TypeError(`${caller}: split and heads must not both be given`);
  }
  if (heads !== undefined) {
    checkInteger(caller, 'heads', heads, { min: 1 });
    if (length % heads !== 0) {
      throw new RangeError(`${caller}: heads must divide the ${axis} size ${length}, got ${heads}`);
    }
    return Array<number>(heads).fill(length / heads);
  }
  if (!sizes) return [length];
  for (const size of sizes) checkInteger(caller, 'split', size, { min: 1 });
  const sum = sizes.reduce((total, size) => total + size, 0);
  if (sum !== length) {
    throw new RangeError(
      `${caller}: split must sum to the ${axis} size ${length}, got [${sizes}] with sum ${sum}`,
    );
  }
  return sizes;
}

/**
 * Matrices of `count` kernels.
 * @param kernels - `[count, …shape]`
 * @returns for each of `view.pieces` a batch `[count·pieces, rows, columns]`
 */
export function toMatrices(kernels: Tensor, view: MatrixView): Tensor3D[] {
  const { permutation, batch, rows, columns, split: parts } = view;
  const count = kernels.shape[0]! * batch;
  const moved = permutation ? transpose(kernels, [0, ...permutation.map((a) => a + 1)]) : kernels;
  const whole = reshape(moved, [count, rows, columns]) as Tensor3D;
  if (!parts) return [whole];
  const { axis, sizes } = parts;
  if (new Set(sizes).size === 1) {
    const [n, size] = [sizes.length, sizes[0]!];
    if (axis === 'rows') return [reshape(whole, [count * n, size, columns])];
    const apart = transpose(reshape(whole, [count, rows, n, size]), [0, 2, 1, 3]);
    return [reshape(apart, [count * n, rows, size])];
  }
  const slices = split(whole, [...sizes], axis === 'rows' ? 1 : 2) as Tensor3D[];
  return [...new Set(sizes)].map((size) => {
    const equal = slices.filter((_, i) => sizes[i] === size);
    return equal.length === 1 ? equal[0]! : (concat(equal, 0) as Tensor3D);
  });
}

/**
 * Inverse of {@link toMatrices}.
 * @returns `[count, …shape]` of the kernels
 */
export function fromMatrices(
  matrices: readonly Tensor3D[],
  view: MatrixView,
  count: number,
): Tensor {
  const { permutation, permuted, batch, rows, split: parts } = view;
  let whole: Tensor = matrices[0]!;
  if (parts) {
    const { axis, sizes } = parts;
    const n = sizes.length;
    if (new Set(sizes).size === 1) {
      if (axis === 'columns') {
        const apart = reshape(whole, [count * batch, n, rows, sizes[0]!]);
        whole = transpose(apart, [0, 2, 1, 3]);
      }
    } else {
      const queues = new Map(
        [...new Set(sizes)].map((size, i) => {
          const equal = sizes.filter((s) => s === size).length;
          return [size, equal === 1 ? [matrices[i]!] : split(matrices[i]!, equal, 0)];
        }),
      );
      const slices = sizes.map((size) => queues.get(size)!.shift()!);
      whole = concat(slices, axis === 'rows' ? 1 : 2);
    }
  }
  const moved = reshape(whole, [count, ...permuted]);
  if (!permutation) return moved;
  const back = permutation.map((_, axis) => permutation.indexOf(axis) + 1);
  return reshape(transpose(moved, [0, ...back]), [
    count,
    ...back.map((axis) => permuted[axis - 1]!),
  ]);
}
