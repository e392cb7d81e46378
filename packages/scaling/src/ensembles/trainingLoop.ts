/** The loop that training and distillation share. */
import { NonFiniteError } from '@orth/backend';
import {
  dispose,
  type Optimizer,
  type Scalar,
  type Tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { WeightAverage } from './weightAverage.js';

/** A model that can be trained here: logits, and the variables they depend on. */
export interface TrainableModel {
  /** Logits of inputs, `[B, V]` or `[B, T, V]`; differentiable. */
  predict(inputs: Tensor): Tensor;
  readonly variables: readonly Variable[];
}

/** Where a run is. */
export interface StepInfo {
  /** Steps done. */
  readonly step: number;
  readonly totalSteps: number;
  /** Loss of the last batch, before its update. */
  readonly loss: number;
}

/** What callers of the loop may pass on. */
export interface LoopOptions {
  /** Told the loss every `reportEvery` steps and at the end. */
  onStep?(info: StepInfo): void | Promise<void>;
  /** Steps between reports, integer >= 1; reading a loss waits for the device. Default 50 */
  readonly reportEvery?: number;
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
  /** Average of the weights over the steps, updated after each; the caller applies it. */
  readonly average?: WeightAverage;
}

export const LOOP_OPTIONS = ['onStep', 'reportEvery', 'signal', 'average'];

/** What a run gave. */
export interface TrainingResult {
  readonly steps: number;
  /** Loss of the last batch, before its update. */
  readonly finalLoss: number;
}

/** An optimizer that may find a fault later than the step that had it. */
interface Settling {
  settle?(): Promise<void>;
}

/**
 * Takes `steps` steps; `prepare` makes a step's tensors, which are disposed after it, and `loss` the loss from them.
 * @throws NonFiniteError if a loss that is read is not finite
 */
export async function runSteps<Made extends readonly Tensor[]>(
  caller: string,
  model: TrainableModel,
  optimizer: Optimizer,
  totalSteps: number,
  work: {
    prepare(step: number): Made;
    loss(made: Made): Scalar;
  },
  { onStep, reportEvery = 50, signal, average }: LoopOptions,
): Promise<TrainingResult> {
  let finalLoss = Number.NaN;
  for (let step = 1; step <= totalSteps; step++) {
    signal?.throwIfAborted();
    const made = work.prepare(step - 1);
    const read = step === totalSteps || (onStep !== undefined && step % reportEvery === 0);
    let value: Scalar | null;
    try {
      value = optimizer.minimize(() => work.loss(made), read, [...model.variables]);
    } finally {
      dispose([...made]);
    }
    average?.update(model.variables);
    if (!value) continue;
    const loss = (await value.data())[0]!;
    value.dispose();
    if (!Number.isFinite(loss)) {
      throw new NonFiniteError(`${caller}: loss must be finite, got ${loss} at step ${step}`);
    }
    finalLoss = loss;
    await onStep?.({ step, totalSteps, loss });
  }
  await (optimizer as Settling).settle?.();
  return { steps: totalSteps, finalLoss };
}
