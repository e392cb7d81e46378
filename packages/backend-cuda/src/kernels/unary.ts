import type { DataType, KernelConfig } from '@tensorflow/tfjs-core';
import type { Expression } from '../sources/elementwise.js';
import { castFromComplex, castToComplex } from './complex.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, pairs, share } from './kernel.js';

/** A formula over `x`; `integer` is the one for int32 and bool where it differs from computing in floats. */
export interface UnaryFormula {
  readonly float: string;
  readonly integer?: string;
  /** Dtype of the result. Default: that of `x` */
  readonly output?: DataType;
  readonly helpers?: string;
}

/** The constants of SELU (Klambauer et al. 2017). */
const SELU_SCALE = '1.0507009873554805f';
const SELU_SCALE_ALPHA = '1.7580993408473766f';

/** tfjs's elementwise functions of one tensor, without attributes. */
export const UNARY: Readonly<Record<string, UnaryFormula>> = {
  Abs: { float: 'fabsf(x)', integer: 'abs(x)' },
  Acos: { float: 'acosf(x)' },
  Acosh: { float: 'acoshf(x)' },
  Asin: { float: 'asinf(x)' },
  Asinh: { float: 'asinhf(x)' },
  Atan: { float: 'atanf(x)' },
  Atanh: { float: 'atanhf(x)' },
  Ceil: { float: 'ceilf(x)', integer: 'x' },
  Cos: { float: 'cosf(x)' },
  Cosh: { float: 'coshf(x)' },
  Elu: { float: 'x >= 0 ? x : expm1f(x)' },
  Erf: { float: 'erff(x)' },
  Exp: { float: 'expf(x)' },
  Expm1: { float: 'expm1f(x)' },
  Floor: { float: 'floorf(x)', integer: 'x' },
  IsFinite: { float: 'fabsf(x) < ORTH_INFINITY', integer: '1', output: 'bool' },
  IsInf: { float: 'fabsf(x) == ORTH_INFINITY', integer: '0', output: 'bool' },
  IsNan: { float: 'x != x', integer: '0', output: 'bool' },
  Log: { float: 'logf(x)' },
  Log1p: { float: 'log1pf(x)' },
  LogicalNot: { float: 'x == 0', integer: 'x == 0', output: 'bool' },
  Neg: { float: '-x', integer: '-x' },
  Reciprocal: { float: '1.0f / x' },
  // A comparison with NaN is false, so that NaN goes through.
  Relu: { float: 'x < 0 ? 0.0f : x', integer: 'x < 0 ? 0 : x' },
  Relu6: { float: 'x < 0 ? 0.0f : x > 6 ? 6.0f : x', integer: 'x < 0 ? 0 : x > 6 ? 6 : x' },
  // To even, as tfjs does.
  Round: { float: 'rintf(x)', integer: 'x' },
  Rsqrt: { float: '1.0f / sqrtf(x)' },
  Selu: { float: `x >= 0 ? ${SELU_SCALE} * x : ${SELU_SCALE_ALPHA} * expm1f(x)` },
  Sigmoid: { float: '1.0f / (1.0f + expf(-x))' },
  Sign: { float: 'x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f', integer: '(x > 0) - (x < 0)' },
  Sin: { float: 'sinf(x)' },
  Sinh: { float: 'sinhf(x)' },
  // max(x, 0) + log(1 + e^−|x|): neither overflows nor loses small values.
  Softplus: { float: '(x > 0 ? x : x < 0 ? 0.0f : x) + log1pf(expf(-fabsf(x)))' },
  Sqrt: { float: 'sqrtf(x)' },
  Square: { float: 'x * x', integer: 'x * x' },
  Tan: { float: 'tanf(x)' },
  Tanh: { float: 'tanhf(x)' },
};

/** The formula for a dtype. */
export function unaryExpression(name: string, dtype: DataType): Expression {
  const { float, integer, helpers } = UNARY[name]!;
  const inFloats = dtype === 'float32' || integer === undefined;
  return {
    name,
    code: inFloats ? float : integer,
    type: inFloats ? 'float' : 'int',
    ...(helpers !== undefined && { helpers }),
  };
}

/** Functions with one number as attribute, `s0`. */
const WITH_NUMBER = {
  LeakyRelu: { attribute: 'alpha', code: 'x < 0 ? s0 * x : x' },
  Step: { attribute: 'alpha', code: 'x != x ? x : x > 0 ? 1.0f : s0' },
} as const;

/** `Step` and `LeakyRelu`. */
export const stepExpression = (name: keyof typeof WITH_NUMBER): Expression => ({
  name,
  code: WITH_NUMBER[name].code,
  type: 'float',
  scalars: 1,
});

/** `ClipByValue`. */
export const clipExpression = (dtype: DataType): Expression => ({
  name: 'ClipByValue',
  ...(dtype === 'float32'
    ? { code: 'x > s1 ? s1 : x < s0 ? s0 : x', type: 'float' }
    : { code: 'x > s1 ? (int)s1 : x < s0 ? (int)s0 : x', type: 'int' }),
  scalars: 2,
});

/** Conversions between dtypes are written by the kernel itself. */
export const CAST: Expression = { name: 'Cast', code: 'x' };

interface CastAttributes {
  readonly dtype: DataType;
}

/** The kernels of this file. */
export const unaryKernels = (): KernelConfig[] => [
  ...Object.keys(UNARY).map((name) =>
    cudaKernel(name, ({ inputs, backend }) => {
      const given = inputs.x!;
      // A complex number's negative is that of its parts.
      const x = name === 'Neg' ? pairs(given) : given;
      const dtype = UNARY[name]!.output ?? x.dtype;
      const out = evaluate(backend, unaryExpression(name, x.dtype), [x], { shape: x.shape, dtype });
      return { ...out, shape: given.shape, dtype: UNARY[name]!.output ?? given.dtype };
    }),
  ),
  ...(['LeakyRelu', 'Step'] as const).map((name) =>
    cudaKernel<{ alpha: number }>(name, ({ inputs, attrs, backend }) => {
      const x = inputs.x!;
      const scalars = [attrs.alpha];
      const { shape, dtype } = x;
      return evaluate(backend, stepExpression(name), [x], { shape, dtype, scalars });
    }),
  ),
  cudaKernel<{ clipValueMin: number; clipValueMax: number }>(
    'ClipByValue',
    ({ inputs, attrs, backend }) => {
      const x = inputs.x!;
      const scalars = [attrs.clipValueMin, attrs.clipValueMax];
      return evaluate(backend, clipExpression(x.dtype), [x], {
        shape: x.shape,
        dtype: x.dtype,
        scalars,
      });
    },
  ),
  cudaKernel<CastAttributes>('Cast', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const { dtype } = attrs;
    const { shape } = x;
    if (x.dtype === dtype) return share(backend, x);
    if (x.dtype === 'complex64') return castFromComplex(backend, x, dtype);
    if (dtype === 'complex64') return castToComplex(backend, x);
    return evaluate(backend, CAST, [x], { shape, dtype });
  }),
];
