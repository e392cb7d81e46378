/**
 * The parts of a transformer whose gradients are worth writing by hand: each runs a handful of kernels where tfjs's
 * automatic differentiation would run two or three times as many and keep every intermediate alive.
 */
import {
  add,
  customGrad,
  gather,
  log,
  max,
  mean,
  mul,
  oneHot,
  range,
  relu,
  reshape,
  rsqrt,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
} from '@tensorflow/tfjs-core';

const EPSILON = 1e-6;

type Save = (tensors: Tensor[]) => void;

/** tfjs passes the function that keeps tensors for the gradient as the last argument, though its types do not say so. */
const saverOf = (args: unknown[]): Save => args[args.length - 1] as Save;

/**
 * Root-mean-square normalisation of the last axis, `y = x / √(mean(x²) + 10⁻⁶)`, without a gain: every use is followed
 * by a linear map that can hold it.
 *
 * Its gradient is `(dy − y · mean(dy · y)) / √(…)`.
 *
 * @param x - shape `[…, width]`, float32
 * @returns the same shape
 * @see Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4
 */
export function rmsNorm(x: Tensor): Tensor {
  return customGrad((...args) => {
    const input = args[0] as Tensor;
    const scale = rsqrt(add(mean(square(input), -1, true), EPSILON));
    const y = mul(input, scale);
    saverOf(args)([y, scale]);
    return {
      value: y,
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const [y, scale] = saved as [Tensor, Tensor];
        return mul(sub(dy, mul(y, mean(mul(dy, y), -1, true))), scale);
      },
    };
  })(x);
}

/**
 * `relu(x)²`, the activation of the MLP.
 * @param x - any shape, float32
 * @see So et al. 2021, "Primer", section 3
 */
export function squaredRelu(x: Tensor): Tensor {
  return customGrad((...args) => {
    const y = relu(args[0] as Tensor);
    saverOf(args)([y]);
    return {
      value: square(y),
      gradFunc: (dy: Tensor, saved: Tensor[]) => mul(mul(dy, saved[0]!), 2),
    };
  })(x);
}

/**
 * Softmax over the last axis of masked attention scores.
 * @param scores - shape `[batch, query, key]`
 * @param mask - shape `[query, key]`: 0 where a query may look, a large negative number elsewhere
 */
export function maskedSoftmax(scores: Tensor, mask: Tensor2D): Tensor {
  return customGrad((...args) => {
    const p = softmax(add(args[0] as Tensor, mask));
    saverOf(args)([p]);
    return {
      value: p,
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const p = saved[0]!;
        const t = mul(dy, p);
        return sub(t, mul(p, sum(t, -1, true)));
      },
    };
  })(scores);
}

/**
 * Mean cross entropy, in nats, of the classes `targets` under `logits`.
 *
 * With `p = softmax(z)` the log of the sum of exponentials is `max z − log max p`: exact, since `max p >= 1/classes`
 * can never underflow, and one softmax serves both the loss and its gradient `(p − onehot) / rows`.
 *
 * @param logits - shape `[rows, classes]`, float32
 * @param targets - shape `[rows]`, int32 classes
 * @returns scalar
 */
export function crossEntropy(logits: Tensor2D, targets: Tensor1D): Tensor {
  const [rows, classes] = logits.shape;
  return customGrad((...args) => {
    const z = args[0] as Tensor2D;
    const p = softmax(z);
    const logSumExp = sub(max(z, -1), log(max(p, -1)));
    const chosen = gather(
      reshape(z, [-1]),
      add(range(0, rows * classes, classes, 'int32'), targets),
    );
    saverOf(args)([p]);
    return {
      value: mean(sub(logSumExp, chosen)),
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        mul(sub(saved[0]!, oneHot(targets, classes)), mul(dy, 1 / rows)),
    };
  })(logits);
}
