import { checkTensor } from '@orth/backend';
import {
  concat,
  expandDims,
  mul,
  ones,
  type Tensor,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';

/**
 * Prompts of N contexts for C classes: `[start | context | name and end]`.
 *
 * @param contexts - shape `[N, n, d]`, shared by classes, or `[N, C, n, d]`
 * @param prefix - embeddings of the start token, shape `[C, 1, d]`, or of more
 * @param suffix - embeddings of what follows the context, shape `[C, l, d]`
 * @returns shape `[N, C, 1 + n + l, d]`
 * @throws TypeError or RangeError for shapes that do not fit
 */
export function assemblePrompts(contexts: Tensor, prefix: Tensor, suffix: Tensor): Tensor4D {
  const caller = 'assemblePrompts';
  checkTensor(caller, 'contexts', contexts, { minRank: 3, allowEmpty: true });
  const d = contexts.shape[contexts.rank - 1]!;
  checkTensor(caller, 'prefix', prefix, { shape: [null, null, d] });
  const [classes] = prefix.shape as [number];
  checkTensor(caller, 'suffix', suffix, { shape: [classes, null, d], allowEmpty: true });
  if (contexts.rank !== 3) {
    checkTensor(caller, 'contexts', contexts, { shape: [null, classes, null, d] });
  }
  const [n] = contexts.shape as [number];
  return tidy(() => {
    // Products with ones rather than tile, whose gradient adds slices one by one.
    const repeat = (x: Tensor, axis: number, times: number) =>
      mul(expandDims(x, axis), ones([axis === 0 ? times : 1, axis === 1 ? times : 1, 1, 1]));
    const middle = contexts.rank === 3 ? repeat(contexts, 1, classes) : contexts;
    return concat([repeat(prefix, 0, n), middle, repeat(suffix, 0, n)], 2) as Tensor4D;
  });
}
