/** What a person sees while the race runs: bars on a terminal, one line every few seconds elsewhere. */
import { MultiBar, type SingleBar } from 'cli-progress';
import { formatCount, formatLoss, formatTimeLeft } from './format.js';
import { OPTIMIZERS, type OptimizerName } from './optimizers.js';
import type { RaceEvent } from './race.js';
import { type History, lastValidationLoss, recentTrainLoss } from './result.js';
import type { RaceSettings } from './settings.js';

/** How often a line is printed where there is no terminal. */
const LINE_INTERVAL_MS = 5000;
/** Steps that the shown speed is the mean of. */
const SPEED_WINDOW = 20;

/** Something that shows a race's events. */
export interface Progress {
  onEvent(event: RaceEvent): void;
  /** Leaves the terminal tidy; nothing is shown afterwards. */
  stop(): void;
}

/** Shows nothing. */
export const silent: Progress = { onEvent() {}, stop() {} };

/** Bytes per second over the last steps: a byte is a token. */
function tokensPerSecond({ seconds }: Readonly<History>, tokensPerStep: number): number {
  const count = Math.min(SPEED_WINDOW, seconds.length);
  const start = seconds[seconds.length - count - 1] ?? 0;
  const elapsed = (seconds.at(-1) ?? 0) - start;
  return elapsed > 0 ? (count * tokensPerStep) / elapsed : 0;
}

/** Estimates the time left of the whole race, validation included, from the pace since it began or was resumed. */
class Clock {
  private readonly began = performance.now();
  constructor(
    private readonly from: number,
    private readonly steps: number,
  ) {}

  left(step: number): number {
    const done = step - this.from;
    const elapsed = (performance.now() - this.began) / 1000;
    return done > 0 ? (elapsed / done) * (this.steps - step) : Number.NaN;
  }
}

const tokens = ({ batch, shape }: Pick<RaceSettings, 'batch' | 'shape'>) => batch * shape.context;

function barsOn(stream: NodeJS.WriteStream): Progress {
  const multi = new MultiBar({
    stream,
    format:
      '{label} {bar} {value}/{total}  loss {loss}  val {validation}  {speed} tokens/s  {left} left',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    emptyOnZero: true,
    gracefulExit: false,
  });
  const bars = new Map<OptimizerName, SingleBar>();
  let clock: Clock | undefined;
  let perStep = 0;
  const empty = { loss: '…', validation: '…', speed: '…', left: '…' };
  return {
    onEvent(event) {
      if (event.kind === 'start') {
        const { settings, step } = event;
        clock = new Clock(step, settings.steps);
        perStep = tokens(settings);
        const labels = settings.optimizers.map((name) => OPTIMIZERS[name].label);
        const width = Math.max(...labels.map(({ length }) => length));
        settings.optimizers.forEach((name, i) => {
          const label = labels[i]!.padEnd(width);
          bars.set(name, multi.create(settings.steps, step, { ...empty, label }));
        });
        return;
      }
      if (event.kind === 'checkpoint' || event.kind === 'sampling') return;
      const { optimizer, step, history } = event;
      bars.get(optimizer)?.update(step, {
        loss: event.kind === 'diverged' ? 'diverged' : formatLoss(recentTrainLoss(history)),
        validation: formatLoss(lastValidationLoss(history)),
        speed: formatCount(tokensPerSecond(history, perStep)),
        left: formatTimeLeft(clock?.left(step) ?? null),
      });
    },
    stop: () => multi.stop(),
  };
}

function linesOn(stream: NodeJS.WritableStream): Progress {
  let clock: Clock | undefined;
  let settings: RaceSettings | undefined;
  let printed = performance.now();
  let seen = 0;
  const histories = new Map<OptimizerName, Readonly<History>>();

  const print = (step: number, { steps, ...rest }: RaceSettings) => {
    const parts = [...histories].map(([name, history]) => {
      const losses = `${formatLoss(recentTrainLoss(history))} (val ${formatLoss(lastValidationLoss(history))})`;
      const speed = formatCount(tokensPerSecond(history, tokens(rest)));
      return `${OPTIMIZERS[name].label} ${losses} ${speed} tokens/s`;
    });
    const left = formatTimeLeft(clock?.left(step) ?? null);
    stream.write(`step ${step}/${steps} · ${parts.join(' · ')} · ${left} left\n`);
  };

  return {
    onEvent(event) {
      if (event.kind === 'start') {
        settings = event.settings;
        clock = new Clock(event.step, settings.steps);
        seen = event.step;
        return;
      }
      if (event.kind === 'checkpoint' || event.kind === 'sampling') return;
      const { optimizer, step, history } = event;
      const now = performance.now();
      // The first event of a step: everyone has done the one before.
      if (settings && step > seen && step > 1 && now - printed >= LINE_INTERVAL_MS) {
        printed = now;
        print(step - 1, settings);
      }
      seen = step;
      histories.set(optimizer, history);
    },
    stop() {},
  };
}

/** Bars if `stream` is a terminal, lines if not. */
export function createProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? barsOn(stream) : linesOn(stream);
}
