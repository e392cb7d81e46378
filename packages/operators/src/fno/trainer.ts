/** Training of the operator on pairs of trajectories; a run can be stopped, saved and continued bit for bit. */
import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  NonFiniteError,
  seededRandom,
} from '@orth/backend';
import {
  add,
  div,
  gather,
  mean,
  reshape,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { bochnerNorm } from '../navierStokes/sobolev.js';
import { Adam, oneCycle } from './adam.js';
import type { STFNO, STFNOState } from './stfno.js';
import { decodeTensor, encodeNumbers, type TensorState } from './tensorState.js';

/** Options of {@link STFNOTrainer}. */
export interface TrainerOptions {
  /** Known trajectories, `[count, t, n, n]` (`[count, t, 2, n, n]` for velocities); not copied. */
  readonly inputs: Tensor;
  /** What follows each, `[count, outSteps, …]`; not copied. */
  readonly targets: Tensor;
  /** Passes over the data, >= 1. Default 10 */
  readonly epochs?: number;
  /** Trajectories a step; the last step of an epoch takes what is left. Default 4 */
  readonly batchSize?: number;
  /** Highest learning rate of the one-cycle schedule. Default 1e-2 */
  readonly learningRate?: number;
  /** Order of the Sobolev norm of the relative loss. Default 0, L² */
  readonly order?: number;
  /** Shift of that norm. Default 0.1 */
  readonly alpha?: number;
  /** Side of the box, for orders other than 0. Default 2π */
  readonly diam?: number;
  /** Of the batches' order; integer. Default 0 */
  readonly seed?: number;
}

/** One step of training. */
export interface STFNOTrainingStep {
  /** Steps made, counted from 1, of {@link totalSteps}. */
  readonly step: number;
  readonly totalSteps: number;
  /** Epoch of the step, counted from 0. */
  readonly epoch: number;
  /** Mean relative error over the batch, before the step. */
  readonly loss: number;
  readonly learningRate: number;
}

/** A stopped training as JSON: network, moments and position. The data are not part of it. */
export interface TrainerState {
  readonly format: 'orth-stfno-training';
  readonly version: 1;
  readonly step: number;
  readonly model: STFNOState;
  /** First and second moment of each parameter. */
  readonly moments: Readonly<Record<string, readonly [TensorState, TensorState]>>;
}

const OPTIONS = [
  'inputs',
  'targets',
  'epochs',
  'batchSize',
  'learningRate',
  'order',
  'alpha',
  'diam',
  'seed',
];

/** Divisors of the one-cycle schedule: the authors'. */
const [DIVISOR, FINAL_DIVISOR] = [1e3, 1e4];

/** Added under roots and to denominators: a trajectory that is zero and predicted as zero has loss 0 and no gradient. */
const TINY = 1e-12;

/**
 * Trains a network by Adam with a one-cycle schedule on the relative error, in L² or a Sobolev norm.
 *
 * @example
 * const trainer = new STFNOTrainer(model, { inputs, targets, epochs: 10 });
 * await trainer.run({ onStep: ({ step, loss }) => {} });
 * trainer.dispose();
 * @see Cao et al. 2025, arXiv:2405.17211
 */
export class STFNOTrainer {
  /** Steps of the whole training. */
  readonly totalSteps: number;
  private readonly options: Required<TrainerOptions>;
  private readonly adam: Adam;
  private readonly perEpoch: number;

  /** @throws TypeError or RangeError for a bad or unknown option */
  constructor(
    private readonly model: STFNO,
    options: TrainerOptions,
  ) {
    const caller = 'STFNOTrainer';
    checkOptions(caller, options, OPTIONS);
    const { inputs, targets, epochs = 10, batchSize = 4, learningRate = 1e-2 } = options;
    const { order = 0, alpha = 0.1, diam = 2 * Math.PI, seed = 0 } = options;
    const rank = model.config.channels === 1 ? 4 : 5;
    checkTensor(caller, 'inputs', inputs, { rank });
    const [count, , ...rest] = inputs.shape as [number, number, ...number[]];
    checkTensor(caller, 'targets', targets, { shape: [count, null, ...rest] });
    checkInteger(caller, 'epochs', epochs, { min: 1 });
    checkInteger(caller, 'batchSize', batchSize, { min: 1 });
    checkNumber(caller, 'learningRate', learningRate, { above: 0 });
    checkNumber(caller, 'order', order);
    checkNumber(caller, 'alpha', alpha, { min: 0 });
    checkNumber(caller, 'diam', diam, { above: 0 });
    checkInteger(caller, 'seed', seed);
    this.options = {
      inputs,
      targets,
      epochs,
      batchSize,
      learningRate,
      order,
      alpha,
      diam,
      seed,
    };
    this.perEpoch = Math.ceil(count / batchSize);
    this.totalSteps = epochs * this.perEpoch;
    this.adam = new Adam([...model.weights.values()]);
  }

  /** Steps made. */
  get step(): number {
    return this.adam.steps;
  }

  /**
   * Trains on, to the end or until `signal` says stop.
   * @returns the last step, or undefined if there was none to make
   * @throws NonFiniteError where the loss is not finite; the weights are then as before that step
   */
  async run(
    options: { onStep?: (step: STFNOTrainingStep) => void; signal?: AbortSignal } = {},
  ): Promise<STFNOTrainingStep | undefined> {
    checkOptions('STFNOTrainer.run', options, ['onStep', 'signal']);
    let last: STFNOTrainingStep | undefined;
    while (this.step < this.totalSteps && !options.signal?.aborted) {
      last = await this.next();
      options.onStep?.(last);
    }
    return last;
  }

  /** Everything that {@link loadState} needs to go on as if there had been no stop, on the same data and options. */
  async saveState(): Promise<TrainerState> {
    const moments: Record<string, [TensorState, TensorState]> = {};
    const names = [...this.model.weights.keys()];
    for (const [i, name] of names.entries()) {
      const [m, v] = await Promise.all(
        this.adam.moments[i]!.map(async (x) => ({
          shape: x.shape,
          data: encodeNumbers((await x.data()) as Float32Array),
        })),
      );
      moments[name] = [m!, v!];
    }
    const model = await this.model.saveState();
    return { format: 'orth-stfno-training', version: 1, step: this.step, model, moments };
  }

  /**
   * Continues a saved training.
   * @throws CheckpointError if the state is damaged or of another network; nothing changed
   */
  loadState(state: TrainerState): void {
    const caller = 'STFNOTrainer.loadState';
    const valid =
      state?.format === 'orth-stfno-training' &&
      state.version === 1 &&
      Number.isInteger(state.step) &&
      state.step >= 0 &&
      state.step <= this.totalSteps &&
      typeof state.moments === 'object' &&
      state.moments !== null;
    if (!valid) throw new CheckpointError(`${caller}: this is not a training of this length`);
    const decoded = [...this.model.weights].map(([name, w]) => {
      return [0, 1].map((i) => decodeTensor(caller, name, state.moments[name]?.[i], w.shape));
    });
    this.model.loadState(state.model);
    tidy(() => {
      decoded.forEach((pair, i) => {
        pair.forEach((data, which) => {
          const moment = this.adam.moments[i]![which]!;
          moment.assign(tensor(data, moment.shape));
        });
      });
    });
    this.adam.steps = state.step;
  }

  /** Frees the moments; network and data stay. */
  dispose(): void {
    this.adam.dispose();
  }

  private async next(): Promise<STFNOTrainingStep> {
    const { inputs, targets, batchSize, learningRate, seed } = this.options;
    const epoch = Math.floor(this.step / this.perEpoch);
    const count = inputs.shape[0]!;
    const order = seededRandom(seed)
      .fork(epoch)
      .shuffle(Array.from({ length: count }, (_, i) => i));
    const at = (this.step % this.perEpoch) * batchSize;
    const batch = order.slice(at, at + batchSize);
    const rate = oneCycle(
      {
        max: learningRate,
        divisor: DIVISOR,
        finalDivisor: FINAL_DIVISOR,
        steps: this.totalSteps,
      },
      this.step,
    );
    const variables = [...this.model.weights.values()];
    const { value, grads } = tidy(() => {
      const indices = tensor1d(batch, 'int32');
      const [x, y] = [gather(inputs, indices), gather(targets, indices)];
      return variableGrads(
        () => this.loss(this.model.predict(x, { outSteps: y.shape[1]! }), y),
        variables,
      );
    });
    const gradients = variables.map((w) => grads[w.name]!);
    const [loss] = await value.data();
    try {
      if (!Number.isFinite(loss)) {
        throw new NonFiniteError(`STFNOTrainer: the loss of step ${this.step + 1} is ${loss}`);
      }
      this.adam.step(gradients, rate);
    } finally {
      for (const x of [value, ...gradients]) x.dispose();
    }
    return {
      step: this.step,
      totalSteps: this.totalSteps,
      epoch,
      loss: loss!,
      learningRate: rate,
    };
  }

  /** Mean relative error of the batch. */
  private loss(prediction: Tensor, truth: Tensor): Scalar {
    const { order, alpha, diam } = this.options;
    const squared = (x: Tensor) => {
      if (order === 0) return sum(square(reshape(x, [x.shape[0]!, -1])), 1);
      const trajectories = reshape(x, [x.shape[0]!, -1, ...x.shape.slice(-2)]);
      return square(bochnerNorm(trajectories, { order, alpha, diam }));
    };
    const share = div(squared(sub(prediction, truth)), add(squared(truth), TINY));
    return mean(sqrt(add(share, TINY))) as Scalar;
  }
}
