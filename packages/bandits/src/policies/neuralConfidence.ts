/** NeuralUCB and NeuralTS: a network's prediction, and a deviation from its gradient and the diagonal of its past. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  NonFiniteError,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import { DiagonalConfidence } from '../neural/diagonalConfidence.js';
import { History } from '../neural/history.js';
import type { Mlp } from '../neural/mlp.js';
import {
  createNetwork,
  type NetworkShapeOptions,
  networkShape,
  SHAPE_OPTIONS,
  TRAINING_DEFAULTS,
  TRAINING_OPTIONS,
  type TrainingOptions,
  trainingIsDue,
  trainingSettings,
  trainOnHistory,
} from '../neural/networkOptions.js';
import type { Json, Policy } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions, pointMass } from './basePolicy.js';

/**
 * Options of {@link neuralUCB}. Training defaults are those of the NeuralUCB code: after every observation for 2000,
 * then every 100, at most 1000 steps, which is slow; the later papers train every 10 (`initialEvery: 10`).
 */
export interface NeuralUCBOptions extends PolicyOptions, NetworkShapeOptions, TrainingOptions {
  /** λ > 0: start of the design matrix and weight decay of the training. Default 0.001 */
  readonly lambda?: number;
  /** ν ≥ 0: the deviation is `√(λ ν Σ g²/U)`; 0 is greedy. Default 1 */
  readonly nu?: number;
  /**
   * `'replay'`: samples one by one. `'fullBatch'`: gradients of the whole history with decay λ / t. Default `'replay'`
   */
  readonly train?: 'replay' | 'fullBatch';
}

/** Options of {@link neuralTS}. */
export interface NeuralTSOptions extends NeuralUCBOptions {
  /**
   * Draws a decision. 1 is Thompson sampling, which gives its choice probability 1. With more the vote shares are the
   * probabilities, from which the action is then drawn. Default 1
   */
  readonly draws?: number;
}

const OPTIONS = [
  ...POLICY_OPTIONS,
  ...SHAPE_OPTIONS,
  ...TRAINING_OPTIONS,
  'lambda',
  'nu',
  'train',
] as const;

/** @internal What both share. */
export class NeuralConfidence extends BasePolicy {
  protected readonly options: NeuralTSOptions;
  readonly net: Mlp;
  readonly confidence: DiagonalConfidence;
  private readonly history: History;
  private readonly training: Required<TrainingOptions>;
  private readonly lambda: number;
  private readonly nu: number;
  private readonly train: 'replay' | 'fullBatch';
  private readonly draws: number;
  private random: Random;
  private means = new Float64Array(8);
  private deviations = new Float64Array(8);

  constructor(name: 'neuralUCB' | 'neuralTS', options: NeuralTSOptions) {
    checkOptions(name, options, name === 'neuralTS' ? [...OPTIONS, 'draws'] : OPTIONS);
    super(name, options);
    const { lambda = 0.001, nu = 1, train = 'replay', draws = 1 } = options;
    checkNumber(name, 'lambda', lambda, { above: 0 });
    checkNumber(name, 'nu', nu, { min: 0 });
    checkOneOf(name, 'train', train, ['replay', 'fullBatch']);
    checkInteger(name, 'draws', draws, { min: 1 });
    const shape = networkShape(name, options);
    this.training = trainingSettings(name, options, {
      ...TRAINING_DEFAULTS,
      initialRounds: 2000,
      initialEvery: 1,
      maxUpdates: train === 'fullBatch' ? 100 : 1000,
    });
    this.options = { ...options };
    this.lambda = lambda;
    this.nu = nu;
    this.train = train;
    this.draws = draws;
    this.random = seededRandom(shape.seed);
    const blocks = this.actionCount ?? 1;
    const room = DiagonalConfidence.extraFloats(this.dim, blocks, shape.hidden);
    this.net = createNetwork(this.dim, blocks, shape, this.random, room);
    this.confidence = new DiagonalConfidence(this.net, lambda);
    this.history = new History(this.dim, this.training.capacity);
  }

  private at(a: number): [number, number] {
    return this.actionCount === undefined ? [a * this.dim, 0] : [0, a];
  }

