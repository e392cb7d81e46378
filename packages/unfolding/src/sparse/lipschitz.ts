/** The largest eigenvalue of AᴴA, which bounds the step of proximal-gradient methods. */
import { checkInteger, checkOptions, seededRandom } from '@orth/backend';
import {
  div,
  matMul,
  maximum,
  mul,
  type Scalar,
  scalar,
  sqrt,
  square,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { type LinearOperator, Measurement } from './linearOperator.js';
import { pack, unpack } from './packedComplex.js';

/** Options of {@link lipschitz}. */
export interface LipschitzOptions {
  /** Power iterations, for functions and for matrices with more than 512 rows and columns. Default 100 */
  readonly iterations?: number;
  /** Of the start vector. Default 0 */
  readonly seed?: number;
}

/** Squarings of the Gram matrix, as 2^14 power iterations: the error is below 1 − λ₂/λ₁ and below 3e-5. */
const SQUARINGS = 14;
/** Largest Gram matrix that is squared. */
const SQUARED = 512;
const TINY = 1e-30;

const normalized = (v: Tensor): Tensor => div(v, maximum(sqrt(sum(square(v))), TINY));

/**
 * L as a scalar tensor, nothing read back. The Rayleigh quotient of a power iteration never exceeds L.
 * @throws TypeError if functions come without `inputShape`
 */
export function lipschitzTensor(
  caller: string,
  measurement: Measurement,
  { iterations = 100, seed = 0 }: LipschitzOptions = {},
): Scalar {
  const random = seededRandom(seed);
  const { packedMatrix: A, linearMap } = measurement;
  if (!A && !linearMap?.inputShape) {
    throw new TypeError(
      `${caller}: A.inputShape must be given with functions where the step size is not, got none`,
    );
  }
  return tidy(() => {
    if (A) {
      const [m, n] = A.shape;
      const tall = m >= n;
      const size = Math.min(m, n);
      const G = () => matMul(A, A, tall, !tall) as Tensor2D;
      let v = random.normalTensor([size, 1]) as Tensor2D;
      if (size <= SQUARED) {
        const gram = G();
        let power = gram;
        for (let k = 0; k < SQUARINGS; k++) {
          const next = matMul(power, power);
          power = div(next, maximum(sqrt(sum(square(next))), TINY)) as Tensor2D;
        }
        v = normalized(matMul(power, v)) as Tensor2D;
        return sum(mul(v, matMul(gram, v))) as Scalar;
      }
      const step = (u: Tensor2D) => matMul(A, matMul(A, u, !tall, false), tall, false);
      for (let k = 0; k < iterations; k++) v = normalized(step(v)) as Tensor2D;
      return sum(mul(v, step(v))) as Scalar;
    }
    const { apply, adjoint, inputShape, inputType = 'float32' } = linearMap!;
    const field = inputType === 'complex64' ? 'complex' : 'real';
    const shape = [...(field === 'complex' ? [2] : []), 1, ...inputShape!];
    let v: Tensor = random.normalTensor(shape);
    const step = (u: Tensor) => pack(adjoint(apply(unpack(u, field))));
    for (let k = 0; k < iterations; k++) v = tidy(() => normalized(step(normalized(v))));
    return sum(mul(v, step(v))) as Scalar;
  });
}

/** `1/L` as a scalar tensor, for a zero operator a huge number. */
export const inverseLipschitz = (
  caller: string,
  measurement: Measurement,
  options?: LipschitzOptions,
): Scalar =>
  tidy(
    () => div(scalar(1), maximum(lipschitzTensor(caller, measurement, options), TINY)) as Scalar,
  );

/**
 * L, the largest eigenvalue of `AᴴA`: the gradient of `½‖y − A x‖²` has this Lipschitz constant, and `1/L` is the step
 * of ISTA and FISTA. By repeated squaring of the Gram matrix, or by power iteration (see the options). Reads one number.
 *
 * @param A - matrix `[M, N]`, or functions with `inputShape`
 * @throws TypeError or RangeError for a wrong argument
 */
export async function lipschitz(
  A: LinearOperator,
  options: LipschitzOptions = {},
): Promise<number> {
  const caller = 'lipschitz';
  checkOptions(caller, options, ['iterations', 'seed']);
  const { iterations = 100, seed = 0 } = options;
  checkInteger(caller, 'iterations', iterations, { min: 1 });
  checkInteger(caller, 'seed', seed);
  const measurement = new Measurement(caller, A);
  try {
    const L = lipschitzTensor(caller, measurement, { iterations, seed });
    const [value] = await L.data();
    L.dispose();
    return value!;
  } finally {
    measurement.dispose();
  }
}
