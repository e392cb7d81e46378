/** Little text and spare compute: strong weight decay, ensembles, and one small model that keeps what they gain. */
import {
  distill,
  Ensemble,
  evaluateLoss,
  fitPowerLaw,
  type RecipePoint,
  type TokenDataset,
  trainMembers,
  trainRegularized,
  tuneWeightDecay,
} from '@orth/scaling';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { CONTEXT, corpusOf, TinyLanguageModel } from '../problems/tinyLanguage.js';

const RATE = 3e-3;
const DEFAULT_DECAY = 0.1;
const DECAYS = [DEFAULT_DECAY, 0.3, 1, 3, 6, 12];
const BATCH = 256;
const STUDENT = { decay: 1, epochs: 16 };

interface Scale {
  readonly characters: number;
  readonly width: number;
  /** Width of one model with as many parameters as the ensemble. */
  readonly large: number;
  readonly members: number;
  readonly epochs: number;
}

const FULL: Scale = { characters: 15_000, width: 128, large: 396, members: 5, epochs: 8 };
const QUICK: Scale = { characters: 5000, width: 64, large: 156, members: 3, epochs: 8 };

interface SeedLosses {
  readonly bestDecay: number;
  /** Best over epochs, at the default decay. */
  readonly standard: number;
  /** At the default decay and all epochs, of both widths. */
  readonly overfitted: { small: number; large: number };
  readonly single: number;
  readonly large: number;
  /** Of the first 1, 2, … members. */
  readonly curve: number[];
  readonly student: number;
  readonly selfTeacher: number;
  readonly selfStudent: number;
}

class Laboratory {
  private readonly train: TokenDataset;
  private readonly validation: TokenDataset;

  constructor(
    private readonly scale: Scale,
    private readonly seed: number,
    private readonly onProgress: (what: string) => void,
  ) {
    ({ train: this.train, validation: this.validation } = corpusOf(scale.characters));
  }

  async trained(
    width: number,
    recipe: RecipePoint,
    seeds = { weights: this.seed, order: this.seed },
  ) {
    const model = new TinyLanguageModel(width, seeds.weights);
    await trainRegularized(model, this.train, { ...recipe, batchSize: BATCH, seed: seeds.order });
    return model;
  }

  async loss(width: number, weightDecay: number, epochs = this.scale.epochs): Promise<number> {
    this.onProgress(`width ${width}, decay ${weightDecay}, ${epochs} epochs, seed ${this.seed}`);
    const model = await this.trained(width, { learningRate: RATE, weightDecay, epochs });
    const loss = await evaluateLoss(model, this.validation);
    model.dispose();
    return loss;
  }

  async distilled(teacher: Ensemble): Promise<number> {
    this.onProgress(`student of ${teacher.size}, seed ${this.seed}`);
    const student = new TinyLanguageModel(this.scale.width, 7000 + this.seed);
    await distill(student, teacher, this.train, {
      mode: 'logits',
      learningRate: RATE,
      weightDecay: STUDENT.decay,
      epochs: STUDENT.epochs,
      batchSize: BATCH,
      seed: this.seed,
    });
    const loss = await evaluateLoss(student, this.validation);
    student.dispose();
    return loss;
  }

  async run(): Promise<SeedLosses> {
    const { width, large, members, epochs } = this.scale;
    const found = await tuneWeightDecay((decay) => this.loss(width, decay), {
      weightDecays: DECAYS,
      start: DEFAULT_DECAY,
    });
    const at = (decay: number) =>
      found.evaluations.find(({ point }) => point.weightDecay === decay)!.loss;
    const small = at(DEFAULT_DECAY);
    const shorter = [await this.loss(width, DEFAULT_DECAY, epochs / 4)];
    shorter.push(await this.loss(width, DEFAULT_DECAY, epochs / 2));
    const overfitted = { small, large: await this.loss(large, DEFAULT_DECAY) };
    const larger = await tuneWeightDecay((decay) => this.loss(large, decay), {
      weightDecays: DECAYS,
      start: found.weightDecay,
    });
    const ensemble = new Ensemble();
    const curve: number[] = [];
    await trainMembers<TinyLanguageModel>({
      members,
      seed: this.seed,
      train: ({ index, initializationSeed, orderSeed }) => {
        this.onProgress(`member ${index + 1} of ${members}, seed ${this.seed}`);
        const recipe = { learningRate: RATE, weightDecay: found.weightDecay / 2, epochs };
        return this.trained(width, recipe, { weights: initializationSeed, order: orderSeed });
      },
      onMember: async (model) => {
        curve.push(await evaluateLoss(ensemble.add(model), this.validation));
      },
    });
    const student = await this.distilled(ensemble);
    ensemble.dispose();
    const recipe = { learningRate: RATE, weightDecay: found.weightDecay, epochs };
    const self = new Ensemble().add(await this.trained(width, recipe));
    const selfStudent = await this.distilled(self);
    self.dispose();
    return {
      bestDecay: found.weightDecay,
      standard: Math.min(small, ...shorter),
      overfitted,
      single: found.best.loss,
      large: larger.best.loss,
      curve,
      student,
      selfTeacher: found.best.loss,
      selfStudent,
    };
  }
}

