/** The command line: what can be asked for, and what is refused. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { OPTIMIZER_NAMES, OPTIMIZERS, type OptimizerName } from './optimizers.js';
import { DEFAULTS, type RaceSettingsOptions, raceSettings } from './settings.js';

/** What the command line asks for. */
export interface CliOptions {
  readonly settings: RaceSettingsOptions;
  /** Undefined: automatic, or the checkpoint's. */
  readonly backend: string | undefined;
  readonly output: string;
  readonly targetLoss: number | undefined;
  readonly resume: boolean;
  readonly sweep: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Where things are written when nothing is asked for. */
const DEFAULT_OUTPUT = 'runs/race';

const EXAMPLES = `
Examples:
  npx pnpm demo                                       Muon against AdamW, about two minutes
  npx pnpm demo --steps 1000 --seed 7                 a longer race from other weights, on other batches
  npx pnpm demo --size 4x192 --context 128            a larger model: 4 blocks, 192 wide
  npx pnpm demo --learning-rates muon=0.02,adamW=0.01
  npx pnpm demo --resume                              goes on after Ctrl-C, bit for bit
  npx pnpm demo --sweep                               how the default learning rates were found`;

/** Options that decide what is computed; a resumed race has them from its checkpoint. */
const SETTINGS = ['optimizers', 'steps', 'size', 'context', 'batch', 'seed', 'learningRates'];

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value))
    throw new InvalidArgumentError('Not a number.');
  return value;
}

function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('Not an integer.');
  return value;
}

function parseOptimizer(text: string): OptimizerName {
  const name = OPTIMIZER_NAMES.find((known) => known.toLowerCase() === text.trim().toLowerCase());
  if (name) return name;
  throw new InvalidArgumentError(
    `Unknown optimiser '${text}'; known: ${OPTIMIZER_NAMES.join(', ')}.`,
  );
}

const parseOptimizers = (text: string): OptimizerName[] => text.split(',').map(parseOptimizer);

function parseLearningRates(text: string): Partial<Record<OptimizerName, number>> {
  const pairs = text.split(',').map((pair): [OptimizerName, number] => {
    const [name = '', rate, ...rest] = pair.split('=');
    if (rate === undefined || rest.length > 0) {
      throw new InvalidArgumentError('Write name=rate, name=rate, … .');
    }
    return [parseOptimizer(name), parseNumber(rate)];
  });
  return Object.fromEntries(pairs);
}

function createCommand(): Command {
  const known = Object.entries(OPTIMIZERS).map(([name, { label }]) => `${name} (${label})`);
  return new Command('race')
    .description('Optimisers race to train a small byte-level GPT on Moby-Dick.')
    .option('--optimizers <names>', `who races: ${known.join(', ')}`, parseOptimizers, [
      'adamW',
      'muon',
    ] as OptimizerName[])
    .option('--steps <n>', 'steps of each', parseInteger, DEFAULTS.steps)
    .option('--size <size>', 'tiny, small, medium, or LAYERSxWIDTH[xHEADS]', DEFAULTS.size)
    .option('--context <bytes>', "bytes in a row (default: the size's)", parseInteger)
    .option('--batch <rows>', 'rows in a batch', parseInteger, DEFAULTS.batch)
    .option('--seed <n>', 'seed of weights, batches and samples', parseInteger, DEFAULTS.seed)
    .option(
      '--learning-rates <list>',
      'peak rates, name=rate,… (default: tuned)',
      parseLearningRates,
    )
    .option(
      '--target-loss <nats>',
      'loss to measure the way to (default: the worst final one)',
      parseNumber,
    )
    .option('--backend <name>', 'auto (wasm), node, cuda, webgpu, cpu (default: auto)')
    .option('--output <folder>', 'for checkpoint, result and report', DEFAULT_OUTPUT)
    .option('--resume', 'go on from the checkpoint in the output folder', false)
    .addOption(
      new Option('--sweep', 'try a grid of learning rates for each optimiser')
        .default(false)
        .conflicts('resume'),
    )
    .option('--json', 'print the result as JSON on standard output', false)
    .option('--quiet', 'show no progress', false)
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(--help shows all options)')
    .allowExcessArguments(false);
}

/**
 * Reads the arguments after the program's name. For `--help` and for mistakes it prints and exits the process: 0, or 2
 * for a mistake.
 */
export function parseArguments(args: readonly string[]): CliOptions {
  const command = createCommand().exitOverride((error) =>
    process.exit(error.exitCode === 0 ? 0 : 2),
  );
  command.parse([...args], { from: 'user' });
  const { optimizers, steps, size, context, batch, seed, learningRates, ...rest } = command.opts();
  const refuse = (message: string) => command.error(`error: ${message}`);
  const settings = { optimizers, steps, size, context, batch, seed, learningRates };
  const given = SETTINGS.filter((name) => command.getOptionValueSource(name) === 'cli');
  if (rest.resume && given.length > 0) {
    const names = given.map((name) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`);
    refuse(`--resume takes its settings from the checkpoint; leave out ${names.join(', ')}`);
  }
  if (rest.sweep && learningRates)
    refuse('--sweep looks for learning rates; leave out --learning-rates');
  if (rest.targetLoss !== undefined && rest.targetLoss <= 0) {
    refuse(`--target-loss must be > 0, got ${rest.targetLoss}`);
  }
  try {
    raceSettings(settings);
  } catch (error) {
    refuse((error as Error).message.replace(/^\w+: /, ''));
  }
  const { backend, output, targetLoss, resume, sweep, json, quiet } = rest;
  return { settings, backend, output, targetLoss, resume, sweep, json, quiet };
}
