/** Claims about Muon's relatives, each against what its paper compares with. */
import { Muon, NorMuon } from '@orth/muon';
import { DEFAULTS, type OptimizerName, runRace } from '@orth/race';
import { exp, mul, norm, type Optimizer, sub, tidy, variable, zeros } from '@tensorflow/tfjs-core';
import type { Claim, ReproContext, SeedResult } from '../harness/repro.js';
import { type DigitsResult, digitsRuns, METHODS, type MethodName, RANK } from './digitsRuns.js';
import { STEP_SETTING, stepTimes } from './stepTime.js';
import { pair, type Tuned, tune } from './tune.js';

/** Learning rates tried for each method on the digits, as many for each. */
const RATES: Record<MethodName, readonly number[]> = {
  sgd: [0.03, 0.1, 0.3, 1],
  adamW: [2e-3, 4e-3, 8e-3, 1.6e-2],
  muon: [0.015, 0.03, 0.06, 0.12],
  norMuon: [0.015, 0.03, 0.06, 0.12],
  root: [5e-3, 1e-2, 2e-2, 4e-2],
  rootWithoutThreshold: [5e-3, 1e-2, 2e-2, 4e-2],
  auON: [0.1, 0.3, 1, 3],
  hybridAuON: [0.05, 0.1, 0.2, 0.4],
  trion8: [0.05, 0.1, 0.2, 0.4],
  trion4: [0.05, 0.1, 0.2, 0.4],
  trion2: [0.05, 0.1, 0.2, 0.4],
  dct: [0.01, 0.02, 0.04, 0.08],
  dctWithoutFeedback: [0.01, 0.02, 0.04, 0.08],
  dctEightBits: [0.01, 0.02, 0.04, 0.08],
  randomBasis: [0.01, 0.02, 0.04, 0.08],
  svd: [0.01, 0.02, 0.04, 0.08],
};

type Runs = ReturnType<typeof digitsRuns>;

/** Everything in the order of the papers. */
export async function* familyClaims(context: ReproContext): AsyncGenerator<Claim> {
  const runs = digitsRuns(context);
  yield* norMuonClaims(context, runs);
  yield* rootClaims(context, runs);
  yield* auonClaims(context, runs);
  yield* trionClaims(context, runs);
  yield* dctClaims(context, runs);
}

const loss = ({ trainLoss }: DigitsResult) => trainLoss;

/** A method at its best learning rate on the digits. */
const best = ({ run }: Runs, { seeds }: ReproContext, method: MethodName, outliers = false) =>
  tune(RATES[method], seeds, async (rate, seed) =>
    loss(await run(method, rate, seed, { outliers })),
  );

/** A comparison of training losses on the digits, both at their best rate. */
async function compare(
  context: ReproContext,
  runs: Runs,
  [baseline, ours]: readonly [MethodName, MethodName],
  claim: Pick<Claim, 'claim' | 'expectation'>,
  outliers = false,
): Promise<Claim> {
  const theirs = await best(runs, context, baseline, outliers);
  const own = await best(runs, context, ours, outliers);
  const disturbed = outliers
    ? '; each entry of a matrix gradient gets with probability 0.001 a normal number of 100 standard deviations added'
    : '';
  return {
    ...claim,
    setting: `${runs.setting}${disturbed}; best of ${RATES[baseline].length} learning rates each: ${theirs.chosen} and ${own.chosen}`,
    baseline: `${baseline}: training loss, nats`,
    ours: `${ours}: training loss`,
    results: pair(context.seeds, theirs, own),
    effect: 'ratio',
  };
}

/** Coefficient of variation of the row norms of the 40th update, for gradients whose rows differ in size. */
function rowSpread(
  { random }: ReproContext,
  seed: number,
  [rows, columns]: readonly [number, number],
  optimizer: Optimizer,
): number {
  const source = random(seed);
  const w = tidy(() => variable(zeros([rows, columns])));
  const spread = tidy(() => {
    const scales = exp(source.normalTensor([rows, 1]));
    let before = w.clone();
    for (let step = 0; step < 40; step++) {
      before = w.clone();
      const tensor = mul(source.normalTensor([rows, columns]), scales);
      optimizer.applyGradients([{ name: w.name, tensor }]);
    }
    const norms = Array.from(norm(sub(w, before), 'euclidean', 1).dataSync());
    const mean = norms.reduce((sum, x) => sum + x, 0) / rows;
    return Math.sqrt(norms.reduce((sum, x) => sum + (x - mean) ** 2, 0) / rows) / mean;
  });
  optimizer.dispose();
  w.dispose();
  return spread;
}

