import { writeFile } from 'node:fs/promises';
import { seededRandom } from '@orth/backend';
import { type CliStreams, createCommand, runCommand } from './harness/cli.js';
import { discover, select } from './harness/discover.js';
import { UsageError } from './harness/errors.js';
import { describeMachine, formatMachine } from './harness/machine.js';
import { createProgress } from './harness/progress.js';
import type { Expectation, Repro, Summary } from './harness/repro.js';
import { FEWEST_SEEDS, type ReproResult, runRepros } from './harness/runRepros.js';
import { selectBackend } from './harness/selectBackend.js';
import { formatNumber, formatTable } from './harness/table.js';

interface Options {
  readonly backend: string;
  readonly json?: string;
  readonly list?: boolean;
  readonly quick?: boolean;
  readonly threads?: string;
  readonly seeds: string;
}

const formatSummary = ({ mean, spread }: Summary) =>
  `${formatNumber(mean)} ± ${formatNumber(spread)}`;

function formatExpectation({ of, atLeast, atMost, below }: Expectation): string {
  const bounds = [
    ...(atLeast === undefined ? [] : [`>= ${formatNumber(atLeast)}`]),
    ...(atMost === undefined ? [] : [`<= ${formatNumber(atMost)}`]),
    ...(below === undefined ? [] : [`< ${formatNumber(below)}`]),
  ];
  return `${of === 'mean' ? 'mean' : 'each'} ${bounds.join(' and ')}`;
}

/** The report for the terminal: the table, what each row is, and what failed. */
export function formatReproResult({ rows, failed }: ReproResult): string {
  const parts: string[] = [];
  if (rows.length > 0) {
    const table = rows.map((row, i) => [
      String(i + 1),
      row.system,
      formatSummary(row.baseline),
      formatSummary(row.ours),
      formatSummary(row.effect),
      formatExpectation(row.expectation),
      row.holds ? 'yes' : 'NO',
      row.seeds.join(' '),
    ]);
    parts.push(
      formatTable(
        ['row', 'system', 'baseline', 'ours', 'effect', 'expected', 'holds', 'seeds'],
        table,
      ),
      'Numbers are mean ± standard deviation over the seeds.',
      ...rows.map(
        (row, i) =>
          `${i + 1}  ${row.claim}\n   baseline: ${row.baseline.what}; ours: ${row.ours.what}; effect: ${row.effect.what}\n   ${row.setting}`,
      ),
    );
  }
  for (const { system, message } of failed) parts.push(`FAILED: ${system}: ${message}`);
  return parts.join('\n\n');
}

function parseSeeds(text: string): number[] {
  const count = Number(text);
  if (!Number.isInteger(count) || count < FEWEST_SEEDS) {
    throw new UsageError(`--seeds must be an integer >= ${FEWEST_SEEDS}, got "${text}"`);
  }
  return Array.from({ length: count }, (_, i) => i + 1);
}

/**
 * The repro command.
 *
 * @param argv - arguments after the program's name
 * @param repros - file URL of the folder with the reproductions
 * @returns exit code: 0 also when a claim does not hold (that is a result), 1 if something failed to run, 2 for a wrong
 *   command line
 */
export async function reproCommand(
  argv: readonly string[],
  repros: URL,
  streams: CliStreams = process,
): Promise<number> {
  const about = "Small reproductions of each paper's headline effect";
  const command = createCommand('repro', about, streams)
    .argument('[systems...]', 'systems to reproduce; all of them by default')
    .option('--quick', 'shorter runs, as the rows say')
    .option('--seeds <count>', `seeds, ${FEWEST_SEEDS} or more`, String(FEWEST_SEEDS))
    .option('--json <file>', 'also write everything to a JSON file')
    .option('--backend <name>', 'tfjs backend', 'auto')
    .option('--threads <count>', 'threads of the backend; default: its own choice')
    .option('--list', 'list the systems and end');
  return runCommand(command, argv, streams, async (names: string[], options: Options) => {
    const all = await discover<Repro>(repros, 'repro');
    const chosen = select(all, names, ({ system }) => system, 'system');
    const seeds = parseSeeds(options.seeds);
    if (options.list) {
      const rows = chosen.map(({ system, description }) => [system, description]);
      streams.stdout.write(`${formatTable(['system', 'what'], rows)}\n`);
      return 0;
    }
    const { name: backend } = await selectBackend(options.backend, options.threads);
    const machine = describeMachine();
    streams.stdout.write(`${formatMachine(machine)}\n\n`);
    const progress = createProgress(streams.stderr);
    const quick = options.quick ?? false;
    const context = { quick, seeds, backend, random: seededRandom };
    const result = await runRepros(chosen, context, progress.update);
    progress.finish();
    streams.stdout.write(`${formatReproResult(result)}\n`);
    if (options.json) {
      await writeFile(options.json, `${JSON.stringify({ machine, quick, ...result }, null, 2)}\n`);
    }
    return result.failed.length > 0 ? 1 : 0;
  });
}
