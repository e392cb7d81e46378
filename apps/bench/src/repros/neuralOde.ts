/**
 * Neural ODEs whose solver's own estimates are held down: evaluations and time at equal loss, on two rings and on digits (A. Pal
 * et al., *Opening the Blackbox*, ICML 2021).
 */
import type { Random } from '@orth/backend';
import { NeuralODE, type NeuralOdeOptions, regularizationSchedule } from '@orth/operators';
import {
  add,
  concat,
  dispose,
  fill,
  losses,
  matMul,
  type Scalar,
  type Tensor,
  type Tensor2D,
  tanh,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';

const HIDDEN = 32;
const BATCH = 128;
const TEST = 500;

interface Model {
  readonly variables: readonly Variable[];
  dynamics(t: number, u: Tensor): Tensor;
  logits(u: Tensor): Tensor2D;
}

/** Points in a disc (class 0) and in a ring around it (class 1): no flow of the plane that tears nothing parts them easily. */
function rings(random: Random, count: number) {
  const points: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < count; i++) {
    const outer = i % 2;
    const radius = outer === 1 ? 1 + 0.5 * random.uniform() : 0.5 * random.uniform();
    const angle = 2 * Math.PI * random.uniform();
    points.push(radius * Math.cos(angle), radius * Math.sin(angle));
    labels.push(...(outer === 1 ? [0, 1] : [1, 0]));
  }
  return { x: tensor2d(points, [count, 2]), y: tensor2d(labels, [count, 2]) };
}

/** Two tanh layers that see the time, and a linear head. */
function network(random: Random): Model {
  const layer = (rows: number, columns: number) =>
    [
      variable(random.normalTensor([rows, columns], 0, 1 / Math.sqrt(rows))),
      variable(fill([columns], 0)),
    ] as const;
  const [w1, b1] = layer(3, HIDDEN);
  const [w2, b2] = layer(HIDDEN, HIDDEN);
  const [w3, b3] = layer(HIDDEN, 2);
  const [head, bias] = layer(2, 2);
  const dense = (x: Tensor, w: Tensor, b: Tensor) => add(matMul(x as Tensor2D, w as Tensor2D), b);
  return {
    variables: [w1, b1, w2, b2, w3, b3, head, bias],
    dynamics: (t, u) => {
      const input = concat([u, fill([u.shape[0]!, 1], t)], 1);
      return dense(tanh(dense(tanh(dense(input, w1, b1)), w2, b2)), w3, b3);
    },
    logits: (u) => dense(u, head, bias) as Tensor2D,
  };
}

interface Outcome {
  /** Evaluations of the dynamics to predict the test set. */
  readonly nfe: number;
  readonly accuracy: number;
  readonly loss: number;
  readonly trainingSeconds: number;
}

interface Variant {
  readonly name: string;
  readonly options: NeuralOdeOptions;
  /** Weights of the regulariser at the first and after the last epoch. */
  readonly weight?: readonly [number, number];
}

const PLAIN: Variant = { name: 'neural ODE', options: {} };
const ERROR: Variant = {
  name: 'ERNODE 10→1',
  options: { regularizer: 'error' },
  weight: [10, 1],
};
const STIFF: Variant = {
  name: 'SRNODE 0.1',
  options: { regularizer: 'stiffness' },
  weight: [0.1, 0.1],
};
const STEER: Variant = { name: 'STEER 0.5', options: { steer: 0.5 } };

