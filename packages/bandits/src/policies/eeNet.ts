/** EE-Net: one network predicts rewards, a second one learns from the first one's gradient where it is too low. */
import {
  checkInteger,
  checkOptions,
  NonFiniteError,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import { ExploreNetwork, pooledLength, poolGradient } from '../neural/exploreNetwork.js';
import { History } from '../neural/history.js';
import type { Mlp } from '../neural/mlp.js';
import {
  createNetwork,
  type NetworkShapeOptions,
  networkShape,
  randomOrder,
  SHAPE_OPTIONS,
  TRAINING_OPTIONS,
  type TrainingOptions,
  trainingIsDue,
  trainingSettings,
  trainOnHistory,
} from '../neural/networkOptions.js';
import type { Json, Policy, Round } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions, pointMass } from './basePolicy.js';

/** Observations in which exploration weighs 0.1, afterwards 0.01, and in which actions not taken are praised. */
const EARLY = 1000;
/** Target of the second network for actions that were not taken when the one taken gave nothing. */
const PRAISE = 1.2;

/** Options of {@link eeNet}. */
export interface EENetOptions extends PolicyOptions, NetworkShapeOptions, TrainingOptions {
  /** Length of the blocks over which the gradient is averaged. Default 50 */
  readonly pool?: number;
  /** Hidden units of the second network. Default 100 */
  readonly exploreHidden?: number;
  /** Samples kept for the second network, the newest. Default 5000 */
  readonly exploreCapacity?: number;
}

const OPTIONS = [
  ...POLICY_OPTIONS,
  ...SHAPE_OPTIONS,
  ...TRAINING_OPTIONS,
  'pool',
  'exploreHidden',
  'exploreCapacity',
] as const;

/** @internal */
export class EENet extends BasePolicy {
  protected readonly options: EENetOptions;
  readonly exploit: Mlp;
  readonly explore: ExploreNetwork;
  readonly pool: number;
  private readonly training: Required<TrainingOptions>;
  private readonly history: History;
  private readonly exploreHistory: History;
  private pooled: Float64Array;
  private random: Random;

  constructor(options: EENetOptions) {
    const name = 'eeNet';
    checkOptions(name, options, OPTIONS);
    super(name, options, { bounded: true, needsRound: true });
    const { pool = 50, exploreHidden = 100, exploreCapacity = 5000 } = options;
    checkInteger(name, 'pool', pool, { min: 1 });
    checkInteger(name, 'exploreHidden', exploreHidden, { min: 1 });
    checkInteger(name, 'exploreCapacity', exploreCapacity, { min: 1 });
    const shape = networkShape(name, options);
    this.training = trainingSettings(name, options);
    this.options = { ...options };
    this.pool = pool;
    this.random = seededRandom(shape.seed);
    this.exploit = createNetwork(this.dim, this.actionCount ?? 1, shape, this.random);
    this.explore = new ExploreNetwork(
      pooledLength(this.exploit.parameterCount, pool),
      exploreHidden,
    );
    this.explore.initialize(this.random);
    this.history = new History(this.dim, this.training.capacity);
    this.exploreHistory = new History(this.explore.length, exploreCapacity);
    this.pooled = new Float64Array(this.explore.length);
  }

  private forward(a: number): number {
    const shared = this.actionCount !== undefined;
    return this.exploit.forward(this.x, shared ? 0 : a * this.dim, shared ? a : 0);
  }

  /** Fills `pooled` with the gradient at action `a`; returns what the first network predicts. */
  private gradientAt(a: number): number {
    const shared = this.actionCount !== undefined;
    const f = this.forward(a);
    this.exploit.backward(1);
    poolGradient(this.exploit, shared ? a : 0, this.pool, this.pooled);
    return f;
  }

  /** Score of action `a`: exploitation and the weighted promise of exploration. */
  score(a: number): number {
    const f1 = this.gradientAt(a);
    const weight = this.updates < EARLY ? 0.1 : 0.01;
    return f1 + weight * (this.explore.forward(this.pooled, 0) - 1);
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    let best = -1;
    let most = 0;
    for (let a = 0; a < K; a++) {
      if (!this.open.has(a)) continue;
      const score = this.score(a);
      if (best >= 0 && score <= most) continue;
      best = a;
      most = score;
    }
    pointMass(out, best);
  }

  protected expect(K: number, out: Float64Array): void {
    for (let a = 0; a < K; a++) out[a] = this.outcomeOf(1 - this.forward(a));
  }

