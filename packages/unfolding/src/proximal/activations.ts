/** softplus with a sharpness, and its derivative. */
import { customGrad, mul, sigmoid, softplus, sub, type Tensor } from '@tensorflow/tfjs-core';

type Save = (tensors: Tensor[]) => void;

/** `log(1 + exp(β t)) / β`, without overflow; its gradient is `σ(β t)` exactly, whatever the kernel approximates. */
export function sharpSoftplus(t: Tensor, beta: number): Tensor {
  const op = customGrad((t, save) => {
    (save as unknown as Save)([t as Tensor]);
    return {
      value: mul(softplus(mul(t as Tensor, beta)), 1 / beta),
      gradFunc: (dy: Tensor, saved: Tensor[]) => mul(dy, sigmoid(mul(saved[0]!, beta))),
    };
  });
  return op(t);
}

/** `σ(β t)`, the derivative of {@link sharpSoftplus}. */
export function sharpSigmoid(t: Tensor, beta: number): Tensor {
  const op = customGrad((t, save) => {
    const value = sigmoid(mul(t as Tensor, beta));
    (save as unknown as Save)([value]);
    return {
      value,
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const s = saved[0]!;
        return mul(mul(dy, beta), mul(s, sub(1, s)));
      },
    };
  });
  return op(t);
}
