/** What the losses of this package take besides their own options, and how it is checked. */
import { checkBoolean, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { getBackend, type Tensor } from '@tensorflow/tfjs-core';
import { REDUCTIONS, type Reduction } from './reduction.js';

/** Options of every loss that gives one number an example. */
export interface LossOptions {
  /** How the losses of examples become the result, see {@link Reduction}. Default `'mean'` */
  readonly reduction?: Reduction;
  /** A weight >= 0 for each example, float32 of the shape of the unreduced loss. Default: 1 each */
  readonly weights?: Tensor;
  /**
   * Whether values are looked at and not only shapes: labels in range, weights >= 0, no NaN. That reads from the device,
   * so the default is true where tensors lie in host memory (backends cpu, wasm and node) and false elsewhere; on WebGPU
   * outside a browser, where nothing can be read synchronously, true throws.
   */
  readonly checkValues?: boolean;
}

/** Names of {@link LossOptions}. */
export const LOSS_OPTIONS: readonly (keyof LossOptions)[] = ['reduction', 'weights', 'checkValues'];

/** Backends whose tensors lie in host memory: reading one costs a copy and no wait. */
const HOST_BACKENDS = ['cpu', 'wasm', 'node', 'tensorflow'];

/** Whether tensors of the active backend lie in host memory. */
export const isHostBackend = (): boolean => HOST_BACKENDS.includes(getBackend());

/**
 * Whether values shall be checked: what the caller asked for, else whether reading is free.
 * @throws TypeError if `option` is neither undefined nor a boolean
 */
export function shouldCheckValues(caller: string, option: boolean | undefined): boolean {
  if (option === undefined) return isHostBackend();
  checkBoolean(caller, 'checkValues', option);
  return option;
}

/**
 * Checks the options that losses share, for losses of `shape` before reduction.
 *
 * @param own - names of the options that the loss has besides
 * @returns the reduction, the weights, and whether to check values
 * @throws TypeError for an unknown option or a weight that is no float32 tensor; RangeError for an unknown reduction,
 *   weights of another shape, or a weight that is negative or not finite
 */
export function resolveLossOptions(
  caller: string,
  options: LossOptions,
  own: readonly string[],
  shape: readonly number[],
): { reduction: Reduction; weights: Tensor | undefined; checkValues: boolean } {
  checkOptions(caller, options, [...own, ...LOSS_OPTIONS]);
  const { reduction = 'mean', weights } = options;
  checkOneOf(caller, 'reduction', reduction, REDUCTIONS);
  const checkValues = shouldCheckValues(caller, options.checkValues);
  if (weights !== undefined) {
    checkTensor(caller, 'weights', weights, { shape });
    if (checkValues) checkEach(caller, 'weights', weights, 'be finite and >= 0', isWeight);
  }
  return { reduction, weights, checkValues };
}

/** Whether a number may be a weight. */
export const isWeight = (w: number) => w >= 0 && w < Infinity;

/**
 * Demands something of every entry of a tensor, which is read synchronously.
 * @param rule - what each entry must do, as the message says it: `be finite`
 * @throws RangeError naming the first entry that does not
 */
export function checkEach(
  caller: string,
  argument: string,
  x: Tensor,
  rule: string,
  holds: (value: number) => boolean,
): void {
  const values = x.dataSync();
  for (let i = 0; i < values.length; i++) {
    if (holds(values[i]!)) continue;
    throw new RangeError(`${caller}: ${argument} must ${rule}, got ${values[i]} at index ${i}`);
  }
}

/**
 * Demands that no entry is NaN; infinities pass.
 * @throws RangeError naming the first NaN
 */
export function checkNotNaN(caller: string, argument: string, x: Tensor): void {
  checkEach(caller, argument, x, 'not be NaN', (value) => !Number.isNaN(value));
}

/** How labels are given: one class index an example, or a distribution over the classes. */
export type LabelForm = 'indices' | 'distributions';

/** How far the entries of a distribution may sum from 1. */
const SUM_TOLERANCE = 1e-3;

/**
 * Tells class indices `[…]` from distributions `[…, n]` (one-hot or soft) for logits `[…, n]`, by their rank.
 *
 * @param values - whether entries are checked too: indices are integers in [0, n), distributions >= 0 with sum 1
 * @throws TypeError if labels are no tensor of numbers or booleans; RangeError for another shape, or for the entries
 */
export function checkLabels(
  caller: string,
  labels: unknown,
  logits: Tensor,
  values: boolean,
): LabelForm {
  checkTensor(caller, 'labels', labels, { dtype: ['int32', 'float32', 'bool'] });
  const n = logits.shape.at(-1)!;
  const batch = logits.shape.slice(0, -1);
  const form: LabelForm = labels.rank === logits.rank ? 'distributions' : 'indices';
  const want = form === 'distributions' ? logits.shape : batch;
  if (`${labels.shape}` !== `${want}`) {
    throw new RangeError(
      `${caller}: labels must have shape [${batch}] (class indices) or [${logits.shape}] (distributions), ` +
        `got shape [${labels.shape}]`,
    );
  }
  if (form === 'indices' && labels.dtype === 'bool') {
    throw new TypeError(`${caller}: labels must be numbers where they are class indices, got bool`);
  }
  if (values) readClasses(caller, labels, form, n);
  return form;
}

/**
 * Reads labels and checks their entries.
 *
 * @param n - number of classes
 * @returns the class of each example, unless one has a soft label
 * @throws RangeError for indices that are not integers in [0, n), or distributions that are not >= 0 with sum 1
 */
export function readClasses(
  caller: string,
  labels: Tensor,
  form: LabelForm,
  n: number,
): Int32Array | undefined {
  const values = labels.dataSync();
  if (form === 'distributions') return classesOfDistributions(caller, values, n);
  const wrong = values.findIndex((y) => !(Number.isInteger(y) && y >= 0 && y < n));
  if (wrong < 0) return Int32Array.from(values);
  throw new RangeError(
    `${caller}: labels must be integers in [0, ${n}), got ${values[wrong]} at index ${wrong}`,
  );
}

/**
 * {@link checkLabels} for losses of one class an example: distributions are one-hot.
 * @throws as there; RangeError for entries other than 0 and 1, where `values` are checked
 */
export function checkClassLabels(
  caller: string,
  labels: Tensor,
  logits: Tensor,
  values: boolean,
): LabelForm {
  const form = checkLabels(caller, labels, logits, values);
  if (values && form === 'distributions') {
    checkEach(caller, 'labels', labels, 'be one-hot', (q) => q === 0 || q === 1);
  }
  return form;
}

function classesOfDistributions(
  caller: string,
  values: ArrayLike<number>,
  n: number,
): Int32Array | undefined {
  const classes = new Int32Array(values.length / n);
  let soft = false;
  for (let row = 0; row < classes.length; row++) {
    let sum = 0;
    for (let k = row * n; k < (row + 1) * n; k++) {
      const q = values[k]!;
      if (q === 0) continue;
      // Written so that NaN fails too.
      if (!(q > 0)) throw new RangeError(`${caller}: labels must be >= 0, got ${q} at index ${k}`);
      if (q === 1) classes[row] = k - row * n;
      else soft = true;
      sum += q;
    }
    if (!(Math.abs(sum - 1) <= SUM_TOLERANCE)) {
      throw new RangeError(
        `${caller}: labels must sum to 1 over the classes, got ${sum} in row ${row}`,
      );
    }
  }
  return soft ? undefined : classes;
}