  protected learn(action: number, outcome: number, weight: number, round?: Round): void {
    const { history, exploreHistory, training, explore, exploit } = this;
    const reward = 1 - this.lossOf(outcome);
    const block = this.actionCount === undefined ? 0 : action;
    const t = this.updates + 1;
    const due = trainingIsDue(t, training);
    const before = due
      ? { theta: exploit.theta.slice(), explore: explore.snapshot(), random: this.random.state() }
      : undefined;
    const mark = history.mark();
    history.add(this.x, reward, weight, block);
    const x = this.x.slice(0, this.dim);
    const added = this.exploreSamples(action, reward, t, round);
    if (before && !this.fit(added)) {
      history.undo(mark);
      exploit.theta.set(before.theta);
      explore.return(before.explore);
      this.random = restoreRandom(before.random);
      this.x.set(x);
      throw new NonFiniteError(
        `${this.name}.update: learningRate must keep the network finite; the observation was not learnt`,
      );
    }
    for (const { pooled, target } of added) exploreHistory.add(pooled, target, weight, 0);
  }

  /** What the second network is to learn of this observation. */
  private exploreSamples(action: number, reward: number, t: number, round?: Round) {
    const samples: { pooled: Float64Array; target: number }[] = [];
    const own = this.actionCount === undefined ? 0 : action;
    const f = this.gradientAt(own);
    samples.push({ pooled: this.pooled.slice(), target: reward - f + 1 });
    if (reward !== 0 || t >= EARLY || !round) return samples;
    const K = this.read(`${this.name}.update`, round);
    for (let a = 0; a < K; a++) {
      if (a === action || (round.mask && round.mask[a] === 0)) continue;
      this.gradientAt(a);
      samples.push({ pooled: this.pooled.slice(), target: PRAISE });
    }
    return samples;
  }

  /** Trains both networks; the second on its history and on `added`. */
  private fit(added: readonly { pooled: Float64Array; target: number }[]): boolean {
    const { training, exploit, explore, history, random } = this;
    const { learningRate, maxUpdates, tolerance } = training;
    const settings = { loss: 'square' as const, learningRate, decay: 0, maxUpdates, tolerance };
    if (!trainOnHistory(exploit, history, random, 'replay', settings)) return false;
    const { x, y, weight, size } = this.exploreHistory;
    const order = randomOrder(random, size + added.length, maxUpdates);
    let taken = 0;
    while (taken < maxUpdates) {
      let total = 0;
      let i = 0;
      for (; i < order.length && taken < maxUpdates; i++, taken++) {
        const s = order[i]!;
        const fresh = added[s - size];
        const source = fresh ? fresh.pooled : x;
        const at = fresh ? 0 : s * explore.length;
        const error = explore.forward(source, at) - (fresh ? fresh.target : y[s]!);
        total += error * error;
        explore.step(source, at, 2 * error * (fresh ? 1 : weight[s]!));
      }
      if (!Number.isFinite(total)) return false;
      if (i === order.length && total / i <= tolerance) break;
    }
    return explore.theta.every(Number.isFinite);
  }

  protected saved(): { [key: string]: Json } {
    return {
      theta: encodeNumbers(this.exploit.theta),
      explore: this.explore.save(),
      random: [...this.random.state()],
      history: this.history.save(),
      exploreHistory: this.exploreHistory.save(),
    };
  }

  protected load(data: SavedData): void {
    this.exploit.theta.set(data.numbers('theta', this.exploit.parameterCount));
    this.explore.load(data.part('explore'));
    this.random = restoreRandom(data.randomState('random'));
    this.history.load(data.part('history'), this.exploit.shape.blocks);
    this.exploreHistory.load(data.part('exploreHistory'), 1);
  }
}

/**
 * EE-Net: `f1(x) + w (f2(∇f1(x)) − 1)`, where f2 learns how far rewards exceed f1's predictions from f1's gradient, pooled
 * in blocks; w is 0.1 for the first 1000 observations, then 0.01. Rewards are scaled to [0, 1]. When the action taken
 * gave 0 among the first 1000, those not taken are samples with target 1.2, for which `update` needs the whole round.
 *
 * Deviation: the authors' optional third network, which decides between the two, is not here.
 * @throws TypeError or RangeError for a bad option; `update` throws NonFiniteError when training diverges, with nothing
 *   changed
 * @see Ban et al. 2022, arXiv:2110.03177
 */
export function eeNet(options: EENetOptions): Policy {
  return new EENet(options);
}
