import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  gather,
  reshape,
  type Scalar,
  slice,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { Descent, type DescentState } from '../training/descent.js';
import {
  checkFunction,
  checkRate,
  type LearningRate,
  rateAt,
} from '../training/trainingArguments.js';
import type { CsrMatrix } from './csrMatrix.js';
import { DeviceMatrix } from './deviceMatrix.js';
import { directionLoss } from './directionLoss.js';
import type { DirectionNet } from './directionNet.js';

/** A step of {@link trainDirection}, as `onStep` is told. */
export interface TrainDirectionStep {
  /** From 1, steps before a `resume` included. */
  readonly step: number;
  /** Steps in all. */
  readonly total: number;
  /** Mean of {@link directionLoss} over the batch, before the step. */
  readonly loss: number;
  /** The same over the samples held out, where an epoch has just ended. */
  readonly validationLoss?: number;
}

/** Options of {@link trainDirection}. */
export interface TrainDirectionOptions {
  /** Passes over the training samples, integer >= 1. Default 10 */
  readonly epochs?: number;
  /** Steps in all, in place of `epochs`; integer >= 0. */
  readonly steps?: number;
  /** Samples a step, integer >= 1. Default 10 */
  readonly batchSize?: number;
  /** Of Adam, > 0, or by step from 0. Default 1e-4; 1e-3 suits small networks */
  readonly learningRate?: LearningRate;
  /** Share of the samples, the last ones, that is held out, in [0, 1). Default 0.1 */
  readonly validation?: number;
  /** Points along each axis. Default those of `A` */
  readonly grid?: readonly number[];
  /** Seed of the order, integer. Default 0 */
  readonly seed?: number;
  /** Goes on where an earlier training of the same network, data and options ended, as if it never had. */
  readonly resume?: DirectionTrainingState;
  /** Called after each step. */
  readonly onStep?: (step: TrainDirectionStep) => void;
  /** Ends the training before the next step, with what was learned. */
  readonly signal?: AbortSignal;
}

/** What a training goes on from, beside the network's weights: plain JSON. */
export interface DirectionTrainingState {
  readonly seed: number;
  readonly batchSize: number;
  /** Samples that are trained on. */
  readonly samples: number;
  readonly descent: DescentState;
}

/** What {@link trainDirection} gives back. */
export interface DirectionTraining {
  /** Whether all steps were made or `signal` ended it. */
  readonly status: 'finished' | 'aborted';
  /** Steps in all, those before a `resume` included. */
  readonly steps: number;
  /** Loss of each step made now. */
  readonly losses: readonly number[];
  /** Loss on the samples held out after each epoch that ended now, and at the end. */
  readonly validationLosses: readonly number[];
  /** To go on from, with the weights that `net.save()` gives. */
  readonly state: DirectionTrainingState;
}

const KNOWN: readonly (keyof TrainDirectionOptions)[] = [
  'epochs',
  'steps',
  'batchSize',
  'learningRate',
  'validation',
  'grid',
  'seed',
  'resume',
  'onStep',
  'signal',
];

/**
 * Trains a network to propose directions for one matrix, without solutions: Adam on {@link directionLoss} over right-hand
 * sides such as {@link ritzDataset} makes. The network serves other sizes of the same problem afterwards.
 *
 * @param net - changed in place
 * @param A - symmetric positive definite, on a grid of even lengths
 * @param data - right-hand sides `[samples, n]`, float32, of norm 1
 * @throws TypeError or RangeError for shapes that do not match or an option out of range or unknown; NonFiniteError if a loss
 *   or gradient is not finite (the weights stay as they were before that step); CheckpointError for a `resume` of another
 *   training
 * @example
 * const { losses, state } = await trainDirection(net, A, data, { epochs: 20, learningRate: 1e-3 });
 * @see Kaneda et al. 2023, section 4; samples are held out here, which the authors' script does not
 */
