import { CheckpointError, restoreRandom } from '@orth/backend';
import type { CursorState } from './batchCursor.js';
import type { SelfTuningEpoch } from './selfTuning.js';

/** A saved tensor, row-major. */
export interface SavedTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** A saved {@link SelfTuning}: plain data, fit for JSON. */
export interface SelfTuningState {
  readonly format: 'orth-self-tuning';
  readonly version: 1;
  readonly variant: 'stn' | 'delta' | 'fixed';
  /** Names of the hyperparameters, in order. */
  readonly names: readonly string[];
  /** Weights, hyperparameters, scales, then the optimizers' state. */
  readonly variables: readonly SavedTensor[];
  /** Weights, hyperparameters and scales of the best epoch. */
  readonly best: readonly (readonly number[])[] | null;
  readonly random: readonly number[];
  readonly learningRateScale: number;
  readonly epochs: readonly SelfTuningEpoch[];
  readonly sinceTurn: number;
  readonly stepsInEpoch: number;
  readonly lossSum: number;
  readonly train: (CursorState & { readonly count: number }) | null;
  readonly valid: (CursorState & { readonly count: number }) | null;
}

const fail = (problem: string): never => {
  throw new CheckpointError(`SelfTuning.loadState: ${problem}; nothing was changed`);
};

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

const isNumbers = (x: unknown, size: number): x is number[] =>
  Array.isArray(x) && x.length === size && x.every((value) => Number.isFinite(value));

const sizeOf = (shape: readonly number[]) => shape.reduce((n, length) => n * length, 1);

function checkCursor(name: string, cursor: unknown): void {
  if (cursor === null) return;
  const { count, order, at } = isRecord(cursor) ? cursor : {};
  const valid =
    isCount(count) &&
    isCount(at) &&
    Array.isArray(order) &&
    (order.length === 0 || order.length === count) &&
    at <= order.length &&
    order.every((row) => isCount(row) && row < count) &&
    new Set(order).size === order.length;
  if (!valid) fail(`${name} must hold a place in an order of its rows`);
}

/**
 * Checks a saved state from top to bottom.
 * @param shapes - of all variables, the first `learned` of which are kept of the best epoch
 * @throws CheckpointError that names what is wrong
 */
export function parseSelfTuningState(
  state: unknown,
  variant: string,
  names: readonly string[],
  shapes: readonly (readonly number[])[],
  learned: number,
): SelfTuningState {
  if (!isRecord(state) || state.format !== 'orth-self-tuning') {
    return fail('state must be what saveState() gives (await it)');
  }
  if (state.version !== 1) fail(`version must be 1, got ${String(state.version)}`);
  if (state.variant !== variant) {
    fail(`variant must be ${variant}, got ${String(state.variant)}`);
  }
  if (`${state.names}` !== `${names}`) {
    fail(`hyperparameters must be ${names.join(', ')}, got ${String(state.names)}`);
  }
  const { variables, best, epochs } = state;
  if (!Array.isArray(variables) || variables.length !== shapes.length) {
    return fail(`variables must be ${shapes.length}`);
  }
  for (const [i, shape] of shapes.entries()) {
    const saved = variables[i];
    if (
      !isRecord(saved) ||
      `${saved.shape}` !== `${shape}` ||
      !isNumbers(saved.data, sizeOf(shape))
    ) {
      fail(`variables[${i}] must hold finite numbers of shape [${shape}]`);
    }
  }
  const bestFits =
    best === null ||
    (Array.isArray(best) &&
      best.length === learned &&
      best.every((values, i) => isNumbers(values, sizeOf(shapes[i]!))));
  if (!bestFits) fail('best must hold the learned variables or be null');
  const { learningRateScale, lossSum } = state;
  if (!isNumbers([learningRateScale, lossSum], 2))
    fail('learningRateScale and lossSum must be finite');
  if (!isCount(state.sinceTurn) || !isCount(state.stepsInEpoch)) {
    fail('sinceTurn and stepsInEpoch must be integers >= 0');
  }
  const goodEpochs =
    Array.isArray(epochs) &&
    epochs.every(
      (epoch, i) => isRecord(epoch) && epoch.epoch === i + 1 && Number.isFinite(epoch.validLoss),
    );
  if (!goodEpochs) fail('epochs must be a list of epochs');
  checkCursor('train', state.train);
  checkCursor('valid', state.valid);
  try {
    restoreRandom(state.random as number[]);
  } catch {
    fail('random must be the state of a random source');
  }
  return state as unknown as SelfTuningState;
}
