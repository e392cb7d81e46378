/** Logs in files: torn lines, damage, durability, rotation; state files. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogLineError } from '../src/logs/events.js';
import { readDecisions } from '../src/logs/interactions.js';
import { DecisionLog, loadState, openBandit, readLines, saveState } from '../src/node.js';
import { linUCB } from '../src/policies/linUCB.js';
import { policyFromJSON } from '../src/policies/policyFromJSON.js';
import { uniform } from '../src/policies/uniform.js';
import { ContextualBandit } from '../src/service/contextualBandit.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orth-bandits-'));
  path = join(folder, 'decisions.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

const json = (bandit: ContextualBandit) => JSON.stringify(bandit.toJSON());
const create = () => new ContextualBandit(uniform({ dim: 2 }), { seed: 1 });
const actions = [[1, 2], [3, 4], ['ä', 5].map((x) => Number(x) || 7)];

function serve(bandit: ContextualBandit, steps: number): void {
  for (let i = 0; i < steps; i++) {
    const { decisionId } = bandit.choose({
      actions,
      decisionId: `ü${bandit.statistics.decisions}`,
    });
    if (i % 3) bandit.learn(decisionId, 0.5);
  }
}

async function served(steps = 20): Promise<string> {
  const { bandit, close, recovered } = openBandit(path, create);
  expect(recovered).toBeUndefined();
  serve(bandit, steps);
  await close();
  return json(bandit);
}

test('a bandit comes back as it was, and goes on in the same file', async () => {
  const state = await served();
  for (const verify of [false, true]) {
    const again = openBandit(path, create, { verify });
    expect(json(again.bandit)).toBe(state);
    expect(again.recovered).toEqual({ lines: 34, decisions: 20, rewards: 13, tornBytes: 0 });
    await again.close();
  }
  const more = openBandit(path, create);
  serve(more.bandit, 3);
  await more.close();
  const last = openBandit(path, create);
  expect(last.recovered).toMatchObject({ decisions: 23 });
  expect(json(last.bandit)).toBe(json(more.bandit));
  await last.close();
});

test('a last line that is torn anywhere is cut off', async () => {
  await served(6);
  const whole = readFileSync(path);
  const start = whole.lastIndexOf('\n', whole.length - 2) + 1;
  for (let end = start + 1; end < whole.length; end += 7) {
    writeFileSync(path, whole.subarray(0, end));
    const { bandit, recovered, close } = openBandit(path, create);
    expect(recovered).toMatchObject({ rewards: 3, tornBytes: end - start });
    expect(statSync(path).size).toBe(start);
    expect(bandit.learn('ü5', 0.5)).toBe('learned');
    await close();
    expect(openBandit(path, create).recovered).toMatchObject({ rewards: 4, tornBytes: 0 });
  }
  // Zeros, as a file system leaves them after a loss of power.
  writeFileSync(path, Buffer.concat([whole, Buffer.alloc(100)]));
  expect(openBandit(path, create).recovered).toMatchObject({ rewards: 4, tornBytes: 100 });
});

test('a log whose first line was torn begins anew', () => {
  for (const text of ['', '{"n":0,"type":"st']) {
    writeFileSync(path, text);
    const { bandit, recovered } = openBandit(path, create);
    expect(recovered).toBeUndefined();
    bandit.choose({ actions });
    expect(openBandit(path, create).recovered).toMatchObject({ decisions: 1 });
  }
});

test('damage is named by its line, and the file is left as it is', async () => {
  await served();
  const lines = readFileSync(path, 'utf8').split('\n');
  const damaged: [string[], string][] = [
    [
      lines.map((line, i) => (i === 9 ? line.replace('"time":1', '"time":2') : line)),
      'line 10 was altered',
    ],
    [lines.filter((_, i) => i !== 9), 'line 10 must have number 9, got 10'],
    [[...lines.slice(0, 9), '', ...lines.slice(9)], 'line 10 must not be empty'],
    [[...lines.slice(0, -1), 'hello', ''], 'line 35 is torn or was never written here'],
  ];
  for (const [bad, message] of damaged) {
    writeFileSync(path, `${bad.join('\n')}torn`);
    const before = readFileSync(path);
    expect(() => openBandit(path, create)).toThrow(message);
    expect(() => openBandit(path, create)).toThrow(`openBandit: ${path}: `);
    expect(() => openBandit(path, create)).toThrow(LogLineError);
    expect(readFileSync(path).equals(before)).toBe(true);
  }
  writeFileSync(path, lines.join('\n'));
  const other = () => new ContextualBandit(linUCB({ dim: 2 }), { seed: 1 });
  expect(() => openBandit(path, other)).toThrow('policy was "uniform" and is "linUCB"');
  expect(() => openBandit(path, create, { fsnyc: 1 } as never)).toThrow('unknown option "fsnyc"');
  expect(() => openBandit(path, create, { fsync: 'often' as never })).toThrow('fsync must be');
});

test('rotation keeps the old lines and begins with the state', async () => {
  const archive = join(folder, 'old.jsonl');
  const opened = openBandit(path, create);
  serve(opened.bandit, 10);
  const { decisionId } = opened.bandit.choose({ actions });
  writeFileSync(archive, 'taken');
  await expect(opened.rotate(archive)).rejects.toThrow('EEXIST');
  expect(readFileSync(archive, 'utf8')).toBe('taken');
  serve(opened.bandit, 1);
  rmSync(archive);
  const before = readFileSync(path);
  await opened.rotate(archive);
  expect(readFileSync(archive).equals(before)).toBe(true);
  expect(existsSync(`${path}.next`)).toBe(false);
  expect(opened.bandit.learn(decisionId, 1)).toBe('learned');
  serve(opened.bandit, 4);
  await opened.close();
  const again = openBandit(path, create);
  expect(json(again.bandit)).toBe(json(opened.bandit));
  expect(again.recovered).toMatchObject({ decisions: 4, rewards: 3 });
  await again.close();
});

test('lines are on the disk as the policy says; syncs at once share one', async () => {
  for (const fsync of ['always', 'never', 5] as const) {
    rmSync(path, { force: true });
    const log = new DecisionLog(path, { fsync });
    log.append('one');
    log.append('zwei ü');
    expect(readFileSync(path, 'utf8')).toBe('one\nzwei ü\n');
    expect(log.bytes).toBe(12);
    const first = log.sync();
    const [second, third] = [log.sync(), log.sync()];
    expect(second).toBe(third);
    expect(first).not.toBe(second);
    await Promise.all([first, second, third]);
    await Promise.all([log.sync(), log.close()]);
    await log.close();
    expect(() => log.append('late')).toThrow('must be open');
    await expect(log.sync()).rejects.toThrow('must be open');
  }
  appendFileSync(path, 'torn');
  const lines: string[] = [];
  for await (const line of readLines(path)) lines.push(line);
  expect(lines).toEqual(['one', 'zwei ü']);
});

test('lines longer than what is read at once', async () => {
  const log = new DecisionLog(path);
  const wanted = ['ü'.repeat(700_000), '', 'é'.repeat(1_500_000), 'x'];
  for (const line of wanted) log.append(line);
  await log.close();
  const lines: string[] = [];
  for await (const line of readLines(path)) lines.push(line);
  expect(lines).toEqual(wanted);
});

test('a log in a file is read as decisions', async () => {
  await served();
  let rewards = 0;
  for await (const { reward } of readDecisions(readLines(path))) rewards += reward;
  expect(rewards).toBe(6.5);
});

test('state files are replaced whole, and refused when damaged', async () => {
  const file = join(folder, 'state.json');
  const { bandit } = openBandit(path, create);
  serve(bandit, 5);
  saveState(file, bandit);
  serve(bandit, 5);
  saveState(file, bandit);
  expect(json(ContextualBandit.fromJSON(loadState(file)))).toBe(json(bandit));
  saveState(join(folder, 'policy.json'), bandit.policy);
  const policy = policyFromJSON(loadState(join(folder, 'policy.json')) as never);
  expect(policy.updates).toBe(bandit.policy.updates);
  const text = readFileSync(file, 'utf8');
  for (const bad of [text.slice(0, -5), text.replace('"seed":1', '"seed":2'), '', 'x\n']) {
    writeFileSync(file, bad);
    expect(() => loadState(file)).toThrow(/loadState: .*state.json (is torn|was altered)/);
  }
  expect(() => loadState(join(folder, 'none'))).toThrow('ENOENT');
});
