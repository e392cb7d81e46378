/** The README's HTTP service under load, killed in the middle: what it acknowledged must have survived. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@orth/backend';
import { expect, test } from 'vitest';
import { parseEvent } from '../src/logs/events.js';

const here = dirname(fileURLToPath(import.meta.url));
const example = join(here, '../examples/server.js');
const REQUESTS = 10_000;
const CLIENTS = 24;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test('the README shows the example that is tested', () => {
  const readme = readFileSync(join(here, '../README.md'), 'utf8');
  expect(readme).toContain(readFileSync(example, 'utf8'));
});

test(`${REQUESTS} requests, rewards that come late, and a kill -9: no acknowledged reward is missing`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'orth-bandits-'));
  const log = join(folder, 'decisions.jsonl');
  const port = await freePort();
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  let server: ChildProcess | undefined;

  const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', agent });
    sent.end(JSON.stringify(body));
    const [response] = await once(sent, 'response');
    return JSON.parse(await text(response));
  };
  const start = async () => {
    server = spawn(process.execPath, ['--import', 'tsx', example, log], {
      env: {
        ...process.env,
        PORT: String(port),
        TSX_TSCONFIG_PATH: join(here, 'processes/tsconfig.json'),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (;;) {
      expect(server.exitCode).toBeNull();
      // An unknown decision: an answer that changes nothing.
      const answer = await post('/learn', { decisionId: '-', reward: 0 }).catch(() => undefined);
      if (answer) return;
      await sleep(50);
    }
  };

  try {
    await start();
    const random = seededRandom(1);
    /** Decisions that were answered and wait for their reward. */
    const waiting: string[] = [];
    /** Acknowledged as learnt, with the reward. */
    const learned = new Map<string, number>();
    /** Sent when the server was killed: learnt or not. */
    const unsure = new Map<string, number>();
    const decided = new Set<string>();
    let answered = 0;
    let killed: Promise<unknown> | undefined;

    const choose = async () => {
      const row = () => [random.uniform(), random.uniform()];
      const answer = await post('/choose', { context: row(), actions: [row(), row(), row()] });
      decided.add(answer.decisionId as string);
      waiting.push(answer.decisionId as string);
    };
    const learn = async () => {
      const decisionId = waiting.splice(random.integer(0, waiting.length - 1), 1)[0]!;
      const reward = Math.round(random.uniform());
      unsure.set(decisionId, reward);
      const { status } = await post('/learn', { decisionId, reward });
      expect(status).toBe('learned');
      unsure.delete(decisionId);
      learned.set(decisionId, reward);
    };
    const client = async (until: number) => {
      while (answered < until && !killed) {
        // Rewards lag behind by a hundred decisions or so.
        const late = waiting.length > 100 || answered > until - 200;
        try {
          await (late && waiting.length > 0 && random.uniform() < 0.9 ? learn() : choose());
          answered++;
        } catch (error) {
          // Only the kill may break a connection.
          if (!killed || !(error instanceof Error) || !('code' in error)) throw error;
        }
        if (until < REQUESTS && answered >= REQUESTS / 2 && !killed) {
          killed = once(server!, 'exit');
          server!.kill('SIGKILL');
        }
      }
    };
    const clients = (until: number) =>
      Promise.all(Array.from({ length: CLIENTS }, () => client(until)));

    // More than half: the kill, not the count, ends the first part, with requests under way.
    await clients(REQUESTS - 1);
    expect(await killed).toEqual([null, 'SIGKILL']);
    const [before, lost] = [new Map(learned), [...unsure]];
    expect(before.size).toBeGreaterThan(REQUESTS / 5);
    killed = undefined;
    await start();
    for (const [decisionId, reward] of before) {
      if (random.uniform() > 0.05) continue;
      expect(await post('/learn', { decisionId, reward })).toEqual({ status: 'duplicate' });
    }
    // A client that does not know whether its reward arrived sends it again.
    unsure.clear();
    for (const [decisionId, reward] of lost) {
      const { status } = await post('/learn', { decisionId, reward });
      expect(['learned', 'duplicate']).toContain(status);
      learned.set(decisionId, reward);
    }
    await clients(REQUESTS);
    expect(answered).toBeGreaterThanOrEqual(REQUESTS);
    server!.kill('SIGKILL');

    // Every acknowledged reward is in the log, once, with its value; so is every decision that was answered.
    const rewards = new Map<string, number>();
    const choices = new Set<string>();
    const lines = readFileSync(log, 'utf8').split('\n');
    for (const [i, line] of lines.slice(0, -1).entries()) {
      const event = parseEvent('test', line, i);
      if (event.type === 'choose') choices.add(event.id);
      if (event.type !== 'learn') continue;
      expect(rewards.has(event.id)).toBe(false);
      rewards.set(event.id, event.reward);
    }
    expect(learned.size).toBeGreaterThan(0.4 * REQUESTS);
    expect(rewards).toEqual(learned);
    for (const id of decided) expect(choices.has(id)).toBe(true);
  } finally {
    server?.kill('SIGKILL');
    agent.destroy();
    rmSync(folder, { recursive: true });
  }
}, 60_000);
