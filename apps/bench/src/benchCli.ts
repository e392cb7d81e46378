import { writeFile } from 'node:fs/promises';
import { seededRandom } from '@orth/backend';
import type { Bench, BenchResult, FigureRow } from './harness/bench.js';
import { type CliStreams, createCommand, runCommand } from './harness/cli.js';
import { discover, select } from './harness/discover.js';
import { FULL, QUICK } from './harness/interleave.js';
import { describeMachine, formatMachine, loadNotes } from './harness/machine.js';
import { createProgress } from './harness/progress.js';
import { PythonPeers } from './harness/pythonPeers.js';
import { runBenches } from './harness/runBenches.js';
import { selectBackend } from './harness/selectBackend.js';
import { formatTable } from './harness/table.js';

interface Options {
  readonly backend: string;
  readonly json?: string;
  readonly list?: boolean;
  readonly quick?: boolean;
  readonly threads?: string;
}

/** Folders the command reads: file URLs. */
export interface BenchFolders {
  readonly benches: URL;
  readonly peers: URL;
}

/** The report for the terminal: rows, then what is absent, what failed and what to know. */
export function formatBenchResult(
  { rows, figures, absent, failed }: BenchResult,
  notes: string[],
): string {
  const parts: string[] = [];
  if (rows.length > 0) {
    parts.push(
      formatTable(
        [
          'name',
          'size',
          'ours',
          'ours_ms',
          'peer',
          'peer_ms',
          'ratio',
          'ratio_min',
          'err_ours',
          'err_peer',
        ],
        rows.map((row) => [
          row.name,
          row.size,
          row.ours,
          row.ours_ms,
          row.peer,
          row.peer_ms,
          row.ratio,
          row.ratio_min,
          row.error_ours,
          row.error_peer,
        ]),
      ),
    );
    const measures = new Map<string, Set<string>>();
    for (const { name, error_measure } of rows) {
      measures.set(error_measure, (measures.get(error_measure) ?? new Set()).add(name));
    }
    parts.push(
      [
        'ratio = peer_ms / ours_ms: above 1 = ours is faster. Times are medians of interleaved runs; ratio_min ' +
          'compares the fastest runs.',
        ...[...measures].map(([measure, names]) => `err of ${[...names].join(', ')}: ${measure}`),
      ].join('\n'),
    );
  }
  if (figures.length > 0) {
    const bound = ({ atLeast, atMost }: FigureRow) =>
      [
        ...(atLeast === undefined ? [] : [`>= ${atLeast}`]),
        ...(atMost === undefined ? [] : [`<= ${atMost}`]),
      ].join(', ');
    parts.push(
      formatTable(
        ['name', 'size', 'what', 'value', 'unit', 'bound', 'holds'],
        figures.map((row) => [
          row.name,
          row.size,
          row.what,
          row.value,
          row.unit,
          bound(row),
          row.holds === undefined ? '' : row.holds ? 'yes' : 'NO',
        ]),
      ),
    );
  }
  const reasons = new Map<string, string[]>();
  for (const { name, size, peer, reason } of absent) {
    const key = `absent: ${peer}: ${reason}`;
    reasons.set(key, [...(reasons.get(key) ?? []), `${name} ${size}`]);
  }
  for (const [reason, where] of reasons) parts.push(`${reason} [${where.join('; ')}]`);
  for (const { name, size, peer, message } of failed) {
    parts.push(`FAILED: ${name} ${size}${peer ? ` against ${peer}` : ''}: ${message}`);
  }
  for (const note of notes) parts.push(`note: ${note}`);
  return parts.join('\n\n');
}

/**
 * The bench command.
 *
 * @param argv - arguments after the program's name
 * @returns exit code: 0, 1 if something failed, 2 for a wrong command line
 */
export async function benchCommand(
  argv: readonly string[],
  folders: BenchFolders,
  streams: CliStreams = process,
): Promise<number> {
  const command = createCommand(
    'bench',
    'Benchmarks beside peers, with the accuracy of both',
    streams,
  )
    .argument('[names...]', 'benches to run; all of them by default')
    .option('--quick', 'fewer and smaller cases, fewer samples')
    .option('--json <file>', 'also write everything to a JSON file')
    .option('--backend <name>', 'tfjs backend', 'auto')
    .option('--threads <count>', 'threads of the backend; default: its own choice')
    .option('--list', 'list the benches and end');
  return runCommand(command, argv, streams, async (names: string[], options: Options) => {
    const all = await discover<Bench>(folders.benches, 'bench');
    const benches = select(all, names, ({ name }) => name, 'bench');
    if (options.list) {
      const rows = benches.map(({ name, description }) => [name, description]);
      streams.stdout.write(`${formatTable(['name', 'what'], rows)}\n`);
      return 0;
    }
    const { name: backend, threads = 1 } = await selectBackend(options.backend, options.threads);
    const machine = describeMachine();
    streams.stdout.write(`${formatMachine(machine)}\n\n`);
    const python = new PythonPeers(folders.peers);
    const progress = createProgress(streams.stderr);
    try {
      const result = await runBenches(
        benches,
        {
          quick: options.quick ?? false,
          backend,
          threads,
          policy: options.quick ? QUICK : FULL,
          python,
          random: (key) => seededRandom(1).fork(key),
        },
        progress.update,
      );
      progress.finish();
      const notes = [...python.notes(), ...loadNotes(machine)];
      streams.stdout.write(`${formatBenchResult(result, notes)}\n`);
      if (options.json) {
        const libraries = { ...machine.libraries, ...python.libraries() };
        const report = {
          machine: { ...machine, libraries },
          quick: options.quick ?? false,
          notes,
          ...result,
        };
        await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
      }
      return result.failed.length > 0 ? 1 : 0;
    } finally {
      await python.close();
    }
  });
}
