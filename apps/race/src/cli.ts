/** `npx pnpm demo`: the race on the command line. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type BackendInfo, useBackend } from '@orth/backend';
import { writeAtomically } from './archive.js';
import { checkpointPath, readCheckpoint } from './checkpoint.js';
import { type CliOptions, parseArguments } from './cliOptions.js';
import { colors } from './colors.js';
import { formatCount } from './format.js';
import { OPTIMIZERS } from './optimizers.js';
import { createProgress, type Progress, silent } from './progress.js';
import { describeBackend, type RaceEvent, runRace } from './race.js';
import { renderReport } from './report.js';
import type { RaceResult } from './result.js';
import { describeShape } from './settings.js';
import { runSweep } from './sweep.js';
import { renderSweep } from './sweepTable.js';
import { renderResult } from './table.js';

const INTERRUPTED = 130;
const SAMPLE_BYTES = 220;
const CHECKPOINT_INTERVAL = 50;

const say = (text: string) => process.stderr.write(`${text}\n`);
const print = (text: string) => process.stdout.write(`${text}\n`);

/** The first Ctrl-C asks the race to stop after the step it is in; a second one ends the process. */
function stopOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  process.on('SIGINT', () => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
  });
  process.on('SIGTERM', () => controller.abort());
  return controller.signal;
}

async function startBackend(name: string): Promise<BackendInfo> {
  // On webgpu steps this small wait for their launches: asked for by name only.
  if (name === 'cuda') await import('@orth/backend-cuda');
  if (name === 'webgpu') await import('@orth/backend-webgpu');
  if (name !== 'auto' && name !== 'node') return useBackend(name);
  await import('@orth/backend-node');
  // Not whichever library is faster today: a resumed race is to have the bits of the first.
  return useBackend<string>(name, { library: 'onnxruntime' });
}

function announce({ settings, backend, parameters, step }: RaceEvent & { kind: 'start' }): void {
  const { optimizers, steps, shape, batch } = settings;
  const names = optimizers.map((name) => OPTIMIZERS[name].label).join(' against ');
  const from = step > 0 ? `, from step ${step}` : '';
  say(colors.bold(`${names} on Moby-Dick: ${steps} steps${from}`));
  say(`model    ${describeShape(shape)}; ${formatCount(parameters)} trained numbers`);
  say(`batch    ${batch} rows of ${shape.context} bytes`);
  say(`backend  ${backend}\n`);
}

/** Warns that a stopped race is about to be replaced. */
async function warnOfUnfinished(output: string): Promise<void> {
  if (!existsSync(checkpointPath(output))) return;
  const checkpoint = await readCheckpoint(output).catch(() => undefined);
  if (!checkpoint || checkpoint.step >= checkpoint.settings.steps) return;
  const { step, settings } = checkpoint;
  const where = `${output} holds a race stopped at step ${step} of ${settings.steps}`;
  say(colors.yellow(`${where}; --resume would go on with it, this race will replace it.`));
}

async function writeResult(result: RaceResult, output: string): Promise<string> {
  await writeAtomically(join(output, 'result.json'), `${JSON.stringify(result, null, 1)}\n`);
  const report = join(output, 'report.html');
  await writeAtomically(report, renderReport(result));
  return report;
}

async function race(options: CliOptions, progress: Progress, signal: AbortSignal): Promise<number> {
  const { output, targetLoss, resume, json, settings } = options;
  if (!resume) await warnOfUnfinished(output);
  const started = { saved: false };
  const result = await runRace({
    ...(!resume && { settings }),
    output,
    resume,
    checkpointInterval: CHECKPOINT_INTERVAL,
    sampleBytes: SAMPLE_BYTES,
    signal,
    ...(targetLoss !== undefined && { targetLoss }),
    onEvent(event) {
      if (event.kind === 'start') announce(event);
      if (event.kind === 'checkpoint') started.saved = true;
      if (event.kind === 'sampling') progress.stop();
      progress.onEvent(event);
    },
  });
  progress.stop();
  const report = await writeResult(result, output);
  print(json ? JSON.stringify(result) : renderResult(result));
  say(`\nreport   ${relative('.', report)}`);
  if (result.finished) return 0;
  const again = `${invocation()} --resume${output === 'runs/race' ? '' : ` --output ${output}`}`;
  say(
    started.saved || resume
      ? `stopped at step ${result.step} of ${result.settings.steps}; go on with: ${again}`
      : 'stopped before the first step; nothing to go on with',
  );
  return INTERRUPTED;
}

/** How this program was called, as far as it can be known. */
const invocation = () =>
  process.env.npm_lifecycle_event === 'demo' ? 'npx pnpm demo' : 'node apps/race/dist/cli.js';

async function sweep(
  { settings, output, json, quiet }: CliOptions,
  signal: AbortSignal,
): Promise<number> {
  const { learningRates: _, ...rest } = settings;
  let progress = silent;
  say(`backend  ${describeBackend()}`);
  const result = await runSweep({
    settings: rest,
    signal,
    onEvent(event) {
      if (event.kind === 'start' && !quiet) progress = createProgress(process.stderr);
      progress.onEvent(event);
    },
    onRow({ optimizer, learningRate, validationLoss }, done, total) {
      progress.stop();
      const loss = validationLoss?.toFixed(3) ?? 'diverged';
      say(`${done}/${total}  ${OPTIMIZERS[optimizer].label} ${learningRate}: ${loss}`);
    },
  });
  progress.stop();
  await mkdir(output, { recursive: true });
  const contents = JSON.stringify({ backend: describeBackend(), settings: rest, ...result });
  await writeAtomically(join(output, 'sweep.json'), `${contents}\n`);
  print(json ? contents : renderSweep(result));
  return signal.aborted ? INTERRUPTED : 0;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseArguments(args);
  const signal = stopOnInterrupt();
  const progress = options.quiet ? silent : createProgress(process.stderr);
  try {
    const checkpoint = options.resume ? await readCheckpoint(options.output) : undefined;
    await startBackend(options.backend ?? checkpoint?.backend ?? 'auto');
    return options.sweep ? await sweep(options, signal) : await race(options, progress, signal);
  } catch (error) {
    progress.stop();
    say(colors.red(error instanceof Error ? error.message : String(error)));
    return 1;
  }
}

const code = await main(process.argv.slice(2));
// Writing to a pipe is not done when write returns; and a GPU would keep the process alive.
process.stdout.write('', () => process.exit(code));