async function run(
  variant: Variant,
  seed: number,
  steps: number,
  { random, onProgress }: ReproContext,
): Promise<Outcome> {
  const source = random(seed);
  const data = rings(source.fork(1), 1000);
  const test = rings(source.fork(2), TEST);
  const model = network(source.fork(3));
  const batches = source.fork(4);
  const tolerance = { rtol: 1e-6, atol: 1e-6, initialStep: 0.1 };
  const ode = new NeuralODE(model.dynamics, { ...tolerance, ...variant.options, seed });
  const optimizer = train.adam(5e-3);
  const [points, labels] = [await data.x.data(), await data.y.data()];
  const start = performance.now();
  for (let step = 0; step < steps; step++) {
    const rows = Array.from({ length: BATCH }, () => batches.integer(0, 999));
    const pick = (from: ArrayLike<number>) =>
      tensor2d(
        rows.flatMap((row) => [from[2 * row]!, from[2 * row + 1]!]),
        [BATCH, 2],
      );
    const [x, y] = [pick(points), pick(labels)];
    const weight = variant.weight
      ? regularizationSchedule(step, {
          initial: variant.weight[0],
          final: variant.weight[1],
          epochs: steps,
        })
      : 0;
    const task = (u: Tensor) => losses.softmaxCrossEntropy(y, model.logits(u)) as Scalar;
    const { loss } = await ode.minimize(optimizer, x, task, {
      weight,
      variables: model.variables,
    });
    dispose([x, y]);
    if (step % 50 === 0) {
      onProgress(`${variant.name}, seed ${seed}, step ${step}, loss ${loss.toFixed(3)}`);
    }
  }
  const trainingSeconds = (performance.now() - start) / 1000;
  const { u, stats } = await ode.predict(test.x);
  const [logits, loss] = tidy(() => {
    const out = model.logits(u);
    return [out, losses.softmaxCrossEntropy(test.y, out)] as [Tensor2D, Tensor];
  });
  const scores = await logits.data();
  let right = 0;
  for (let i = 0; i < TEST; i++)
    right += Number(scores[2 * i + 1]! > scores[2 * i]! === (i % 2 === 1));
  const outcome = {
    nfe: stats.nfe,
    accuracy: right / TEST,
    loss: (await loss.data())[0]!,
    trainingSeconds,
  };
  optimizer.dispose();
  dispose([u, logits, loss, data.x, data.y, test.x, test.y, ...model.variables]);
  return outcome;
}

export const repro: Repro = {
  system: 'neural-ode',
  description: 'error and stiffness of the solver as regularisers: evaluations, time, accuracy',
  async *claims(context: ReproContext) {
    const { quick, seeds, backend } = context;
    const steps = quick ? 60 : 300;
    const outcomes = new Map<string, Outcome[]>();
    const variants = quick ? [PLAIN, ERROR] : [PLAIN, ERROR, STIFF, STEER];
    for (const variant of variants) {
      const list: Outcome[] = [];
      for (const seed of seeds) list.push(await run(variant, seed, steps, context));
      outcomes.set(variant.name, list);
    }
    const setting = `disc in a ring, 1000 points, dynamics 3-${HIDDEN}-${HIDDEN}-2 tanh with time, linear head; Tsit5 to 1e-6, first step 0.1; Adam 5e-3, ${steps} steps of ${BATCH}; ${TEST} test points; ${backend}`;
    const compare = (
      claim: string,
      { name }: Variant,
      key: keyof Outcome,
      what: string,
      rest: Pick<Claim, 'effect' | 'expectation'>,
    ): Claim => ({
      claim,
      setting,
      baseline: `${PLAIN.name}, ${what}`,
      ours: `${name}, ${what}`,
      results: seeds.map((seed, i) => ({
        seed,
        baseline: outcomes.get(PLAIN.name)![i]![key],
        ours: outcomes.get(name)![i]![key],
      })),
      ...rest,
    });
    const fewer = (atMost: number): Pick<Claim, 'effect' | 'expectation'> => ({
      effect: 'ratio',
      expectation: { of: 'mean', atMost },
    });
    const noWorse: Pick<Claim, 'effect' | 'expectation'> = {
      effect: 'difference',
      expectation: { of: 'mean', atLeast: -0.01 },
    };
    for (const variant of variants.slice(1)) {
      const bound = variant === STEER ? 1 : 0.8;
      yield compare(
        `${variant.name} predicts with at most ${bound} of the evaluations`,
        variant,
        'nfe',
        'evaluations',
        fewer(bound),
      );
      yield compare(
        `${variant.name} is as accurate within a point`,
        variant,
        'accuracy',
        'accuracy',
        noWorse,
      );
      yield compare(
        `${variant.name} trains in less time`,
        variant,
        'trainingSeconds',
        's of training',
        fewer(1),
      );
    }
  },
};
