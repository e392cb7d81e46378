/** Refinement by the residual, without ground truth, against operators trained end to end. */
import {
  type Refinement,
  refine,
  relativeError,
  residual,
  STFNO,
  STFNOTrainer,
} from '@orth/operators';
import { concat, mean, slice, type Tensor, tidy } from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import { Fno3d } from '../problems/fno3d.js';
import {
  describeTurbulence,
  FRAME_TIME,
  type Trajectories,
  turbulence,
  VISCOSITY,
} from '../problems/turbulence.js';

const N = 32;
const TEST = 4;
const [BATCH, RATE, BIAS_RATE] = [4, 5e-3, 20];
const [MODES, WIDTH, LAYERS] = [[8, 8, 5] as const, 8, 4];

/** What a seed gave; errors are means over the test trajectories, times in seconds. */
interface Result {
  readonly persistence: number;
  readonly fno: Measured;
  readonly stfno: Measured;
  readonly refined: Measured;
  /** Relative L² error after refinement in L² rather than H⁻¹. */
  readonly refinedL2: number;
}

interface Measured {
  readonly error: number;
  /** η in H⁻¹. */
  readonly eta: number;
  readonly seconds: number;
}

interface Size {
  readonly train: number;
  readonly epochs: number;
  readonly iterations: number;
}

const PHYSICS = { dt: FRAME_TIME, viscosity: VISCOSITY };

const meanOf = async (x: Tensor) => {
  const m = tidy(() => mean(x));
  const [value] = await m.data();
  for (const t of [m, x]) t.dispose();
  return value!;
};

async function measured(
  prediction: Tensor,
  test: Trajectories,
  seconds: number,
): Promise<Measured> {
  const eta = tidy(() => residual(prediction, { window: test.known, ...PHYSICS }).eta);
  return {
    error: await meanOf(relativeError(prediction, test.next)),
    eta: await meanOf(eta),
    seconds,
  };
}

async function timed<T>(run: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await run();
  return [result, (performance.now() - start) / 1000];
}

async function one(context: ReproContext, seed: number, size: Size): Promise<Result> {
  const { random, onProgress } = context;
  onProgress(`seed ${seed}: data`);
  const all = turbulence(N, size.train + TEST, seed);
  const part = (from: number, count: number): Trajectories => ({
    known: tidy(() => slice(all.known, [from, 0, 0, 0], [count, -1, N, N])),
    next: tidy(() => slice(all.next, [from, 0, 0, 0], [count, -1, N, N])),
  });
  const [train, test] = [part(0, size.train), part(size.train, TEST)];

  onProgress(`seed ${seed}: FNO-3D, ${size.epochs} epochs`);
  const source = random(seed);
  const fno = new Fno3d(source.fork(1), { modes: MODES, width: WIDTH, layers: LAYERS, hidden: 32 });
  const schedule = { epochs: size.epochs, batch: BATCH, rate: RATE, random: source.fork(2) };
  const [, fnoSeconds] = await timed(async () => {
    await fno.train(train, schedule);
    // Reading a weight ends the work that a device may still have in hand.
    await fno.variables[0]!.data();
  });
  const fnoFrames = tidy(() => fno.predict(test.known));

  onProgress(`seed ${seed}: STFNO, ${size.epochs} epochs`);
  const model = new STFNO({ modes: MODES, width: WIDTH, layers: LAYERS, activation: 'relu', seed });
  const trainer = new STFNOTrainer(model, {
    inputs: train.known,
    targets: train.next,
    epochs: size.epochs,
    batchSize: BATCH,
    learningRate: RATE,
    seed,
  });
  const [, seconds] = await timed(() => trainer.run());
  const frames = model.predict(test.known);

  onProgress(`seed ${seed}: refinement`);
  const options = { ...PHYSICS, iterations: size.iterations, biasLearningRate: BIAS_RATE };
  const [refined, refineSeconds] = await timed<Refinement>(() =>
    refine(model, test.known, options),
  );
  const inL2 = await refine(model, test.known, { ...options, order: 0 });

  const still = tidy(() => {
    const last = slice(test.known, [0, 9, 0, 0], [TEST, 1, N, N]);
    return concat(new Array(10).fill(last), 1);
  });
  const result = {
    persistence: await meanOf(relativeError(still, test.next)),
    fno: await measured(fnoFrames, test, fnoSeconds),
    stfno: await measured(frames, test, seconds),
    refined: await measured(refined.prediction, test, seconds + refineSeconds),
    refinedL2: await meanOf(relativeError(inL2.prediction, test.next)),
  };
  const tensors = [
    ...[all, train, test].flatMap((d) => [d.known, d.next]),
    fnoFrames,
    frames,
    still,
  ];
  for (const x of [...tensors, fno, trainer, model, refined, inL2]) x.dispose();
  return result;
}