async function* norMuonClaims(context: ReproContext, runs: Runs): AsyncGenerator<Claim> {
  for (const shape of [
    [256, 64],
    [128, 128],
    [64, 256],
  ] as const) {
    context.onProgress(`row norms, ${shape.join(' × ')}`);
    yield {
      claim: "NorMuon at least halves the spread of a Muon update's row norms, for every seed",
      setting: `${shape.join(' × ')} [out, in], the 40th update, Gaussian gradients with lognormal(1) row scales`,
      baseline: 'Muon: coefficient of variation of row norms',
      ours: 'NorMuon: coefficient of variation',
      results: context.seeds.map((seed) => ({
        seed,
        baseline: rowSpread(context, seed, shape, new Muon({ layout: 'outIn' })),
        ours: rowSpread(context, seed, shape, new NorMuon({ layout: 'outIn' })),
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.5 },
    };
  }
  yield compare(context, runs, ['muon', 'norMuon'], {
    claim: "NorMuon's training loss is at most 1.05 of Muon's in the mean",
    expectation: { of: 'mean', atMost: 1.05 },
  });
  yield* stepsToTarget(context);
}

/** Steps in which Muon and NorMuon reach AdamW's final validation loss on text. */
async function* stepsToTarget({ seeds, quick, onProgress }: ReproContext): AsyncGenerator<Claim> {
  const steps = quick ? 120 : DEFAULTS.steps;
  const names: OptimizerName[] = ['adamW', 'muon', 'norMuon'];
  const reached: Record<'muon' | 'norMuon', SeedResult[]> = { muon: [], norMuon: [] };
  let setting = '';
  for (const seed of seeds) {
    const { contestants, parameters, settings, backend } = await runRace({
      settings: { optimizers: names, seed, steps },
      onEvent: (event) => {
        if (event.kind !== 'validation') return;
        onProgress(`text, seed ${seed}, ${event.optimizer}, step ${event.step} of ${steps}`);
      },
    });
    const rates = contestants.map(({ label, learningRate }) => `${label} ${learningRate}`);
    setting =
      `byte-level GPT, ${DEFAULTS.size} (${parameters} weights), Moby-Dick, batch ${settings.batch}, ${steps} steps` +
      `${quick ? ' (quick)' : ''}, validated every ${settings.validationInterval}, rates of the race's sweep: ${rates.join(', ')}; ${backend}`;
    const target = contestants.find(({ optimizer }) => optimizer === 'adamW')!.finalValidationLoss;
    for (const name of ['muon', 'norMuon'] as const) {
      const { validation } = contestants.find(({ optimizer }) => optimizer === name)!;
      const first = validation.find(({ loss: value }) => value <= (target ?? Number.NaN));
      reached[name].push({ seed, baseline: steps, ours: first?.step ?? Number.NaN });
    }
  }
  for (const [name, label] of [
    ['muon', 'Muon'],
    ['norMuon', 'NorMuon'],
  ] as const) {
    yield {
      claim: `${label} reaches AdamW's final validation loss in at most 0.9 of its steps, in the mean`,
      setting,
      baseline: 'AdamW: steps',
      ours: `${label}: steps until AdamW's final loss`,
      results: reached[name],
      effect: 'ratio',
      expectation: { of: 'mean', atMost: 0.9 },
    };
  }
  yield {
    claim: 'NorMuon needs at most as many steps as Muon to that loss, in the mean',
    setting,
    baseline: 'Muon: steps',
    ours: 'NorMuon: steps',
    results: seeds.map((seed, i) => ({
      seed,
      baseline: reached.muon[i]!.ours,
      ours: reached.norMuon[i]!.ours,
    })),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 1 },
  };
}

async function* rootClaims(context: ReproContext, runs: Runs): AsyncGenerator<Claim> {
  yield compare(
    context,
    runs,
    ['muon', 'root'],
    {
      claim:
        "with outliers in the gradients ROOT's training loss is at most 0.7 of Muon's, in the mean",
      expectation: { of: 'mean', atMost: 0.7 },
    },
    true,
  );
  yield compare(
    context,
    runs,
    ['rootWithoutThreshold', 'root'],
    {
      claim:
        'with outliers the threshold itself takes at least a quarter off the loss, in the mean',
      expectation: { of: 'mean', atMost: 0.75 },
    },
    true,
  );
  yield compare(
    context,
    runs,
    ['adamW', 'root'],
    {
      claim: "with outliers ROOT's training loss is below AdamW's, in the mean",
      expectation: { of: 'mean', below: 1 },
    },
    true,
  );
  yield compare(context, runs, ['muon', 'root'], {
    claim: "without outliers ROOT's training loss is at most Muon's, in the mean",
    expectation: { of: 'mean', atMost: 1 },
  });
}

async function* auonClaims(context: ReproContext, runs: Runs): AsyncGenerator<Claim> {
  yield compare(context, runs, ['muon', 'auON'], {
    claim: "AuON's training loss is comparable with Muon's: at most 1.1 of it in the mean",
    expectation: { of: 'mean', atMost: 1.1 },
  });
  yield compare(context, runs, ['sgd', 'auON'], {
    claim: 'AuON is as good as momentum SGD: 0.7 to 1.05 of its training loss in the mean',
    expectation: { of: 'mean', atLeast: 0.7, atMost: 1.05 },
  });
  yield compare(context, runs, ['sgd', 'hybridAuON'], {
    claim: "Hybrid-AuON's training loss is below momentum SGD's, in the mean",
    expectation: { of: 'mean', below: 1 },
  });
  yield compare(context, runs, ['hybridAuON', 'muon'], {
    claim: "Muon's training loss is below Hybrid-AuON's, in the mean",
    expectation: { of: 'mean', below: 1 },
  });
  yield* timeClaims(context, 'muon', {
    auON: { atMost: 0.5, claim: "AuON's step takes at most half of Muon's time, in the mean" },
    hybridAuON: {
      atMost: 0.9,
      claim: "Hybrid-AuON's step takes at most 0.9 of Muon's time, in the mean",
    },
  });
}

/** Claims about the time of a step. */
async function* timeClaims(
  context: ReproContext,
  baseline: MethodName,
  claims: Partial<Record<MethodName, { readonly atMost: number; readonly claim: string }>>,
): AsyncGenerator<Claim> {
  const names = [baseline, ...(Object.keys(claims) as MethodName[])];
  const constant = (value: number) => () => value;
  const results = new Map<number, Record<string, number>>();
  for (const seed of context.seeds) {
    context.onProgress(`time of a step, seed ${seed}`);
    const create = Object.fromEntries(
      names.map((name) => {
        const make: (a: () => number, b: () => number) => Optimizer = METHODS[name];
        return [name, () => make(constant(1e-3), constant(1e-3))];
      }),
    );
    results.set(seed, await stepTimes(context, seed, create));
  }
  for (const [name, { claim, atMost }] of Object.entries(claims)) {
    yield {
      claim,
      setting: `${STEP_SETTING}; ${context.backend}`,
      baseline: `${baseline}: ms a step`,
      ours: `${name}: ms a step`,
      results: context.seeds.map((seed) => ({
        seed,
        baseline: results.get(seed)![baseline]!,
        ours: results.get(seed)![name]!,
      })),
      effect: 'ratio',
      expectation: { of: 'mean', atMost },
    };
  }
}

async function* trionClaims(context: ReproContext, runs: Runs): AsyncGenerator<Claim> {
  for (const [less, more, words] of [
    ['trion8', 'trion4', 'a quarter of the rank is better than an eighth'],
    ['trion4', 'trion2', 'half of the rank is better than a quarter'],
  ] as const) {
    yield compare(context, runs, [less, more], {
      claim: `Trion: ${words}, in the mean`,
      expectation: { of: 'mean', below: 1 },
    });
  }
  yield compare(context, runs, ['muon', 'trion2'], {
    claim: "Trion at half of the rank has at most 1.5 of Muon's training loss, in the mean",
    expectation: { of: 'mean', atMost: 1.5 },
  });
}

async function* dctClaims(context: ReproContext, runs: Runs): AsyncGenerator<Claim> {
  yield compare(context, runs, ['dctWithoutFeedback', 'dct'], {
    claim: 'DCT-AdamW: error feedback takes the training loss to below 0.75, in the mean',
    expectation: { of: 'mean', below: 0.75 },
  });
  yield compare(context, runs, ['randomBasis', 'dct'], {
    claim:
      'DCT-AdamW: cosine vectors are at least as good as a random orthogonal basis, in the mean',
    expectation: { of: 'mean', atMost: 1 },
  });
  yield compare(context, runs, ['dct', 'dctEightBits'], {
    claim: 'DCT-AdamW: error feedback in 8 bits costs at most 5 % of training loss, in the mean',
    expectation: { of: 'mean', atMost: 1.05 },
  });
  yield compare(context, runs, ['svd', 'dct'], {
    claim:
      "DCT-AdamW's training loss is at most 1.1 of that with exact singular vectors, in the mean",
    expectation: { of: 'mean', atMost: 1.1 },
  });
  yield* timeClaims(context, 'svd', {
    dct: {
      atMost: 0.5,
      claim:
        "DCT-AdamW's step takes at most half of the time with exact singular vectors, in the mean",
    },
  });
  const state = async (method: MethodName): Promise<Tuned> => {
    const rate = RATES[method][1]!;
    const measure = async (at: number, seed: number) =>
      (await runs.run(method, at, seed)).stateBytes;
    return tune([rate], context.seeds, measure);
  };
  yield {
    claim:
      'DCT-AdamW with 8-bit error feedback needs at most 0.75 of the state that exact singular vectors need',
    setting: `${runs.setting}; rank ${RANK} of the shorter side; all state of the optimizer but the table of cosines, which layers share`,
    baseline: 'singular vectors: bytes of state',
    ours: 'DCT-AdamW: bytes of state',
    results: pair(context.seeds, await state('svd'), await state('dctEightBits')),
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 0.75 },
  };
}