export async function trainDirection(
  net: DirectionNet,
  A: CsrMatrix,
  data: Tensor2D,
  options: TrainDirectionOptions = {},
): Promise<DirectionTraining> {
  const caller = 'trainDirection';
  const plan = checkTraining(caller, net, A, data, options);
  const { grid, samples, batchSize, perEpoch, total, rate, seed } = plan;
  const { onStep, signal, resume } = options;
  const [all, n] = data.shape;
  const descent = new Descent(caller, net.variables, 'adam');
  const device = new DeviceMatrix(A);
  const lossOf = (rows: Tensor2D) => {
    const q = net.predict(reshape(rows, [rows.shape[0], ...grid]));
    return directionLoss(device, reshape(q, rows.shape), rows) as Scalar;
  };
  const heldOut = async (): Promise<number | undefined> => {
    if (samples === all) return undefined;
    let sum = 0;
    for (let from = samples; from < all; from += batchSize) {
      const count = Math.min(batchSize, all - from);
      const loss = tidy(() => lossOf(slice(data, [from, 0], [count, n])));
      sum += count * (await loss.data())[0]!;
      loss.dispose();
    }
    return sum / (all - samples);
  };

  try {
    let step = 0;
    if (resume) {
      descent.load(resume.descent);
      step = resume.descent.steps;
    }
    const losses: number[] = [];
    const validationLosses: number[] = [];
    let order: number[] | undefined;
    let status: DirectionTraining['status'] = 'finished';
    for (; step < total; step++) {
      if (signal?.aborted) {
        status = 'aborted';
        break;
      }
      const [epoch, at] = [Math.floor(step / perEpoch), step % perEpoch];
      // An epoch's order depends on its number alone, so that a resumed training meets the same batches.
      if (!order || at === 0) {
        order = seededRandom(seed)
          .fork(epoch)
          .shuffle([...Array(samples).keys()]);
      }
      const picked = tensor1d(order.slice(at * batchSize, (at + 1) * batchSize), 'int32');
      const batch: Tensor = gather(data, picked);
      picked.dispose();
      try {
        losses.push(
          await descent.step(() => lossOf(batch as Tensor2D), rateAt(caller, rate, step)),
        );
      } finally {
        batch.dispose();
      }
      const ends = at === perEpoch - 1 || step === total - 1;
      const validationLoss = ends ? await heldOut() : undefined;
      if (validationLoss !== undefined) validationLosses.push(validationLoss);
      onStep?.({
        step: step + 1,
        total,
        loss: losses.at(-1)!,
        ...(validationLoss === undefined ? {} : { validationLoss }),
      });
    }
    const state = { seed, batchSize, samples, descent: await descent.save() };
    return { status, steps: step, losses, validationLosses, state };
  } finally {
    descent.dispose();
    device.dispose();
  }
}

function checkTraining(
  caller: string,
  net: DirectionNet,
  A: CsrMatrix,
  data: Tensor2D,
  options: TrainDirectionOptions,
) {
  checkOptions(caller, options, KNOWN);
  if (typeof net?.predict !== 'function' || !Array.isArray(net.variables)) {
    throw new TypeError(`${caller}: net must be a DirectionNet, got ${typeof net}`);
  }
  checkTensor(caller, 'data', data, { shape: [null, A?.rows ?? null] });
  const { grid = A.grid, epochs = 10, batchSize = 10, learningRate = 1e-4 } = options;
  const { validation = 0.1, seed = 0, resume, onStep } = options;
  if (grid?.length !== net.dim || grid.reduce((size, length) => size * length, 1) !== A.rows) {
    throw new RangeError(
      `${caller}: grid must have ${net.dim} axes and ${A.rows} points, got ${grid ? `[${grid}]` : 'none'}`,
    );
  }
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  checkRate(caller, learningRate);
  checkNumber(caller, 'validation', validation, { min: 0, below: 1 });
  checkInteger(caller, 'seed', seed);
  if (onStep !== undefined) checkFunction(caller, 'onStep', onStep);
  const samples = Math.max(1, Math.ceil(data.shape[0] * (1 - validation)));
  const perEpoch = Math.ceil(samples / batchSize);
  const { steps: total = epochs * perEpoch } = options;
  checkInteger(caller, 'steps', total, { min: 0 });
  if (resume !== undefined) {
    for (const [key, want] of Object.entries({ seed, batchSize, samples })) {
      const got = resume?.[key as 'seed'];
      if (got === want) continue;
      throw new CheckpointError(`${caller}: resume must be of ${key} ${want}, got ${got}`);
    }
    if (typeof resume.descent !== 'object' || resume.descent === null) {
      throw new CheckpointError(`${caller}: resume must hold the state of a descent`);
    }
  }
  return { grid, samples, batchSize, perEpoch, total, rate: learningRate, seed };
}
