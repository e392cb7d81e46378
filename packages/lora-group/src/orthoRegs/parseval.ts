import { checkNumber, checkTensor } from '@orth/backend';
import { matMul, mul, sub, type Tensor, tidy, Variable } from '@tensorflow/tfjs-core';

/**
 * One step towards orthonormality: `(1 + β) W − β W Wᵀ W`. Singular values s become `s + β s (1 − s²)`: 1 stays, and what is near
 * it comes nearer by a factor `1 − 2β`. Differentiable.
 *
 * @param W - shape `[m, n]`
 * @param beta - in (0, 0.5]. Default 1e-3
 * @returns shape `[m, n]`
 * @throws TypeError or RangeError if `W` is no matrix or `beta` out of range
 * @see Cissé et al. 2017, "Parseval Networks", section 4.2
 */
export function parsevalUpdate(W: Tensor, beta = 1e-3): Tensor {
  checkTensor('parsevalUpdate', 'W', W, { rank: 2 });
  checkNumber('parsevalUpdate', 'beta', beta, { above: 0, max: 0.5 });
  return tidy(() => {
    const tall = W.shape[0]! >= W.shape[1]!;
    const gram = matMul(W, W, tall, !tall);
    const cubic = tall ? matMul(W, gram) : matMul(gram, W);
    return sub(mul(W, 1 + beta), mul(cubic, beta));
  });
}

/**
 * {@link parsevalUpdate} of variables in place, to follow each step of an optimizer.
 *
 * @throws TypeError or RangeError if one is no variable of rank 2 or `beta` is out of range; none is changed then
 * @example
 * optimizer.minimize(loss);
 * parsevalStep([W1, W2], 0.01);
 */
export function parsevalStep(variables: Variable | readonly Variable[], beta = 1e-3): void {
  const list: readonly Variable[] = Array.isArray(variables) ? variables : [variables];
  checkNumber('parsevalStep', 'beta', beta, { above: 0, max: 0.5 });
  for (const W of list) {
    checkTensor('parsevalStep', 'variables', W, { rank: 2 });
    if (W instanceof Variable) continue;
    throw new TypeError('parsevalStep: variables must be variables, got a tensor');
  }
  for (const W of list) {
    const next = parsevalUpdate(W, beta);
    W.assign(next);
    next.dispose();
  }
}
