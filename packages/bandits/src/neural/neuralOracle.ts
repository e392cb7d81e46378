/** Online neural regression: the oracle of NeuSquareCB and NeuFastCB. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  NonFiniteError,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import { sigmoid } from '../linear/logisticModel.js';
import type { Oracle } from '../oracle.js';
import type { Json } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { History } from './history.js';
import type { Mlp } from './mlp.js';
import {
  createNetwork,
  type NetworkShapeOptions,
  networkShape,
  SHAPE_OPTIONS,
  TRAINING_OPTIONS,
  type TrainingOptions,
  trainingIsDue,
  trainingSettings,
  trainOnHistory,
} from './networkOptions.js';
import {
  drawSigns,
  expectedPull,
  meanOf,
  perturbationFactor,
  perturbationShifts,
  perturbedGradient,
  projectToBall,
} from './perturbation.js';
import { slopeAt } from './regressionLoss.js';
import { parametersAreFinite, SgdSteps } from './sgd.js';

/** Options of online neural regression. */
export interface NeuralRegressionOptions extends NetworkShapeOptions, TrainingOptions {
  /**
   * `'replay'`: train on the history by samples, as the codes of this family do. `'fullBatch'`: by gradients of the
   * whole history. `'ogd'`: one step an observation, projected, which is the algorithm of the paper; it wants a
   * `learningRate` near 0.1. Default `'replay'`
   */
  readonly train?: 'replay' | 'fullBatch' | 'ogd';
  /**
   * Output perturbation `c_p m^(−1/4) ⟨θ − θ₀, ε⟩`. `'sampled'`: with `draws` sign vectors ε, drawn anew for each
   * observation; needs `train: 'ogd'`. `'expected'`: what it is in expectation for the square loss, a pull to θ₀, at no
   * cost in draws. `'none'`. Default `'expected'`
   */
  readonly perturbation?: 'expected' | 'sampled' | 'none';
  /** c_p ≥ 0. Default 0.1 */
  readonly perturbationScale?: number;
  /** S, sign vectors of `'sampled'`. Default 5 */
  readonly draws?: number;
  /** ρ, Frobenius norm that weights, or biases, of a hidden layer may move from their start. Default Infinity */
  readonly radius?: number;
  /** ρ₁, the same of the output layer. Default `radius` */
  readonly outputRadius?: number;
}

/** @internal Names of {@link NeuralRegressionOptions}. */
export const REGRESSION_OPTIONS = [
  ...SHAPE_OPTIONS,
  ...TRAINING_OPTIONS,
  'train',
  'perturbation',
  'perturbationScale',
  'draws',
  'radius',
  'outputRadius',
] as const;

function settingsOf(caller: string, options: NeuralRegressionOptions) {
  const {
    train = 'replay',
    perturbation = 'expected',
    perturbationScale = 0.1,
    draws = 5,
    radius = Infinity,
    outputRadius = radius,
  } = options;
  checkOneOf(caller, 'train', train, ['replay', 'fullBatch', 'ogd']);
  checkOneOf(caller, 'perturbation', perturbation, ['expected', 'sampled', 'none']);
  checkNumber(caller, 'perturbationScale', perturbationScale, { min: 0 });
  checkInteger(caller, 'draws', draws, { min: 1 });
  for (const [name, value] of [
    ['radius', radius],
    ['outputRadius', outputRadius],
  ] as const) {
    if (value !== Infinity) checkNumber(caller, name, value, { min: 0 });
  }
  if (perturbation === 'sampled' && train !== 'ogd') {
    throw new RangeError(`${caller}: train must be 'ogd' for sampled perturbation, got '${train}'`);
  }
  const { maxUpdates = train === 'fullBatch' ? 100 : undefined } = options;
  const training = trainingSettings(caller, { ...options, maxUpdates });
  return { train, perturbation, perturbationScale, draws, radius, outputRadius, training };
}

/** Predicts losses in [0, 1] by a network with a linear output (`halfSquare`) or a sigmoid one (`kl`). */
export class NeuralOracle implements Oracle {
  readonly net: Mlp;
  private readonly settings: ReturnType<typeof settingsOf>;
  private readonly history: History | undefined;
  private random: Random;
  private t = 0;
  private signs: Int8Array = new Int8Array(0);
  private shift = 0;
  private drawState: readonly number[] = [];

  constructor(
    private readonly caller: string,
    private readonly dim: number,
    private readonly actionCount: number | undefined,
    private readonly loss: 'halfSquare' | 'kl',
    options: NeuralRegressionOptions,
  ) {
    const shape = networkShape(caller, options);
    this.settings = settingsOf(caller, options);
    this.random = seededRandom(shape.seed);
    this.net = createNetwork(dim, actionCount ?? 1, shape, this.random);
    if (this.settings.train !== 'ogd')
      this.history = new History(dim, this.settings.training.capacity);
    this.drawPerturbation();
  }

