/**
 * Discrete Fourier transforms over the last two or three axes, on every backend and with gradients of any order.
 *
 * They are products with real tables of cosines and sines: n multiply-adds a number and axis rather than log n, which up
 * to some hundred points a fast matrix product outruns, and the only kernels they need exist everywhere.
 */
import { checkInteger, checkTensor } from '@orth/backend';
import { reshape, slice, stack, type Tensor, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import { contract, permute } from './contract.js';
import { fourierTable, halfLength, multiplicity, range } from './tables.js';

/** A complex tensor as two real ones of one shape; tfjs's complex64 has no gradient and few kernels. */
export interface ComplexTensor {
  /** Real part, float32. */
  readonly re: Tensor;
  /** Imaginary part, float32. */
  readonly im: Tensor;
}

type Direction = 'forward' | 'inverse';

const points = (n: number) => range(0, n);

function complexTable(n: number, direction: Direction): Tensor2D {
  return fourierTable(`${direction}/${n}`, () =>
    direction === 'forward'
      ? { n, sign: -1, rows: points(n), columns: points(n) }
      : { n, sign: 1, rows: points(n), columns: points(n), factor: () => [1 / n, 0] },
  );
}

function realForwardTable(n: number): Tensor2D {
  return fourierTable(`realForward/${n}`, () => ({
    n,
    sign: -1,
    rows: points(n),
    columns: range(0, halfLength(n)),
    realInput: true,
  }));
}

function realInverseTable(n: number): Tensor2D {
  return fourierTable(`realInverse/${n}`, () => ({
    n,
    sign: 1,
    rows: range(0, halfLength(n)),
    columns: points(n),
    factor: (k) => [multiplicity(k, n) / n, 0],
    realOutput: true,
  }));
}

/**
 * Packed form: `[part, lead, a_1 … a_d]` in any order of axes, part 0 real and 1 imaginary. `order` says which axis of the
 * natural form stands where.
 */
interface Packed {
  readonly data: Tensor;
  readonly order: readonly number[];
}

/** Brings the part and `axis` to the end and multiplies by `table`. */
function along({ data, order }: Packed, axis: number, table: Tensor2D, parts = 2): Packed {
  const others = order.filter((a) => a !== 0 && a !== axis);
  const next = [...others, 0, axis];
  const moved = permute(
    data,
    next.map((a) => order.indexOf(a)),
  );
  const length = table.shape[1] / parts;
  return { data: contract(moved, table, [parts, length]), order: next };
}

function natural({ data, order }: Packed): Tensor {
  return permute(
    data,
    order.map((_, axis) => order.indexOf(axis)),
  );
}

/** Splits the packed natural form into parts of the given shape. */
function split(packed: Tensor, shape: readonly number[]) {
  const [, ...rest] = packed.shape;
  const part = (index: number) =>
    reshape(slice(packed, [index, ...rest.map(() => 0)], [1, ...rest]), [...shape]);
  return { re: part(0), im: part(1) };
}

function checkComplex(caller: string, z: ComplexTensor, minRank: number): void {
  if (typeof z !== 'object' || z === null) {
    throw new TypeError(`${caller}: z must be { re, im }, got ${String(z)}`);
  }
  checkTensor(caller, 'z.re', z.re, { minRank });
  checkTensor(caller, 'z.im', z.im, { shape: z.re.shape });
}

/** Merges all but the last `axes` axes into one. */
function merged(x: Tensor, axes: number): Tensor {
  return reshape(x, [-1, ...x.shape.slice(x.rank - axes)]);
}

const packedOrder = (axes: number) => range(0, axes + 2);

function complexTransform(
  caller: string,
  z: ComplexTensor,
  axes: number,
  direction: Direction,
): ComplexTensor {
  checkComplex(caller, z, axes);
  return tidy(() => {
    let packed: Packed = {
      data: stack([merged(z.re, axes), merged(z.im, axes)]),
      order: packedOrder(axes),
    };
    for (let axis = axes + 1; axis >= 2; axis--) {
      packed = along(packed, axis, complexTable(z.re.shape.at(axis - axes - 2)!, direction));
    }
    return split(natural(packed), z.re.shape);
  });
}

function realForward(caller: string, x: Tensor, axes: number): ComplexTensor {
  checkTensor(caller, 'x', x, { minRank: axes });
  return tidy(() => {
    const n = x.shape.at(-1)!;
    const first = contract(merged(x, axes), realForwardTable(n), [2, halfLength(n)], 1);
    let packed: Packed = { data: first, order: [...range(1, axes + 1), 0, axes + 1] };
    for (let axis = axes; axis >= 2; axis--) {
      packed = along(packed, axis, complexTable(x.shape.at(axis - axes - 2)!, 'forward'));
    }
    return split(natural(packed), [...x.shape.slice(0, -1), halfLength(n)]);
  });
}

function realInverse(
  caller: string,
  z: ComplexTensor,
  axes: number,
  length: number | undefined,
): Tensor {
  checkComplex(caller, z, axes);
  const half = z.re.shape.at(-1)!;
  const n = length ?? 2 * (half - 1);
  checkInteger(caller, 'length', n, { min: 1 });
  if (halfLength(n) !== half) {
    throw new RangeError(
      `${caller}: length must be ${2 * half - 2} or ${2 * half - 1} for a half spectrum of ${half}, got ${n}`,
    );
  }
  return tidy(() => {
    let packed: Packed = {
      data: stack([merged(z.re, axes), merged(z.im, axes)]),
      order: packedOrder(axes),
    };
    for (let axis = 2; axis <= axes; axis++) {
      packed = along(packed, axis, complexTable(z.re.shape.at(axis - axes - 2)!, 'inverse'));
    }
    const real = along(packed, axes + 1, realInverseTable(n), 1);
    return reshape(natural(real), [...z.re.shape.slice(0, -1), n]);
  });
}

/**
 * Two-dimensional discrete Fourier transform over the last two axes, `Σ z exp(−2πi(k_x x/n_x + k_y y/n_y))`.
 *
 * Any lengths; frequencies in the order 0, 1, …, −1; numpy's `fft2`. Differentiable.
 * @param z - parts of shape `[…, n_x, n_y]`
 * @returns the same shape
 * @throws TypeError or RangeError unless both parts are float32 tensors of one shape with rank >= 2
 * @example
 * const { re, im } = fft2({ re: x, im: zerosLike(x) });
 */
export const fft2 = (z: ComplexTensor): ComplexTensor => complexTransform('fft2', z, 2, 'forward');

/** Inverse of {@link fft2}, divided by `n_x n_y`. @throws as {@link fft2} */
export const ifft2 = (z: ComplexTensor): ComplexTensor =>
  complexTransform('ifft2', z, 2, 'inverse');

/** {@link fft2} over the last three axes. @throws as {@link fft2}, for rank < 3 */
export const fft3 = (z: ComplexTensor): ComplexTensor => complexTransform('fft3', z, 3, 'forward');

/** Inverse of {@link fft3}. @throws as {@link fft2}, for rank < 3 */
export const ifft3 = (z: ComplexTensor): ComplexTensor =>
  complexTransform('ifft3', z, 3, 'inverse');

/**
 * Transform of a real tensor over its last two axes; of the last axis only frequencies 0 … ⌊n/2⌋ are kept, the others
 * being their conjugates. numpy's `rfft2`. Differentiable.
 * @param x - shape `[…, n_x, n_y]`, float32
 * @returns parts of shape `[…, n_x, ⌊n_y/2⌋ + 1]`
 * @throws TypeError or RangeError unless `x` is a float32 tensor with rank >= 2
 */
export const rfft2 = (x: Tensor): ComplexTensor => realForward('rfft2', x, 2);

/**
 * Inverse of {@link rfft2}. Imaginary parts that a real tensor cannot have are dropped, as numpy's `irfft2` does.
 * @param z - parts of shape `[…, n_x, h]`
 * @param length - of the last axis, 2h − 2 or 2h − 1. Default 2h − 2
 * @throws TypeError or RangeError for a bad shape or a length that does not go with `h`
 */
export const irfft2 = (z: ComplexTensor, length?: number): Tensor =>
  realInverse('irfft2', z, 2, length);

/** {@link rfft2} over the last three axes. @throws as {@link rfft2}, for rank < 3 */
export const rfft3 = (x: Tensor): ComplexTensor => realForward('rfft3', x, 3);

/** Inverse of {@link rfft3}; see {@link irfft2}. @throws as {@link irfft2} */
export const irfft3 = (z: ComplexTensor, length?: number): Tensor =>
  realInverse('irfft3', z, 3, length);
