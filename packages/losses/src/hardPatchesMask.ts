/** Masks that hide more of the patches predicted to be hard, the longer training has gone on. */
import {
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  type Random,
  seededRandom,
} from '@orth/backend';
import {
  add,
  cast,
  mul,
  ones,
  range,
  reshape,
  scatterND,
  type Tensor,
  tidy,
  topk,
} from '@tensorflow/tfjs-core';
import { checkEach, type LossOptions, shouldCheckValues } from './lossArguments.js';

/** Options of {@link easyToHardSchedule}. */
export interface EasyToHardOptions {
  /** Number of epochs, integer >= 1. No default */
  readonly epochs: number;
  /** Share of forced patches before the first epoch, in [0, 1]. Default 0 */
  readonly start?: number;
  /** Share in the last epoch, in [0, 1]. Default 0.5 */
  readonly end?: number;
}

/**
 * Share α of the masked patches that are chosen for their predicted loss:
 * `start + (end − start) (epoch + 1) / epochs`.
 *
 * @returns α of an epoch, counted from 0; after the last epoch it stays
 * @throws TypeError for an unknown option; RangeError for a value out of range
 * @see Wang et al. 2023, arXiv 2304.05919, easy-to-hard mask generation
 */
export function easyToHardSchedule(options: EasyToHardOptions): (epoch: number) => number {
  const caller = 'easyToHardSchedule';
  checkOptions(caller, options, ['epochs', 'start', 'end']);
  const { epochs, start = 0, end = 0.5 } = options;
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  checkNumber(caller, 'start', start, { min: 0, max: 1 });
  checkNumber(caller, 'end', end, { min: 0, max: 1 });
  return (epoch) => {
    checkInteger(caller, 'epoch', epoch, { min: 0 });
    // In this order, as the author's code: another rounds differently, and a floor follows.
    return start + Math.min((epoch + 1) / epochs, 1) * (end - start);
  };
}

/** Options of {@link randomMask}. */
export interface RandomMaskOptions {
  /** Share of patches that is masked, in (0, 1). Default 0.75 */
  readonly maskRatio?: number;
  /** Seed, integer. Default 0 */
  readonly seed?: number;
  /** A source instead of one with `seed`: give it where many masks follow each other. */
  readonly random?: Random;
}

/** Options of {@link generateMask}. */
export interface GenerateMaskOptions extends RandomMaskOptions, Pick<LossOptions, 'checkValues'> {
  /** Share of the masked patches that are those of highest predicted loss, in [0, 1]. No default */
  readonly alpha: number;
  /** Float32, shape `[N, L]`, instead of draws: of the patches not forced, those with the largest noise are masked. */
  readonly noise?: Tensor;
}

/** Ones in each row of a mask: `L − ⌊L (1 − ratio)⌋`. */
export function maskedCount(L: number, maskRatio: number): number {
  return L - Math.floor(L * (1 - maskRatio));
}

/** The checked number of masked patches. */
function countOf(caller: string, L: number, { maskRatio = 0.75 }: RandomMaskOptions): number {
  checkNumber(caller, 'maskRatio', maskRatio, { above: 0, below: 1 });
  const M = maskedCount(L, maskRatio);
  if (M > 0 && M < L) return M;
  throw new RangeError(
    `${caller}: maskRatio must leave patches masked and visible, got ${maskRatio} of ${L}`,
  );
}

function sourceOf(caller: string, { seed, random }: RandomMaskOptions): Random {
  if (seed !== undefined && random !== undefined) {
    throw new TypeError(`${caller}: seed must not be given together with random`);
  }
  return random ?? seededRandom(seed ?? 0);
}

/**
 * Masks for a batch: of the M patches hidden in each image, `⌊αM⌋` are those of highest predicted loss, the others are
 * uniform among the rest. α = 0 is random masking, α = 1 is deterministic.
 *
 * @param predictions - predicted losses of all patches, shape `[N, L]`, float32: of the teacher, which saw whole images
 * @param options - see {@link GenerateMaskOptions}
 * @returns int32, shape `[N, L]`, 1 = masked, `M = L − ⌊L (1 − maskRatio)⌋` in each row
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape, α outside [0, 1], a ratio that
 *   leaves no patch masked or none visible, and, where values are checked, for predictions that are not finite
 * @example
 * const alpha = easyToHardSchedule({ epochs: 200 })(epoch);
 * const mask = generateMask(teacher(images), { alpha, random });
 * @see Wang et al. 2023, arXiv 2304.05919, algorithm 1
 */
export function generateMask(predictions: Tensor, options: GenerateMaskOptions): Tensor {
  const caller = 'generateMask';
  checkTensor(caller, 'predictions', predictions, { rank: 2 });
  const known = ['maskRatio', 'seed', 'random', 'alpha', 'noise', 'checkValues'];
  checkOptions(caller, options, known);
  const [N, L] = predictions.shape as [number, number];
  const M = countOf(caller, L, options);
  const { alpha, noise } = options;
  checkNumber(caller, 'alpha', alpha, { min: 0, max: 1 });
  if (noise !== undefined) checkTensor(caller, 'noise', noise, { shape: [N, L] });
  if (shouldCheckValues(caller, options.checkValues)) {
    checkEach(caller, 'predictions', predictions, 'be finite', Number.isFinite);
    if (noise) checkEach(caller, 'noise', noise, 'be finite', Number.isFinite);
  }
  const forced = Math.floor(M * alpha);
  const random = sourceOf(caller, options);
  return tidy(() => {
    const keys = noise ?? random.uniformTensor([N, L]);
    if (forced === 0) return ofLargest(keys, M);
    const chosen = cast(ofLargest(predictions, forced), 'float32');
    return ofLargest(add(keys, mul(chosen, FORCED)), M);
  });
}

/** Puts a key before all others; noise beside it loses its digits, which does not matter there. */
const FORCED = 1e30;

/**
 * Masks that know nothing, the baseline.
 *
 * @param shape - `[N, L]`, images and patches
 * @returns int32, shape `[N, L]`, 1 = masked, `L − ⌊L (1 − maskRatio)⌋` in each row
 * @throws TypeError for an unknown option; RangeError for a value out of range
 */
export function randomMask(
  shape: readonly [number, number],
  options: RandomMaskOptions = {},
): Tensor {
  const caller = 'randomMask';
  checkOptions(caller, options, ['maskRatio', 'seed', 'random']);
  if (!Array.isArray(shape) || shape.length !== 2) {
    throw new TypeError(`${caller}: shape must be [images, patches], got ${String(shape)}`);
  }
  for (const size of shape) checkInteger(caller, 'shape', size, { min: 1 });
  const M = countOf(caller, shape[1], options);
  const random = sourceOf(caller, options);
  return tidy(() => ofLargest(random.uniformTensor([...shape]), M));
}

/** Int32 ones at the k largest entries of each row. */
function ofLargest(keys: Tensor, k: number): Tensor {
  const [N, L] = keys.shape as [number, number];
  const first = reshape(range(0, N * L, L, 'int32'), [N, 1]);
  const flat = reshape(add(topk(keys, k).indices, first), [N * k, 1]);
  return reshape(scatterND(flat, ones([N * k], 'int32'), [N * L]), [N, L]);
}
