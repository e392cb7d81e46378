/** The command line as a user meets it: the built program, in processes of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { checkpointPath, readCheckpoint } from '../src/checkpoint.js';
import type { RaceResult } from '../src/result.js';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

beforeAll(() => {
  if (!existsSync(cli)) throw new Error('build first: npx turbo run build --filter=@orth/race');
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

const run = (...args: string[]) => start(args).ended;
const folder = () => mkdtemp(join(tmpdir(), 'race-'));
const small = ['--size', '1x16', '--context', '8', '--batch', '4', '--backend', 'wasm'];
/** Large enough for native kernels. */
const native = ['--size', '1x32', '--context', '32', '--batch', '8', '--backend', 'node'];

test.each([
  ['wasm', small],
  ['node', native],
])(
  'a race on %s equals one that was stopped by Ctrl-C and resumed in a new process, bit for bit',
  async (_, settings) => {
    const [whole, parts] = [await folder(), await folder()];
    const args = [...settings, '--steps', '120', '--output'];
    const { child, ended } = start([...args, parts]);
    // The first checkpoint shows that it is under way.
    const poll = setInterval(() => {
      if (!existsSync(checkpointPath(parts))) return;
      clearInterval(poll);
      child.kill('SIGINT');
    }, 20);
    const [stopped, unbroken] = await Promise.all([ended, run(...args, whole, '--json')]);
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/stopped at step \d+ of 120; go on with: .* --resume --output/);
    expect(stopped.stdout).toContain('val loss');
    expect(existsSync(join(parts, 'report.html'))).toBe(true);
    const checkpoint = await readCheckpoint(parts);
    expect(checkpoint.step).toBeGreaterThanOrEqual(50);
    expect(checkpoint.step).toBeLessThan(120);

    const resumed = await run('--resume', '--output', parts, '--json');
    expect([resumed.code, unbroken.code]).toEqual([0, 0]);
    const [a, b] = [resumed, unbroken].map(({ stdout }) => JSON.parse(stdout) as RaceResult);
    const losses = ({ contestants }: RaceResult) =>
      contestants.map(({ trainLoss, validation, sample }) => ({
        trainLoss,
        validation: validation.map(({ step, loss }) => [step, loss]),
        sample,
      }));
    expect(losses(a!)).toEqual(losses(b!));
    const [one, two] = [await readCheckpoint(parts), await readCheckpoint(whole)];
    expect(one.contestants.map(({ weights }) => weights)).toEqual(
      two.contestants.map(({ weights }) => weights),
    );
    expect(one.contestants.map(({ optimizerState }) => optimizerState)).toEqual(
      two.contestants.map(({ optimizerState }) => optimizerState),
    );
  },
);

test('a finished race leaves table, report and JSON; without a terminal it prints plain lines', async () => {
  const output = await folder();
  const { code, stdout, stderr } = await run(...small, '--steps', '5', '--output', output);
  expect(code).toBe(0);
  // Colours and cursor movements have no place in a pipe.
  expect(stdout + stderr).not.toContain('\u001b');
  for (const text of ['AdamW', 'Muon', 'ms/step', 'writes: The whale ']) {
    expect(stdout).toContain(text);
  }
  expect(stderr).toContain('backend  wasm');
  const result = JSON.parse(await readFile(join(output, 'result.json'), 'utf8')) as RaceResult;
  expect(result.step).toBe(5);
  expect(await readFile(join(output, 'report.html'), 'utf8')).toContain('AdamW against Muon');
});

test('mistakes are refused with exit code 2 and a sentence', async () => {
  const cases: [string[], string][] = [
    [['--steps', '0'], 'steps must be an integer >= 1'],
    [['--steps', 'many'], 'Not a number'],
    [['--optimizers', 'muon,sgd'], "Unknown optimiser 'sgd'; known: adamW, muon"],
    [['--size', '2x30x4'], 'heads must divide width 30, got 4'],
    [['--learning-rates', 'muon'], 'Write name=rate'],
    [['--resume', '--steps', '9', '--seed', '2'], 'leave out --steps, --seed'],
    [['--sweep', '--learning-rates', 'muon=0.1'], 'leave out --learning-rates'],
    [['--bogus'], "unknown option '--bogus'"],
  ];
  const results = await Promise.all(cases.map(([args]) => run(...args)));
  results.forEach(({ code, stderr, stdout }, i) => {
    expect([code, stdout], cases[i]![0].join(' ')).toEqual([2, '']);
    expect(stderr).toContain(cases[i]![1]);
  });
});

test('a backend that is not there and a checkpoint that is not there end with exit code 1', async () => {
  const empty = await folder();
  const [backend, checkpoint, help] = await Promise.all([
    run(...small.slice(0, -1), 'cuda', '--output', empty),
    run('--resume', '--output', empty),
    run('--help'),
  ]);
  expect(backend.code).toBe(1);
  expect(backend.stderr).toContain("backend 'cuda' cannot be used here");
  expect(checkpoint.code).toBe(1);
  expect(checkpoint.stderr).toContain('there is no such file');
  expect(help.code).toBe(0);
  expect(help.stdout).toContain('Examples:');
});
