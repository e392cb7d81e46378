/** The race: every optimiser trains its own copy of one model on the same batches, step by step in turn. */
import { mkdir } from 'node:fs/promises';
import {
  backendInfo,
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOptions,
  seededRandom,
} from '@orth/backend';
import { type RaceCheckpoint, readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { Contestant } from './contestant.js';
import {
  BatchSampler,
  type Corpus,
  disposeBatch,
  loadMobyDick,
  validationBatches,
} from './data.js';
import { generate } from './generate.js';
import type { OptimizerName } from './optimizers.js';
import {
  type ContestantResult,
  commonTarget,
  firstAtOrBelow,
  type History,
  lastValidationLoss,
  millisecondsPerStep,
  type RaceResult,
  recentTrainLoss,
} from './result.js';
import { type RaceSettings, type RaceSettingsOptions, raceSettings } from './settings.js';

/** What happens during a race, as it happens. */
export type RaceEvent =
  | {
      readonly kind: 'start';
      readonly settings: RaceSettings;
      readonly backend: string;
      readonly parameters: number;
      /** Steps done before: 0, or a checkpoint's. */
      readonly step: number;
    }
  | {
      readonly kind: 'step' | 'validation' | 'diverged';
      readonly optimizer: OptimizerName;
      /** Steps done. */
      readonly step: number;
      readonly history: Readonly<History>;
    }
  | { readonly kind: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly kind: 'sampling' };

/** Options of {@link runRace}. */
export interface RaceOptions {
  /** What to compute; not with `resume`. */
  readonly settings?: RaceSettingsOptions;
  /** Folder for checkpoints; it is made if need be. Default: none are written */
  readonly output?: string;
  /** Goes on from the checkpoint in `output`, with its settings. Default false */
  readonly resume?: boolean;
  /** Steps between two checkpoints. Default 100 */
  readonly checkpointInterval?: number;
  /** Loss to measure the way to, in nats. Default: the worst final validation loss */
  readonly targetLoss?: number;
  /** Bytes of text to generate with each model at the end. Default 0 */
  readonly sampleBytes?: number;
  /** Stops the race after the step it is in; what was done is saved and returned. */
  readonly signal?: AbortSignal;
  /** Called as things happen. */
  readonly onEvent?: (event: RaceEvent) => void;
  /** The text. Default: Moby-Dick */
  readonly corpus?: Corpus;
}

const KEYS = [
  'settings',
  'output',
  'resume',
  'checkpointInterval',
  'targetLoss',
  'sampleBytes',
  'signal',
  'onEvent',
  'corpus',
];
const PROMPT = 'The whale ';

/** Lets signals, timers and the terminal have their turn: wasm steps never wait for anything. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

/** One line that says what computes. */
export function describeBackend(): string {
  const { name, library, version, device } = backendInfo();
  return `${name} (${library} ${version}; ${device})`;
}

/**
 * Runs a race on the active backend.
 *
 * All contestants start from the same weights and see the same batches; they step in turn (A B A B …), so that a slow
 * moment of the machine slows them all alike. What one computes does not depend on who else races. A race that was
 * stopped and resumed gives the losses and weights of one that was not, bit for bit on the same backend.
 *
 * @returns curves and figures; see {@link RaceResult}
 * @throws RangeError or TypeError for bad options; CheckpointError if `resume` finds no usable checkpoint
 * @example
 * await useBackend('wasm');
 * const { contestants } = await runRace({ settings: { steps: 100, size: 'tiny' } });
 */
export async function runRace(options: RaceOptions = {}): Promise<RaceResult> {
  const caller = 'runRace';
  checkOptions(caller, options, KEYS);
  const { output, resume = false, checkpointInterval = 100, targetLoss, sampleBytes = 0 } = options;
  checkInteger(caller, 'checkpointInterval', checkpointInterval, { min: 1 });
  checkInteger(caller, 'sampleBytes', sampleBytes, { min: 0 });
  if (targetLoss !== undefined) checkNumber(caller, 'targetLoss', targetLoss, { above: 0 });
  if (resume && (output === undefined || options.settings)) {
    throw new TypeError(`${caller}: resume needs an output folder and takes no settings`);
  }
  const checkpoint = resume ? await readCheckpoint(output!) : undefined;
  const settings = checkpoint?.settings ?? raceSettings(options.settings);
  const corpus = options.corpus ?? loadMobyDick();
  const race = new Race(settings, corpus);
  try {
    if (checkpoint) race.restore(checkpoint);
    if (output !== undefined) await mkdir(output, { recursive: true });
    await race.run(options, checkpointInterval);
    return await race.result(options, sampleBytes);
  } finally {
    race.dispose();
  }
}

class Race {
  private readonly contestants: Contestant[] = [];
  private readonly sampler: BatchSampler;
  private readonly validation;
  private readonly backend = backendInfo().name;
  private step = 0;

  constructor(
    private readonly settings: RaceSettings,
    private readonly corpus: Corpus,
  ) {
    const { optimizers, shape, batch, seed, validationRows } = settings;
    const { context } = shape;
    this.sampler = new BatchSampler(corpus.train, batch, context, seed);
    this.validation = validationBatches(corpus.validation, validationRows, batch, context);
    for (const name of optimizers) this.contestants.push(new Contestant(name, settings));
  }

  async run({ output, signal, onEvent }: RaceOptions, checkpointInterval: number): Promise<void> {
    const { settings } = this;
    const { parameters } = this.contestants[0]!.model;
    const { step } = this;
    onEvent?.({ kind: 'start', settings, backend: describeBackend(), parameters, step });
    if (this.step === 0) await this.validate(onEvent);
    await breathe();
    while (this.step < settings.steps && !signal?.aborted) {
      await this.stepAll(onEvent);
      const last = this.step === settings.steps;
      if (last || this.step % settings.validationInterval === 0) await this.validate(onEvent);
      await breathe();
      if (output === undefined) continue;
      if (last || signal?.aborted || this.step % checkpointInterval === 0) {
        const path = await this.save(output);
        onEvent?.({ kind: 'checkpoint', step: this.step, path });
      }
    }
  }

  private async stepAll(onEvent: RaceOptions['onEvent']): Promise<void> {
    const batch = this.sampler.next();
    this.step++;
    try {
      for (const contestant of this.contestants) {
        if (!contestant.racing) continue;
        await contestant.step(batch);
        const { name: optimizer, history, racing } = contestant;
        onEvent?.({ kind: racing ? 'step' : 'diverged', optimizer, step: this.step, history });
        await breathe();
      }
    } finally {
      disposeBatch(batch);
    }
  }

  private async validate(onEvent: RaceOptions['onEvent']): Promise<void> {
    for (const contestant of this.contestants) {
      if (!contestant.racing) continue;
      await contestant.validate(this.validation);
      const { name: optimizer, history, racing } = contestant;
      onEvent?.({ kind: racing ? 'validation' : 'diverged', optimizer, step: this.step, history });
      await breathe();
    }
  }

  private async save(folder: string): Promise<string> {
    const contestants = [];
    for (const contestant of this.contestants) contestants.push(await contestant.save());
    return writeCheckpoint(folder, {
      settings: this.settings,
      backend: this.backend,
      textBytes: this.corpus.train.length,
      step: this.step,
      sampler: this.sampler.state(),
      contestants,
    });
  }

  restore(checkpoint: RaceCheckpoint): void {
    const { backend, textBytes, step, sampler, contestants } = checkpoint;
    if (backend !== this.backend) {
      throw new CheckpointError(
        `the checkpoint was made on backend ${backend}; on ${this.backend} the race would not go on exactly`,
      );
    }
    if (textBytes !== this.corpus.train.length) {
      throw new CheckpointError('the checkpoint was made with another text');
    }
    if (contestants.length !== this.contestants.length) {
      throw new CheckpointError('the checkpoint does not hold every contestant');
    }
    this.sampler.restore(sampler);
    for (const [i, state] of contestants.entries()) this.contestants[i]!.restore(state);
    this.step = step;
  }

  async result(
    { targetLoss, signal, onEvent }: RaceOptions,
    sampleBytes: number,
  ): Promise<RaceResult> {
    const { settings, step } = this;
    // A race that was stopped between two validations: the result wants the loss of now, the checkpoint does not.
    for (const contestant of this.contestants) {
      const stale = contestant.history.validation.at(-1)?.step !== step;
      if (contestant.racing && stale) await contestant.validate(this.validation);
    }
    if (sampleBytes > 0) onEvent?.({ kind: 'sampling' });
    const target = targetLoss ?? commonTarget(this.contestants.map(({ history }) => history));
    const contestants: ContestantResult[] = [];
    for (const { name, entry, learningRate, history, model, stateBytes, racing } of this
      .contestants) {
      const reached = firstAtOrBelow(history, target);
      const random = seededRandom(settings.seed);
      const sample =
        sampleBytes > 0 && racing && !signal?.aborted
          ? await generate(model, { prompt: PROMPT, bytes: sampleBytes, random, signal })
          : '';
      contestants.push({
        optimizer: name,
        label: entry.label,
        learningRate,
        ...structuredClone(history),
        finalTrainLoss: recentTrainLoss(history),
        finalValidationLoss: lastValidationLoss(history),
        stepsToTarget: reached?.step ?? null,
        secondsToTarget: reached?.seconds ?? null,
        millisecondsPerStep: millisecondsPerStep(history),
        stateBytes,
        sample,
      });
    }
    return {
      settings,
      backend: describeBackend(),
      parameters: this.contestants[0]!.model.parameters,
      step,
      finished: step === settings.steps,
      targetLoss: target,
      targetGiven: targetLoss !== undefined,
      contestants,
    };
  }

  dispose(): void {
    for (const contestant of this.contestants) contestant.dispose();
    for (const batch of this.validation) disposeBatch(batch);
  }
}
