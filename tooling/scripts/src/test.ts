/**
 * `pnpm test`: build, lint, layer rules, types, package checks, API docs, every test on every backend, golden fixtures
 * against the built packages, and the packed packages in a stranger's project. Runs all steps even when one fails and ends
 * with one line: `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const inCi = Boolean(process.env.CI);

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Step {
  readonly name: string;
  readonly command: string;
  /** Counts single tests where a runner reports them; otherwise the step counts as one. */
  readonly count?: (output: string, ok: boolean) => Counts;
  /** Later steps make no sense without this one. */
  readonly needed?: boolean;
}

/** What failed, repeated at the end: in a long log nobody finds it otherwise. */
const failures: string[] = [];

const scratch = mkdtempSync(join(tmpdir(), 'orth-test-'));

/** The last `N passed, N failed` line of a runner of ours. */
function countClosingLine(output: string, ok: boolean): Counts {
  const line = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)].at(-1);
  failures.push(...(output.match(/^(?:FAIL|unknown|not ok) .*$/gm) ?? []));
  const [passed, failed, skipped] = [1, 2, 3].map((i) => Number(line?.[i] ?? 0));
  return { passed: passed!, failed: ok ? failed! : Math.max(failed!, 1), skipped: skipped! };
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

function countVitest(file: string) {
  return (_output: string, ok: boolean): Counts => {
    let report: VitestReport;
    try {
      report = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      return { passed: 0, failed: 1, skipped: 0 };
    }
    for (const { name, assertionResults } of report.testResults) {
      for (const { fullName, status, failureMessages } of assertionResults) {
        if (status !== 'failed') continue;
        const message = failureMessages?.[0]?.split('\n')[0] ?? '';
        failures.push(`${relative(root, name)} > ${fullName}: ${message}`);
      }
    }
    const skipped = report.testResults.flatMap((result) =>
      result.assertionResults.filter(({ status }) => status === 'pending' || status === 'skipped'),
    );
    for (const { fullName } of skipped) console.log(`skipped: ${fullName}`);
    // In CI everything must run but CUDA, which needs a device that no CI machine has.
    const unwanted = inCi ? skipped.filter(({ fullName }) => !/cuda/i.test(fullName)).length : 0;
    const failed = report.numFailedTests + unwanted;
    return {
      passed: report.numPassedTests,
      failed: ok ? failed : Math.max(failed, 1),
      skipped: skipped.length - unwanted,
    };
  };
}

function vitest(name: string, projects: string[]): Step {
  const file = join(scratch, `${name.replaceAll(/\W+/g, '-')}.json`);
  const selected = projects.map((project) => `--project ${project}`).join(' ');
  return {
    name,
    command: `vitest run ${selected} --reporter=default --reporter=json --outputFile.json="${file}"`,
    count: countVitest(file),
  };
}

const fixtures = (backend: string): Step => ({
  name: `golden fixtures on ${backend}`,
  command: `tsx tooling/harness/src/fixtures.ts --backend ${backend}`,
  count: countClosingLine,
});

const steps: Step[] = [
  { name: 'build', command: 'turbo run build --output-logs=errors-only', needed: true },
  { name: 'lint and format', command: 'biome check --error-on-warnings .' },
  { name: 'layer rules', command: 'turbo boundaries' },
  { name: 'types', command: 'turbo run typecheck --output-logs=errors-only' },
  { name: 'API docs', command: 'typedoc --treatWarningsAsErrors --logLevel Warn' },
  vitest('tests in Node', ['node', 'cpu', 'wasm', 'native', 'cuda']),
  vitest('tests on WebGPU in Node', ['webgpu']),
  vitest('tests in Chromium', ['chromium-*']),
  // The tests above run every fixture on every backend; this runs the built packages.
  fixtures('wasm'),
  {
    name: 'packed packages in a project of their own',
    command: 'tsx tooling/scripts/src/releaseCheck.ts',
    count: countClosingLine,
  },
];

async function run({ name, command, count }: Step): Promise<Counts> {
  console.log(`\n=== ${name}: ${command}`);
  const start = performance.now();
  const child = spawn(`npx --no-install ${command}`, {
    cwd: root,
    shell: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
  });
  const exit = new Promise<boolean>((done) => {
    child.on('close', (code) => done(code === 0));
    child.on('error', () => done(false));
  });
  let output = '';
  for await (const line of createInterface({ input: child.stdout })) {
    output += `${line}\n`;
    // A runner's own closing line is shown in brackets, so that only the sum has this form.
    console.log(/^\d+ passed, \d+ failed/.test(line) ? `[${line}]` : line);
  }
  const ok = await exit;
  const counts = count?.(output, ok) ?? { passed: Number(ok), failed: Number(!ok), skipped: 0 };
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`=== ${name}: ${ok ? 'ok' : 'FAILED'} in ${seconds} s`);
  return counts;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const failedSteps: string[] = [];
for (const step of steps) {
  const counts = await run(step);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  if (counts.failed > 0) failedSteps.push(step.name);
  if (counts.failed > 0 && step.needed) break;
}
rmSync(scratch, { recursive: true, force: true });
if (failedSteps.length > 0) console.log(`\nfailed: ${failedSteps.join(', ')}`);
for (const failure of failures) console.log(`  ${failure}`);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed > 0 ? 1 : 0);