async function* claims(context: ReproContext): AsyncIterable<Claim> {
  const { seeds, quick } = context;
  const size: Size = quick
    ? { train: 16, epochs: 4, iterations: 150 }
    : { train: 64, epochs: 10, iterations: 300 };
  const results: Result[] = [];
  for (const seed of seeds) results.push(await one(context, seed, size));
  const setting =
    `${describeTurbulence(N)}; ${size.train} trajectories to train, ${TEST} to test; modes ${MODES}, width ${WIDTH}, ` +
    `${LAYERS} layers, ReLU, Adam one-cycle ${RATE}, batch ${BATCH}: ${size.epochs} epochs; ` +
    `refinement ${size.iterations} Adam steps, no ground truth`;
  const rows = (of: (r: Result) => [number, number]): SeedResult[] =>
    results.map((r, i) => {
      const [baseline, ours] = of(r);
      return { seed: seeds[i]!, baseline, ours };
    });
  yield {
    claim: 'refinement makes the true relative L2 error at least three times smaller',
    setting,
    baseline: 'STFNO: relative L2 error',
    ours: 'refined STFNO: relative L2 error',
    results: rows((r) => [r.stfno.error, r.refined.error]),
    effect: 'ratio',
    expectation: { of: 'everySeed', atMost: 1 / 3 },
  };
  yield {
    claim: 'refined STFNO has less than half the error of FNO-3D trained end to end',
    setting,
    baseline: 'FNO-3D: relative L2 error',
    ours: 'refined STFNO: relative L2 error',
    results: rows((r) => [r.fno.error, r.refined.error]),
    effect: 'ratio',
    expectation: { of: 'everySeed', atMost: 0.5 },
  };
  yield {
    claim: 'its residual in H^-1 is less than a quarter of that of FNO-3D',
    setting,
    baseline: 'FNO-3D: residual in H^-1',
    ours: 'refined STFNO: residual in H^-1',
    results: rows((r) => [r.fno.eta, r.refined.eta]),
    effect: 'ratio',
    expectation: { of: 'everySeed', atMost: 0.25 },
  };
  yield {
    claim:
      'training and refining together take at most one and a half times as long as training FNO-3D',
    setting: `${setting}; refinement of all ${TEST} test trajectories included`,
    baseline: 'FNO-3D: seconds',
    ours: 'STFNO and refinement: seconds',
    results: rows((r) => [r.fno.seconds, r.refined.seconds]),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 1.5 },
  };
  yield {
    claim: 'the residual in H^-1 refines better than that in L2',
    setting,
    baseline: 'refined in L2: relative L2 error',
    ours: 'refined in H^-1: relative L2 error',
    results: rows((r) => [r.refinedL2, r.refined.error]),
    effect: 'ratio',
    expectation: { of: 'mean', below: 1 },
  };
  // A few steps of training do not get that far.
  if (quick) return;
  yield {
    claim: 'the trained operator beats repeating the last frame',
    setting,
    baseline: 'persistence: relative L2 error',
    ours: 'STFNO: relative L2 error',
    results: rows((r) => [r.persistence, r.stfno.error]),
    effect: 'ratio',
    expectation: { of: 'everySeed', below: 1 },
  };
}

export const repro: Repro = {
  system: 'spectral-refiner',
  description:
    'refinement of a neural operator by the residual, 2-D turbulence, against training end to end',
  claims,
};
