/** Training of learned proximal networks on clean samples. */
import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  type Random,
  type RandomState,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import {
  abs,
  add,
  mean,
  mul,
  type Scalar,
  square,
  sub,
  type Tensor,
  tensor,
} from '@tensorflow/tfjs-core';
import { Descent, type DescentRule, type DescentState } from '../training/descent.js';
import { checkCounts, checkFunction, checkRule } from '../training/trainingArguments.js';
import { gammaSchedule, type LpnStep } from './gammaSchedule.js';
import type { LPN } from './lpn.js';
import { proximalMatchingLoss } from './proximalMatchingLoss.js';

/** Options of {@link trainLpn}. */
export interface TrainLpnOptions {
  /** Standard deviation of the noise that the network learns to remove, > 0: it sets the prox's strength. */
  readonly sigma: number;
  /** Default 40000 */
  readonly steps?: number;
  /** Loss, γ and learning rate by step. Default {@link gammaSchedule} with `gammaMin = 0.08 √(values of a sample)` */
  readonly schedule?: (step: number) => LpnStep;
  /** Asked of the sampler. Default 100 */
  readonly batchSize?: number;
  /** `'adam'`, `'sgd'`, or a function that makes an optimizer. Default `'adam'` */
  readonly optimizer?: DescentRule;
  /** Of the noise. Default 0 */
  readonly seed?: number;
  /** Called after each step. */
  readonly onStep?: (progress: LpnProgress) => void;
  /** Ends the training after the current step. */
  readonly signal?: AbortSignal;
  /** Where a training that was ended goes on; the network must have the weights it had then. */
  readonly resume?: LpnTrainingState;
}

/** What `onStep` is told. */
export interface LpnProgress extends LpnStep {
  /** From 0. */
  readonly step: number;
  readonly total: number;
  /** The value of this step's loss, before the update. */
  readonly value: number;
}

/** Where a training stands: plain numbers, fit for JSON. The sampler's state and the weights are saved by their owners. */
export interface LpnTrainingState {
  readonly step: number;
  readonly descent: DescentState;
  readonly random: RandomState;
}

/** How a training went. */
export interface LpnTraining {
  /** `'stopped'`: by the signal; go on with `resume: state`. */
  readonly status: 'done' | 'stopped';
  /** Loss before each step; which loss depends on the step. */
  readonly losses: readonly number[];
  readonly state: LpnTrainingState;
}

const OPTIONS = [
  'sigma',
  'steps',
  'schedule',
  'batchSize',
  'optimizer',
  'seed',
  'onStep',
  'signal',
  'resume',
];

/**
 * Trains `f` to recover x from `x + σ N(0, I)`: first with an l1 loss, then by proximal matching with falling γ, which
 * turns the denoiser from the posterior mean or median into the posterior mode. After every step the weights that must
 * not be negative are clipped.
 *
 * @param model - its weights are changed in place
 * @param sampler - makes a batch of clean samples `[B, …]`; tensors that it creates are disposed here, others are left
 * @returns losses, and a state to go on from; training that is stopped, saved and resumed gives the same weights bit for
 *   bit, if the sampler goes on as it would have
 * @throws TypeError or RangeError for a wrong argument; NonFiniteError, with the weights as they were before the step, if
 *   a loss or gradient is not finite; CheckpointError for a `resume` that does not fit
 * @see Fang, Buchanan, Sulam 2024, section on training
 */
export async function trainLpn(
  model: LPN,
  sampler: (batchSize: number) => Tensor,
  options: TrainLpnOptions,
): Promise<LpnTraining> {
  const caller = 'trainLpn';
  checkOptions(caller, options, OPTIONS);
  const { sigma, steps = 40_000, batchSize = 100, optimizer = 'adam', seed = 0 } = options;
  const { onStep, signal, resume } = options;
  checkFunction(caller, 'sampler', sampler);
  checkNumber(caller, 'sigma', sigma, { above: 0 });
  checkCounts(caller, { steps, batchSize });
  checkRule(caller, optimizer);
  checkInteger(caller, 'seed', seed);
  if (onStep !== undefined) checkFunction(caller, 'onStep', onStep);
  const values = model.inputShape.reduce((product, n) => product * n, 1);
  const { schedule = gammaSchedule({ steps, gammaMin: 0.08 * Math.sqrt(values) }) } = options;
  checkFunction(caller, 'schedule', schedule);

  const descent = new Descent(caller, model.variables, optimizer);
  const losses: number[] = [];
  let step = 0;
  let random = seededRandom(seed);
  try {
    if (resume) {
      if (!Number.isSafeInteger(resume.step) || resume.step < 0 || !resume.descent) {
        throw new CheckpointError(`${caller}: resume must be the state of a training`);
      }
      random = restoreRandom(resume.random);
      descent.load(resume.descent);
      step = resume.step;
    }
    while (step < steps && !signal?.aborted) {
      const plan = schedule(step);
      checkStep(caller, plan, step);
      const loss = (): Scalar => {
        const clean = sampler(batchSize);
        checkTensor(caller, 'batch of the sampler', clean, { shape: [null, ...model.inputShape] });
        const noisy = add(clean, gaussian(random, clean.shape, sigma));
        return lossOf(plan, model.apply(noisy), clean);
      };
      const value = await descent.step(loss, plan.learningRate);
      model.clip();
      losses.push(value);
      onStep?.({ ...plan, step, total: steps, value });
      step += 1;
    }
    return {
      status: step < steps ? 'stopped' : 'done',
      losses,
      state: { step, descent: await descent.save(), random: random.state() },
    };
  } finally {
    descent.dispose();
  }
}

function checkStep(caller: string, plan: LpnStep, step: number): void {
  const where = `schedule(${step})`;
  checkOneOf(caller, `${where}.loss`, plan?.loss, ['l1', 'l2', 'pm']);
  checkNumber(caller, `${where}.learningRate`, plan.learningRate, { min: 0 });
  if (plan.loss === 'pm') checkNumber(caller, `${where}.gamma`, plan.gamma, { above: 0 });
}

function lossOf({ loss, gamma }: LpnStep, prediction: Tensor, target: Tensor): Scalar {
  if (loss === 'pm') return proximalMatchingLoss(prediction, target, gamma!);
  const error = sub(prediction, target);
  if (loss === 'l1') return mean(abs(error)) as Scalar;
  return mul(mean(square(error)), target.size / target.shape[0]!) as Scalar;
}

/** Both numbers of each Box–Muller pair are used: noise is as dear as a layer. */
function gaussian(random: Random, shape: number[], deviation: number): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const data = new Float32Array(size);
  for (let i = 0; i < size; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    data[i] = radius * Math.cos(angle);
    if (i + 1 < size) data[i + 1] = radius * Math.sin(angle);
  }
  return tensor(data, shape, 'float32');
}
