/** Training of unrolled networks, layer by layer, with or without the true signals. */
import {
  CheckpointError,
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import { add, mean, type Scalar, square, sub, type Tensor } from '@tensorflow/tfjs-core';
import { Descent, type DescentRule, type DescentState } from '../training/descent.js';
import {
  checkCounts,
  checkFunction,
  checkRate,
  checkRule,
  type LearningRate,
  rateAt,
} from '../training/trainingArguments.js';
import { fieldOf, pack } from './packedComplex.js';
import type { UnfoldedNetwork } from './unfoldedNetwork.js';

/** A batch to train on: measurements, and for supervised training the signals behind them. */
export interface UnfoldedBatch {
  readonly y: Tensor;
  readonly x?: Tensor;
}

/** Options of {@link trainUnfolded}. */
export interface TrainUnfoldedOptions {
  /**
   * `'supervised'`: mean over batch and coordinates of `|x_t − x|²`; `'unsupervised'`: mean over the batch of the
   * network's objective. Default `'supervised'`
   */
  readonly loss?: 'supervised' | 'unsupervised';
  /** Whether layers are added one by one (see {@link trainUnfolded}). Default true */
  readonly incremental?: boolean;
  /** Steps for each number of layers; all at once takes as many in total. Default 100 */
  readonly stepsPerGeneration?: number;
  /** Asked of the sampler. Default 100 */
  readonly batchSize?: number;
  /** Constant, or by step within the generation. Default 0.01 */
  readonly learningRate?: LearningRate;
  /** `'adam'`, `'sgd'`, or a function that makes an optimizer; fresh for each generation. Default `'adam'` */
  readonly optimizer?: DescentRule;
  /** Ends a generation after so many steps without a new lowest loss. Default: never */
  readonly patience?: number;
  /** Called after each step. */
  readonly onStep?: (progress: UnfoldedProgress) => void;
  /** Ends the training after the current step. */
  readonly signal?: AbortSignal;
  /** Where a training that was ended goes on; the network must have the weights it had then. */
  readonly resume?: UnfoldedTrainingState;
}

/** What `onStep` is told. */
export interface UnfoldedProgress {
  /** Layers that are trained, from 1. */
  readonly generation: number;
  /** Step within the generation, from 0. */
  readonly step: number;
  /** Loss before the step. */
  readonly loss: number;
}

/** Where a training stands: plain numbers, fit for JSON. The sampler's state and the weights are saved by their owners. */
export interface UnfoldedTrainingState {
  readonly generation: number;
  readonly step: number;
  readonly descent: DescentState;
  readonly best: number;
  readonly sinceBest: number;
}

/** How a training went. */
export interface UnfoldedTraining {
  /** `'stopped'`: by the signal; go on with `resume: state`. */
  readonly status: 'done' | 'stopped';
  /** Loss before each step. */
  readonly losses: readonly number[];
  readonly state: UnfoldedTrainingState;
}

const OPTIONS = [
  'loss',
  'incremental',
  'stepsPerGeneration',
  'batchSize',
  'learningRate',
  'optimizer',
  'patience',
  'onStep',
  'signal',
  'resume',
];

/**
 * Trains the weights of an unrolled network. Incrementally: for t = 1 … T ("generations") a fresh optimizer makes
 * `stepsPerGeneration` steps on the loss of layer t's output, over the weights of layers 1 … t, which start from where
 * the generation before left them. All layers at once, with as many steps, end in a worse optimum.
 *
 * @param network - its weights are changed in place
 * @param sampler - makes a fresh batch; tensors that it creates are disposed here, others are left alone
 * @returns losses, and a state to go on from; training that is stopped, saved and resumed gives the same weights bit for
 *   bit, if the sampler goes on as it would have
 * @throws TypeError or RangeError for a wrong argument, or a batch without `x` in supervised training; NonFiniteError,
 *   with the weights as they were before the step, if a loss or gradient is not finite; CheckpointError for a `resume`
 *   that does not fit
 * @see Nagahisa, Hayakawa, Iiguni 2025, arXiv 2509.01331; Ito, Takabe, Wadayama 2019 (incremental training)
 */
export async function trainUnfolded(
  network: UnfoldedNetwork,
  sampler: (batchSize: number) => UnfoldedBatch,
  options: TrainUnfoldedOptions = {},
): Promise<UnfoldedTraining> {
  const caller = 'trainUnfolded';
  checkOptions(caller, options, OPTIONS);
  const { loss = 'supervised', incremental = true, stepsPerGeneration = 100 } = options;
  const { batchSize = 100, learningRate = 0.01, optimizer = 'adam', patience } = options;
  const { onStep, signal, resume } = options;
  checkFunction(caller, 'sampler', sampler);
  checkOneOf(caller, 'loss', loss, ['supervised', 'unsupervised']);
  checkBoolean(caller, 'incremental', incremental);
  checkCounts(caller, {
    stepsPerGeneration,
    batchSize,
    ...(patience !== undefined && { patience }),
  });
  checkRate(caller, learningRate);
  checkRule(caller, optimizer);
  if (onStep !== undefined) checkFunction(caller, 'onStep', onStep);
  const T = network.layers;
  const steps = incremental ? stepsPerGeneration : stepsPerGeneration * T;
  if (resume) checkResume(caller, resume, T, steps);

  const lossAt = (layers: number) => (): Scalar => {
    const { x, y } = sampler(batchSize);
    checkTensor(caller, 'y of the sampler', y, { minRank: 2, dtype: ['float32', 'complex64'] });
    const estimate = network.apply(y, { layers });
    if (loss === 'unsupervised') return mean(network.objective(estimate, y)) as Scalar;
    checkTensor(caller, 'x of the sampler', x, { shape: estimate.shape, dtype: [estimate.dtype] });
    const squares = mean(square(sub(pack(estimate), pack(x)))) as Scalar;
    // Re² + Im² of an entry count together.
    return fieldOf(estimate) === 'complex' ? (add(squares, squares) as Scalar) : squares;
  };

  const losses: number[] = [];
  let generation = resume?.generation ?? (incremental ? 1 : T);
  let step = resume?.step ?? 0;
  let best = resume?.best ?? Number.MAX_VALUE;
  let sinceBest = resume?.sinceBest ?? 0;
  let descent = new Descent(caller, network.variablesUpTo(generation), optimizer);
  try {
    if (resume) descent.load(resume.descent);
    const report = async (status: UnfoldedTraining['status']): Promise<UnfoldedTraining> => ({
      status,
      losses,
      state: { generation, step, best, sinceBest, descent: await descent.save() },
    });
    for (;;) {
      if (step >= steps || (patience !== undefined && sinceBest >= patience)) {
        if (generation === T) return await report('done');
        descent.dispose();
        generation += 1;
        [step, best, sinceBest] = [0, Number.MAX_VALUE, 0];
        descent = new Descent(caller, network.variablesUpTo(generation), optimizer);
      }
      if (signal?.aborted) return await report('stopped');
      const value = await descent.step(lossAt(generation), rateAt(caller, learningRate, step));
      losses.push(value);
      sinceBest = value < best ? 0 : sinceBest + 1;
      best = Math.min(best, value);
      onStep?.({ generation, step, loss: value });
      step += 1;
    }
  } finally {
    descent.dispose();
  }
}

function checkResume(caller: string, state: UnfoldedTrainingState, T: number, steps: number): void {
  try {
    checkInteger(caller, 'resume.generation', state.generation, { min: 1, max: T });
    checkInteger(caller, 'resume.step', state.step, { min: 0, max: steps });
    checkInteger(caller, 'resume.sinceBest', state.sinceBest, { min: 0 });
    if (typeof state.best !== 'number' || typeof state.descent !== 'object') {
      throw new TypeError(`${caller}: resume must be the state of a training`);
    }
  } catch (error) {
    throw new CheckpointError((error as Error).message);
  }
}