  private get width(): number {
    return this.net.shape.hidden.at(-1)!;
  }

  /** Signs for the next observation; they follow from the random state, so only that need be saved. */
  private drawPerturbation(): void {
    const { perturbation, draws, perturbationScale } = this.settings;
    if (perturbation !== 'sampled') return;
    this.drawState = this.random.state();
    this.signs = drawSigns(this.random, draws * this.net.parameterCount);
    const factor = perturbationFactor(perturbationScale, this.width);
    this.shift = meanOf(perturbationShifts(this.net.theta, this.net.start, this.signs, factor));
  }

  predict(x: Float64Array, K: number, out: Float64Array): void {
    const { net, dim, actionCount, shift, loss } = this;
    for (let a = 0; a < K; a++) {
      const f = net.forward(
        x,
        actionCount === undefined ? a * dim : 0,
        actionCount === undefined ? 0 : a,
      );
      out[a] = loss === 'kl' ? sigmoid(f + shift) : f + shift;
    }
  }

  update(x: Float64Array, action: number, y: number, weight: number): void {
    const block = this.actionCount === undefined ? 0 : action;
    if (this.settings.train === 'ogd') this.descend(x, block, y, weight);
    else this.remember(x, block, y, weight);
    this.t++;
  }

  private refuse(): never {
    throw new NonFiniteError(
      `${this.caller}.update: learningRate must keep the network finite; the observation was not learnt`,
    );
  }

  /** One projected step, Π_B(θ − η ∇L). */
  private descend(x: Float64Array, block: number, y: number, weight: number): void {
    const { net, loss } = this;
    const { start } = net;
    const { perturbation, perturbationScale, radius, outputRadius, training } = this.settings;
    const { learningRate } = training;
    net.snapshot();
    if (perturbation === 'sampled') {
      const gradient = new Float64Array(net.parameterCount);
      const factor = perturbationFactor(perturbationScale, this.width);
      perturbedGradient(net, start, this.signs, factor, { x, at: 0, block, y, loss }, gradient);
      for (let i = 0; i < gradient.length; i++)
        net.theta[i]! -= learningRate * weight * gradient[i]!;
    } else {
      const pull =
        perturbation === 'expected' ? weight * expectedPull(perturbationScale, this.width) : 0;
      const steps = new SgdSteps(net, learningRate, pull, 'start');
      const f = steps.forward(x, 0, block);
      steps.apply(block, weight * slopeAt(loss, y, f));
      steps.settle();
    }
    // A prediction that is not finite can still leave finite parameters behind dead units.
    if (!parametersAreFinite(net) || !Number.isFinite(net.forward(x, 0, block))) {
      net.rollback();
      this.refuse();
    }
    projectToBall(net, start, radius, outputRadius);
    this.drawPerturbation();
  }

  private remember(x: Float64Array, block: number, y: number, weight: number): void {
    const { net, loss, random } = this;
    const { start } = net;
    const { train, perturbation, perturbationScale, radius, outputRadius, training } =
      this.settings;
    const history = this.history!;
    const mark = trainingIsDue(this.t + 1, training) ? history.mark() : undefined;
    history.add(x, y, weight, block);
    if (!mark) return;
    const state = random.state();
    const decay = perturbation === 'expected' ? expectedPull(perturbationScale, this.width) : 0;
    const mode = train === 'fullBatch' ? train : 'replay';
    const settings = { ...training, loss, decay, anchor: 'start' as const };
    if (!trainOnHistory(net, history, random, mode, settings)) {
      history.undo(mark);
      this.random = restoreRandom(state);
      this.refuse();
    }
    projectToBall(net, start, radius, outputRadius);
  }

  save(): { [key: string]: Json } {
    const sampled = this.settings.perturbation === 'sampled';
    return {
      t: this.t,
      theta: encodeNumbers(this.net.theta),
      start: encodeNumbers(this.net.start),
      random: [...(sampled ? this.drawState : this.random.state())],
      ...(this.history && { history: this.history.save() }),
    };
  }

  load(data: SavedData): void {
    this.t = data.count('t');
    this.net.theta.set(data.numbers('theta', this.net.parameterCount));
    this.net.start.set(data.numbers('start', this.net.parameterCount));
    this.history?.load(data.part('history'), this.net.shape.blocks);
    this.random = restoreRandom(data.randomState('random'));
    this.drawPerturbation();
  }
}
