import { broadcast_util, type DataType, type KernelConfig } from '@tensorflow/tfjs-core';
import type { Expression } from '../sources/elementwise.js';
import { complexBinary } from './complex.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, share, withWorkspace } from './kernel.js';

/** A formula over `x` and `y`; `integer` is the one for int32 and bool where it differs. */
export interface BinaryFormula {
  readonly float: string;
  readonly integer?: string;
  /** Dtype of the result. Default: that of the operands */
  readonly output?: DataType;
}

/** Floor of a quotient of integers; a division by 0 gives 0, as tfjs's infinity does when it is stored. */
const INTEGER_FLOOR = 'y == 0 ? 0 : x / y - (x % y != 0 && (x < 0) != (y < 0))';
const same = (code: string, output?: DataType): BinaryFormula => ({
  float: code,
  integer: code,
  ...(output && { output }),
});

/** tfjs's elementwise functions of two tensors. */
export const BINARY: Readonly<Record<string, BinaryFormula>> = {
  Add: same('x + y'),
  Sub: same('x - y'),
  Multiply: same('x * y'),
  RealDiv: { float: 'x / y', integer: INTEGER_FLOOR },
  // Whole numbers, whatever the operands are: so on tfjs's cpu, webgl and webgpu backends.
  FloorDiv: { float: 'floorf(x / y)', integer: INTEGER_FLOOR, output: 'int32' },
  // The sign is the divisor's.
  Mod: {
    float: 'const float r = fmodf(x, y); result = (x < 0) == (y < 0) ? r : fmodf(r + y, y);',
    integer:
      'const int r = y == 0 ? 0 : x % y; result = y == 0 || (x < 0) == (y < 0) ? r : (r + y) % y;',
  },
  Pow: { float: 'powf(x, y)', integer: '(int)pow((double)x, (double)y)' },
  Atan2: { float: 'atan2f(x, y)' },
  // NaN wins, whichever side it is on.
  Maximum: { float: '(x >= y || x != x) ? x : y', integer: 'x > y ? x : y' },
  Minimum: { float: '(x <= y || x != x) ? x : y', integer: 'x < y ? x : y' },
  SquaredDifference: same('(x - y) * (x - y)'),
  Prelu: same('x < 0 ? y * x : x'),
  // Of dy and of elu's value.
  EluGrad: { float: 'y >= 0 ? x : x * (y + 1.0f)' },
  Equal: same('x == y', 'bool'),
  NotEqual: same('x != y', 'bool'),
  Less: same('x < y', 'bool'),
  LessEqual: same('x <= y', 'bool'),
  Greater: same('x > y', 'bool'),
  GreaterEqual: same('x >= y', 'bool'),
  LogicalAnd: same('x != 0 && y != 0', 'bool'),
  LogicalOr: same('x != 0 || y != 0', 'bool'),
  BitwiseAnd: { float: '(float)((int)x & (int)y)', integer: 'x & y' },
};

/** The formula for a dtype. */
export function binaryExpression(name: string, dtype: DataType): Expression {
  const { float, integer, output } = BINARY[name]!;
  const inFloats = dtype === 'float32' || integer === undefined;
  const type = output === 'bool' ? 'int' : inFloats ? 'float' : 'int';
  return { name, code: inFloats ? float : integer, type };
}

/** Names of inputs that differ from `a` and `b`. */
const INPUTS: Record<string, readonly [string, string]> = {
  Prelu: ['x', 'alpha'],
  EluGrad: ['dy', 'y'],
};

/** `Select`: of two tensors by a third. */
export const SELECT: Expression = { name: 'Select', code: 'x != 0 ? y : z' };

/** The kernels of this file. */
export const binaryKernels = (): KernelConfig[] => [
  ...Object.keys(BINARY).map((name) =>
    cudaKernel(name, ({ inputs, backend }) => {
      const [left, right] = INPUTS[name] ?? ['a', 'b'];
      const [a, b] = [inputs[left]!, inputs[right]!];
      if (a.dtype === 'complex64' || b.dtype === 'complex64') {
        return complexBinary(backend, name, binaryExpression(name, 'float32'), a, b);
      }
      const shape = broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
      const floating = a.dtype === 'float32' || b.dtype === 'float32';
      const operand = floating ? 'float32' : a.dtype;
      const dtype = BINARY[name]!.output ?? operand;
      return evaluate(backend, binaryExpression(name, operand), [a, b], { shape, dtype });
    }),
  ),
  cudaKernel('Select', ({ inputs, backend }) => {
    const [condition, t, e] = [inputs.condition!, inputs.t!, inputs.e!];
    // A vector chooses whole rows.
    const rows = condition.shape.length === 1 && t.shape.length > 1;
    const shape = rows ? [...condition.shape, ...t.shape.slice(1).map(() => 1)] : condition.shape;
    const { dtype } = t;
    return evaluate(backend, SELECT, [{ ...condition, shape }, t, e], { shape: t.shape, dtype });
  }),
  cudaKernel('AddN', ({ inputs, backend }) =>
    withWorkspace(backend, (space) => {
      const list = Object.values(inputs);
      const { shape, dtype } = list[0]!;
      const add = binaryExpression('Add', dtype);
      return list.slice(1).reduce(
        (sum, x, i) => {
          if (i > 0) space.keep(sum);
          return evaluate(backend, add, [sum, x], { shape, dtype });
        },
        list.length === 1 ? share(backend, list[0]!) : list[0]!,
      );
    }),
  ),
];
