/** The race's claim: at equal steps on real text Muon is ahead of AdamW, both at the learning rates of one sweep. */
import {
  type ContestantResult,
  DEFAULTS,
  type OptimizerName,
  type RaceResult,
  runRace,
} from '@orth/race';
import type { Repro, SeedResult } from '../harness/repro.js';

const QUICK_STEPS = 120;
const CONTESTANTS: OptimizerName[] = ['adamW', 'muon'];

const of = ({ contestants }: RaceResult, name: OptimizerName): ContestantResult =>
  contestants.find(({ optimizer }) => optimizer === name)!;

export const repro: Repro = {
  system: 'race',
  description: 'Muon against AdamW at equal steps: a byte-level GPT on Moby-Dick',
  async *claims({ seeds, quick, onProgress }) {
    const steps = quick ? QUICK_STEPS : DEFAULTS.steps;
    const races: { seed: number; result: RaceResult }[] = [];
    for (const seed of seeds) {
      const result = await runRace({
        settings: { optimizers: CONTESTANTS, seed, steps },
        onEvent: (event) => {
          if (event.kind === 'validation') {
            onProgress(`seed ${seed}, ${event.optimizer}, step ${event.step} of ${steps}`);
          }
        },
      });
      races.push({ seed, result });
    }
    const [{ result }] = races as [(typeof races)[number]];
    const rates = result.contestants.map(({ label, learningRate }) => `${label} ${learningRate}`);
    const setting =
      `byte-level GPT, ${DEFAULTS.size} (${result.parameters} weights), Moby-Dick, batch ${result.settings.batch}, ` +
      `${steps} steps${quick ? ` (quick; the default is ${DEFAULTS.steps})` : ''}, peak learning rates of the sweep: ` +
      `${rates.join(', ')}; ${result.backend}`;
    // A contestant that diverged has no loss: NaN meets no expectation.
    const collect = (pick: (result: ContestantResult) => number | null): SeedResult[] =>
      races.map(({ seed, result }) => ({
        seed,
        baseline: pick(of(result, 'adamW')) ?? Number.NaN,
        ours: pick(of(result, 'muon')) ?? Number.NaN,
      }));
    yield {
      claim: "Muon's final validation loss is below AdamW's at equal steps, for every seed",
      setting,
      baseline: 'AdamW: final validation loss, nats a byte',
      ours: 'Muon: final validation loss',
      results: collect(({ finalValidationLoss }) => finalValidationLoss),
      effect: 'difference',
      expectation: { of: 'everySeed', below: 0 },
    };
    yield {
      claim:
        "Muon reaches AdamW's final validation loss in at most 0.9 of its steps, for every seed",
      setting,
      baseline: 'AdamW: steps',
      ours: "Muon: steps until AdamW's final loss",
      results: races.map(({ seed, result }) => {
        const target = of(result, 'adamW').finalValidationLoss ?? Number.NaN;
        const reached = of(result, 'muon').validation.find(({ loss }) => loss <= target);
        return { seed, baseline: steps, ours: reached?.step ?? Number.NaN };
      }),
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.9 },
    };
  },
};
