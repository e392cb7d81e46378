/**
 * Log-probabilities of softmax with gradients of every order, from two cheap passes: the softmax kernel that backends
 * have, and maxima. No exponential is taken but in that kernel.
 */
import {
  add,
  argMax,
  cast,
  clipByValue,
  customGrad,
  type GradSaveFunc,
  gather,
  log,
  max,
  mul,
  oneHot,
  range,
  reshape,
  softmax,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';

/** Finite stand-in for −Infinity, which times 0 is NaN. */
const LOWEST = -3.4e38;

/** Logits less their row's maximum, and the logarithm of the greatest probability. */
function shift(logits: Tensor): { shifted: Tensor; logGreatest: Tensor } {
  // max softmax = exp(0) / Σ exp(s − max s), so its logarithm is −log Σ exp(s − max s).
  const shifted = sub(logits, max(logits, -1, true));
  return { shifted, logGreatest: log(max(softmax(logits), -1, true)) };
}

/**
 * `log softmax(s)`, shape `[B, n]`. Logits of −Infinity give log-probabilities of −Infinity.
 * @param logits - shape `[B, n]`
 */
export function logProbabilities(logits: Tensor): Tensor {
  const op = customGrad((s, save) => {
    (save as GradSaveFunc)([s as Tensor]);
    const { shifted, logGreatest } = shift(s as Tensor);
    return {
      value: add(shifted, logGreatest),
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        sub(dy, mul(softmax(saved[0]!), sum(dy, -1, true))),
    };
  });
  return op(logits);
}

/**
 * `log softmax(s)_y` for class indices, shape `[B]`.
 * @param logits - shape `[B, n]`
 * @param labels - int32, shape `[B]`
 * @param classes - the same on the host, where they are known there
 */
export function labelLogLikelihood(logits: Tensor, labels: Tensor, classes?: Int32Array): Tensor {
  const op = customGrad((s, save) => {
    const [B, n] = (s as Tensor).shape as [number, number];
    (save as GradSaveFunc)([s as Tensor, labels]);
    const positions = classes
      ? tensor1d(
          classes.map((y, i) => i * n + y),
          'int32',
        )
      : (add(range(0, B * n, n, 'int32'), labels) as Tensor1D);
    const own = gather(reshape(s as Tensor, [B * n]), positions);
    const greatest = max(s as Tensor, -1);
    const logGreatest = log(max(softmax(s as Tensor), -1));
    return {
      value: add(sub(own, greatest), logGreatest),
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const indicator = indicators(saved[1]!, n);
        return mul(sub(indicator, softmax(saved[0]!)), reshape(dy, [B, 1]));
      },
    };
  });
  return op(logits);
}

/**
 * `Σ_k q_k log softmax(s)_k` for distributions q, shape `[B]`; a class of probability 0 does not count, whatever its
 * logit.
 * @param logits - shape `[B, n]`
 * @param labels - float32, shape `[B, n]`
 */
export function expectedLogLikelihood(logits: Tensor, labels: Tensor): Tensor {
  const op = customGrad((s, save) => {
    (save as GradSaveFunc)([s as Tensor, labels]);
    const { shifted, logGreatest } = shift(s as Tensor);
    const total = sum(labels, -1, true);
    const own = sum(mul(labels, clipByValue(shifted, LOWEST, 0)), -1, true);
    const value = reshape(add(own, mul(logGreatest, total)), [total.size]);
    return {
      // What the stand-in contributed is infinite: anything beyond 2^104 overflows on the way there and back.
      value: mul(mul(value, 2 ** 24), 2 ** -24),
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const [x, q] = saved as [Tensor, Tensor];
        const slope = sub(q, mul(softmax(x), sum(q, -1, true)));
        return mul(slope, reshape(dy, [dy.size, 1]));
      },
    };
  });
  return op(logits);
}

/** Class indices as int32, from indices `[…]` or one-hot rows `[…, n]`; flat, shape `[B]`. */
export function toIndices(labels: Tensor, form: 'indices' | 'distributions'): Tensor1D {
  return tidy(() => {
    const indices = form === 'distributions' ? argMax(cast(labels, 'float32'), -1) : labels;
    return reshape(cast(indices, 'int32'), [indices.size]) as Tensor1D;
  });
}

/** One-hot rows, float32, shape `[B, n]`. */
export function indicators(labels: Tensor, n: number): Tensor {
  // Through int32: wasm's kernel writes the bits of integers, whatever the dtype it is asked for (tfjs 4.22).
  return cast(oneHot(labels as Tensor1D, n), 'float32');
}