type Row = Omit<Claim, 'setting' | 'results'> & {
  readonly of: (losses: SeedLosses) => { baseline: number; ours: number };
};

function rowsOf({ width, large, members }: Scale): Row[] {
  const last = (curve: readonly number[]) => curve.at(-1)!;
  return [
    {
      claim: 'the best weight decay is at least 10 times the default',
      baseline: 'default decay',
      ours: 'best decay',
      of: ({ bestDecay }) => ({ baseline: DEFAULT_DECAY, ours: bestDecay }),
      effect: 'ratio',
      expectation: { of: 'everySeed', atLeast: 10 },
    },
    {
      claim: 'at the default decay the larger model is worse',
      baseline: `width ${width}: validation loss`,
      ours: `width ${large}: validation loss`,
      of: ({ overfitted }) => ({ baseline: overfitted.small, ours: overfitted.large }),
      effect: 'difference',
      expectation: { of: 'mean', atLeast: 0.05 },
    },
    {
      claim: 'with decay tuned it is not',
      baseline: `width ${width}, decay tuned: validation loss`,
      ours: `width ${large}, decay tuned: validation loss`,
      of: (l) => ({ baseline: l.single, ours: l.large }),
      effect: 'difference',
      expectation: { of: 'mean', below: 0 },
    },
    {
      claim: 'tuned decay gains 0.03 nats on the default decay, whose epochs are tuned',
      baseline: 'default decay, best of three lengths: validation loss',
      ours: 'best decay: validation loss',
      of: (l) => ({ baseline: l.standard, ours: l.single }),
      effect: 'difference',
      expectation: { of: 'mean', atMost: -0.03 },
    },
    {
      claim: `an ensemble of ${members} gains 0.05 nats on the best single model of its members' size`,
      baseline: 'best single model: validation loss',
      ours: `${members} members: validation loss`,
      of: (l) => ({ baseline: l.single, ours: last(l.curve) }),
      effect: 'difference',
      expectation: { of: 'mean', atMost: -0.05 },
    },
    {
      claim: 'and is ahead of one larger model with as many parameters',
      baseline: `width ${large}, decay tuned: validation loss`,
      ours: `${members} members of width ${width}: validation loss`,
      of: (l) => ({ baseline: l.large, ours: last(l.curve) }),
      effect: 'difference',
      expectation: { of: 'mean', below: 0 },
    },
    {
      claim: 'one student keeps 60 % of what the ensemble gains on the best single model',
      baseline: 'gain of the ensemble, nats',
      ours: "gain of a student of one member's size, nats",
      of: (l) => ({ baseline: l.single - last(l.curve), ours: l.single - l.student }),
      effect: 'ratio',
      expectation: { of: 'mean', atLeast: 0.6 },
    },
    {
      claim: 'a model taught by one of its own size is ahead of its teacher',
      baseline: 'teacher: validation loss',
      ours: 'student: validation loss',
      of: (l) => ({ baseline: l.selfTeacher, ours: l.selfStudent }),
      effect: 'difference',
      expectation: { of: 'mean', below: 0 },
    },
  ];
}

async function* claims(context: ReproContext): AsyncIterable<Claim> {
  const { quick, seeds, backend, onProgress } = context;
  const scale = quick ? QUICK : FULL;
  const { characters, members, epochs } = scale;
  const losses: SeedLosses[] = [];
  for (const seed of seeds) losses.push(await new Laboratory(scale, seed, onProgress).run());
  const setting =
    `${characters} characters of Moby-Dick, validation on 12000 others, context ${CONTEXT}, MLP of two ReLU layers; AdamW ${RATE}, ` +
    `batch ${BATCH}, ${epochs} epochs; decays ${DECAYS.join(', ')}, of which each size has its best by local search; members at half ` +
    `the best decay; students by logits, decay ${STUDENT.decay}, ${STUDENT.epochs} epochs; float32, ${backend}`;
  for (const { of, ...row } of rowsOf(scale)) {
    const results = seeds.map((seed, i) => ({ seed, ...of(losses[i]!) }));
    yield { ...row, setting, results };
  }
  if (members < 4) return;
  const sizes = Array.from({ length: members }, (_, i) => i + 1);
  yield {
    claim: 'the fitted law puts infinitely many members below the ensemble that was trained',
    setting: `${setting}; A/K^α + E over K = 1 … ${members}`,
    baseline: `${members} members: validation loss`,
    ours: 'asymptote E',
    results: seeds.map((seed, i) => {
      const { curve } = losses[i]!;
      return { seed, baseline: curve.at(-1)!, ours: fitPowerLaw(sizes, curve, { bootstrap: 0 }).E };
    }),
    effect: 'difference',
    expectation: { of: 'everySeed', below: 0 },
  };
}

export const repro: Repro = {
  system: 'infinite-compute',
  description:
    'a tiny language model on little text: tuned weight decay, ensembles against one larger model, distillation',
  claims,
};
