/** The learning-rate sweep: how the default rates of the race were found. */
import { checkOptions } from '@orth/backend';
import { type Corpus, loadMobyDick } from './data.js';
import { OPTIMIZERS, type OptimizerName } from './optimizers.js';
import { type RaceEvent, runRace } from './race.js';
import { type RaceSettingsOptions, raceSettings } from './settings.js';

/** One trial. */
export interface SweepRow {
  readonly optimizer: OptimizerName;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Final validation loss in nats; null if it diverged. */
  readonly validationLoss: number | null;
}

/** The best rate of one optimiser. */
export interface SweepChoice {
  readonly optimizer: OptimizerName;
  readonly learningRate: number;
  readonly validationLoss: number;
  /** False if the best rate is the least or greatest that was tried: then the grid is too narrow to call it tuned. */
  readonly interior: boolean;
}

/** A sweep's result. */
export interface SweepResult {
  readonly rows: readonly SweepRow[];
  readonly choices: readonly SweepChoice[];
}

/** Options of {@link runSweep}. */
export interface SweepOptions {
  /** As for the race; `learningRates` must be absent, since they are what is sought. */
  readonly settings?: Omit<RaceSettingsOptions, 'learningRates'>;
  readonly signal?: AbortSignal;
  /** Called with the events of each trial. */
  readonly onEvent?: (event: RaceEvent) => void;
  /** Called after each trial. */
  readonly onRow?: (row: SweepRow, done: number, total: number) => void;
  readonly corpus?: Corpus;
}

/** The best row of each optimiser that has one. */
export function chooseRates(rows: readonly SweepRow[]): SweepChoice[] {
  const names = [...new Set(rows.map(({ optimizer }) => optimizer))];
  return names.flatMap((optimizer) => {
    const own = rows.filter((row) => row.optimizer === optimizer);
    const rates = own.map(({ learningRate }) => learningRate);
    const finite = own.filter(({ validationLoss }) => validationLoss !== null);
    const [best] = finite.sort((a, b) => a.validationLoss! - b.validationLoss!);
    if (!best) return [];
    const { learningRate } = best;
    const interior = learningRate > Math.min(...rates) && learningRate < Math.max(...rates);
    return [{ optimizer, learningRate, validationLoss: best.validationLoss!, interior }];
  });
}

/**
 * Trains with every rate of each optimiser's grid, all from the same weights on the same batches, and picks the rate
 * with the lowest final validation loss. Every optimiser gets as many trials of as many steps.
 *
 * @throws RangeError or TypeError for bad options
 */
export async function runSweep(options: SweepOptions = {}): Promise<SweepResult> {
  checkOptions('runSweep', options, ['settings', 'signal', 'onEvent', 'onRow', 'corpus']);
  const { settings = {}, signal, onEvent, onRow, corpus = loadMobyDick() } = options;
  const { optimizers } = raceSettings(settings);
  const trials = optimizers.flatMap((optimizer) =>
    OPTIMIZERS[optimizer].sweep.map((learningRate) => ({ optimizer, learningRate })),
  );
  const rows: SweepRow[] = [];
  for (const { optimizer, learningRate } of trials) {
    const { finished, contestants } = await runRace({
      settings: {
        ...settings,
        optimizers: [optimizer],
        learningRates: { [optimizer]: learningRate },
      },
      corpus,
      signal,
      onEvent,
    });
    // A trial that was stopped has not had its budget and is not compared.
    if (!finished) break;
    const row = { optimizer, learningRate, validationLoss: contestants[0]!.finalValidationLoss };
    rows.push(row);
    onRow?.(row, rows.length, trials.length);
  }
  return { rows, choices: chooseRates(rows) };
}