  /** Means and deviations of the K arms in `x`, `σ = √(λ ν Σ g²/U)`. */
  private score(K: number): void {
    if (this.means.length < K) {
      this.means = new Float64Array(K);
      this.deviations = new Float64Array(K);
    }
    const { net, x, confidence, lambda, nu } = this;
    for (let a = 0; a < K; a++) {
      const [at, block] = this.at(a);
      this.means[a] = net.forward(x, at, block);
      net.backward(1);
      this.deviations[a] = Math.sqrt(lambda * nu * confidence.measure(block));
    }
  }

  protected allocate(K: number, random: Random, out: Float64Array): void {
    this.score(K);
    const { means, deviations, open, draws } = this;
    const sampled = this.name === 'neuralTS';
    const pick = () => {
      let best = -1;
      let most = 0;
      for (let a = 0; a < K; a++) {
        const score = means[a]! + deviations[a]! * (sampled ? random.normal() : 1);
        if (!open.has(a) || (best >= 0 && score <= most)) continue;
        best = a;
        most = score;
      }
      return best;
    };
    if (!sampled) {
      pointMass(out, pick());
      return;
    }
    out.fill(0);
    for (let n = 0; n < draws; n++) out[pick()]!++;
    for (let a = 0; a < K; a++) out[a]! /= draws;
  }

  protected expect(K: number, out: Float64Array): void {
    const sign = this.feedback === 'reward' ? 1 : -1;
    for (let a = 0; a < K; a++) {
      const [at, block] = this.at(a);
      out[a] = sign * this.net.forward(this.x, at, block);
    }
  }

  protected learn(action: number, outcome: number, weight: number): void {
    const { net, x, history, training, random, lambda } = this;
    const block = this.actionCount === undefined ? 0 : action;
    const reward = this.rewardOf(outcome);
    // U takes the gradient at the parameters that decided: those before training.
    net.forward(x, 0, block);
    net.backward(1);
    this.confidence.capture(block);
    const due = trainingIsDue(this.updates + 1, training);
    const mark = due ? history.mark() : undefined;
    history.add(x, reward, weight, block);
    if (mark) {
      const state = random.state();
      const decay = this.train === 'fullBatch' ? lambda / history.size : lambda;
      const settings = { ...training, loss: 'square' as const, decay };
      if (!trainOnHistory(net, history, random, this.train, settings)) {
        history.undo(mark);
        this.random = restoreRandom(state);
        throw new NonFiniteError(
          `${this.name}.update: learningRate must keep the network finite; the observation was not learnt`,
        );
      }
    }
    this.confidence.add();
  }

  protected saved(): { [key: string]: Json } {
    return {
      theta: encodeNumbers(this.net.theta),
      U: encodeNumbers(this.confidence.U),
      random: [...this.random.state()],
      history: this.history.save(),
    };
  }

  protected load(data: SavedData): void {
    const p = this.net.parameterCount;
    this.net.theta.set(data.numbers('theta', p));
    this.confidence.load(data.numbers('U', p));
    this.random = restoreRandom(data.randomState('random'));
    this.history.load(data.part('history'), this.net.shape.blocks);
  }
}

/**
 * NeuralUCB with a diagonal design matrix: the greatest `f(x) + √(λν Σ g²/U)`, g the gradient of f in its parameters and
 * U = λ + Σ g² over what was played. Rewards are learnt in their own unit.
 *
 * U grows when an outcome is learnt, not when the action is taken, so that decisions change no state.
 * @throws TypeError or RangeError for a bad option; `update` throws NonFiniteError when training diverges, with nothing
 *   changed
 * @see Zhou, Li and Gu 2020, arXiv:1911.04462; the diagonal is that of the authors' code
 */
export function neuralUCB(options: NeuralUCBOptions): Policy {
  return new NeuralConfidence('neuralUCB', options);
}

/**
 * NeuralTS with a diagonal design matrix: scores drawn from N(f(x), λν Σ g²/U), independently for each action.
 * @throws TypeError or RangeError for a bad option; `update` throws NonFiniteError when training diverges, with nothing
 *   changed
 * @see Zhang, Zhou, Li and Gu 2021, arXiv:2010.00827
 */
export function neuralTS(options: NeuralTSOptions): Policy {
  return new NeuralConfidence('neuralTS', options);
}
