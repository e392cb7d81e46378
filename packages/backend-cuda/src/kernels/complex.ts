/** complex64: real and imaginary parts interleaved, so that most kernels take it as float32 with a last axis of 2. */
import {
  broadcast_util,
  type DataType,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import type { Expression } from '../sources/elementwise.js';
import { copyView, takeView } from './copyView.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, pairs, relabel, withWorkspace } from './kernel.js';
import { stridesOf } from './strides.js';

/** Real numbers' dtypes by a kernel that converts them to float32. */
const TO_FLOAT: Expression = { name: 'Cast', code: 'x' };

/** The real (0) or imaginary (1) parts, as float32. */
export function partOf(backend: CudaBackend, z: TensorInfo, part: 0 | 1): TensorInfo {
  const strides = stridesOf(z.shape).map((stride) => 2 * stride);
  return takeView(backend, z.shape, {
    info: relabel(z, z.shape, 'float32'),
    offset: part,
    strides,
  });
}

function fromParts(backend: CudaBackend, real: TensorInfo, imag?: TensorInfo): TensorInfo {
  const { shape } = real;
  const out = backend.makeOutput(shape, 'complex64');
  const strides = stridesOf(shape).map((stride) => 2 * stride);
  const target = relabel(out, shape, 'float32');
  withWorkspace(backend, (space) => {
    [real, imag].forEach((part, offset) => {
      const to = { info: target, offset, strides };
      if (!part) {
        const zero = space.keep(backend.makeTensor([1], 'float32', new Float32Array(1)));
        copyView(backend, shape, { info: zero, strides: strides.map(() => 0) }, to);
        return;
      }
      const floats =
        part.dtype === 'float32'
          ? part
          : space.keep(evaluate(backend, TO_FLOAT, [part], { shape, dtype: 'float32' }));
      copyView(backend, shape, { info: floats }, to);
    });
  });
  return out;
}

/** Complex to real numbers: the imaginary part goes. */
export function castFromComplex(backend: CudaBackend, z: TensorInfo, dtype: DataType): TensorInfo {
  const real = partOf(backend, z, 0);
  if (dtype === 'float32') return real;
  const out = evaluate(backend, TO_FLOAT, [real], { shape: z.shape, dtype });
  backend.disposeData(real.dataId);
  return out;
}

/** Real numbers with an imaginary part of 0. */
export const castToComplex = (backend: CudaBackend, x: TensorInfo): TensorInfo =>
  fromParts(backend, x);

/** Products of interleaved numbers, from the parts of both: `x + iy` times `z + iw`. */
const PRODUCT: Record<'real' | 'imag', Expression> = {
  real: { name: 'complexProductReal', code: 'x * z - y * w' },
  imag: { name: 'complexProductImaginary', code: 'x * w + y * z' },
};

/** `hypot` neither overflows nor vanishes where squares would. */
const ABSOLUTE: Expression = { name: 'ComplexAbs', code: 'hypotf(x, y)' };

/** Formulas of this file, for tests that compile them. */
export const COMPLEX_EXPRESSIONS: readonly [expression: Expression, operands: number][] = [
  [PRODUCT.real, 4],
  [PRODUCT.imag, 4],
  [ABSOLUTE, 2],
];

/** `Add`, `Sub` or `Multiply` where an operand is complex; the other may be real. */
export function complexBinary(
  backend: CudaBackend,
  name: string,
  expression: Expression,
  a: TensorInfo,
  b: TensorInfo,
): TensorInfo {
  return withWorkspace(backend, (space) => {
    const [x, y] = [a, b].map((z) =>
      z.dtype === 'complex64' ? z : space.keep(castToComplex(backend, z)),
    ) as [TensorInfo, TensorInfo];
    const shape = broadcast_util.assertAndGetBroadcastShape(x.shape, y.shape);
    if (name === 'Multiply') {
      const parts = [x, y].flatMap((z) =>
        ([0, 1] as const).map((part) => space.keep(partOf(backend, z, part))),
      );
      const evaluation = { shape, dtype: 'float32' } as const;
      const real = space.keep(evaluate(backend, PRODUCT.real, parts, evaluation));
      const imag = space.keep(evaluate(backend, PRODUCT.imag, parts, evaluation));
      return fromParts(backend, real, imag);
    }
    if (name !== 'Add' && name !== 'Sub') {
      throw new TypeError(`cuda: ${name} takes no complex64 tensors`);
    }
    // Broadcasting counts axes from the last one, which is the pair's here.
    const out = backend.makeOutput(shape, 'complex64');
    const into = pairs(out);
    evaluate(backend, expression, [pairs(x), pairs(y)], {
      shape: into.shape,
      dtype: 'float32',
      into,
    });
    return out;
  });
}

/** The kernels of this file. */
export const complexKernels = (): KernelConfig[] => [
  cudaKernel('Complex', ({ inputs, backend }) => fromParts(backend, inputs.real!, inputs.imag!)),
  cudaKernel('Real', ({ inputs, backend }) => partOf(backend, inputs.input!, 0)),
  cudaKernel('Imag', ({ inputs, backend }) => partOf(backend, inputs.input!, 1)),
  cudaKernel('ComplexAbs', ({ inputs, backend }) =>
    withWorkspace(backend, (space) => {
      const z = inputs.x!;
      const parts = ([0, 1] as const).map((part) => space.keep(partOf(backend, z, part)));
      return evaluate(backend, ABSOLUTE, parts, { shape: z.shape, dtype: 'float32' });
    }),
  ),
];
