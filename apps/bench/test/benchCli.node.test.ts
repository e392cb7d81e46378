import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { benchCommand } from '../src/benchCli.js';
import type { BenchRow } from '../src/harness/bench.js';
import { captureStreams } from './streams.js';

const peers = new URL('../peers/', import.meta.url);
const folders = { benches: new URL('./benches/', import.meta.url), peers };
const broken = { benches: new URL('./broken/', import.meta.url), peers };

async function bench(argv: string[], where = folders) {
  const streams = captureStreams();
  const code = await benchCommand(argv, where, streams);
  return { code, out: streams.out(), err: streams.err() };
}

describe('bench command', () => {
  it('lists the benches', async () => {
    const { code, out } = await bench(['--list']);
    expect(code).toBe(0);
    expect(out).toContain('sums  a bench whose peers are slow, absent and broken');
  });

  it('refuses unknown names and lists the known ones', async () => {
    const { code, out, err } = await bench(['sums', 'products', 'quotients']);
    expect(code).toBe(2);
    expect(err).toBe('pnpm bench: unknown bench products, quotients; known are sums\n');
    expect(out).toBe('');
  });

  it('refuses unknown options', async () => {
    const { code, err } = await bench(['--fast']);
    expect(code).toBe(2);
    expect(err).toContain("unknown option '--fast'");
  });

  it('refuses threads that cannot be', async () => {
    const { code, err } = await bench(['--threads', 'many']);
    expect(code).toBe(2);
    expect(err).toBe('pnpm bench: --threads must be an integer >= 1, got "many"\n');
  });

  it('refuses a backend that is not there', async () => {
    const { code, err } = await bench(['--backend', 'abacus']);
    expect(code).toBe(1);
    expect(err).toContain("backend 'abacus' cannot be used here");
  });

  it('prints the machine, a row with the ratio, and who is absent; --json holds all of it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'orth-bench-test-'));
    const file = join(folder, 'result.json');
    const { code, out, err } = await bench(['--quick', '--backend', 'cpu', '--json', file]);
    const report = JSON.parse(await readFile(file, 'utf8'));
    await rm(folder, { recursive: true });

    expect(code).toBe(0);
    expect(out.split('\n')[0]).toContain(`Node ${process.versions.node} · backend cpu`);
    expect(out).toContain('absent: lost: it is not installed [sums/spin small]');
    expect(err).toContain('[0/2 0s] sums/spin small');

    expect(out).toMatch(/sums\/memory +all +growth +3\.00 +MB +<= 5 +yes\n/);
    expect(out).toMatch(/sums\/memory +all +rate +3\.00 +1\/s +>= 5 +NO\n/);
    expect(out).toMatch(/sums\/memory +all +peak +7\.00 +MB\n/);
    expect(report.figures).toEqual([
      {
        name: 'sums/memory',
        size: 'all',
        what: 'growth',
        value: 3,
        unit: 'MB',
        atMost: 5,
        holds: true,
      },
      {
        name: 'sums/memory',
        size: 'all',
        what: 'rate',
        value: 3,
        unit: '1/s',
        atLeast: 5,
        holds: false,
      },
      { name: 'sums/memory', size: 'all', what: 'peak', value: 7, unit: 'MB' },
    ]);

    const [row] = report.rows as [BenchRow];
    expect(report.rows).toHaveLength(1);
    expect(row).toMatchObject({
      name: 'sums/spin',
      size: 'small',
      backend: 'cpu',
      peer: 'slow',
      error_ours: 1e-7,
      error_peer: 2e-7,
    });
    expect(row.ratio).toBe(row.peer_ms / row.ours_ms);
    expect(row.ratio).toBeGreaterThan(1);
    expect(report.absent).toEqual([
      { name: 'sums/spin', size: 'small', peer: 'lost', reason: 'it is not installed' },
    ]);
    expect(report.machine).toMatchObject({ backend: 'cpu', node: process.versions.node });
    expect(report.quick).toBe(true);
  });

  it('reports what throws, goes on with the rest, and fails', async () => {
    const { code, out } = await bench(['--quick', '--backend', 'cpu'], broken);
    expect(code).toBe(1);
    expect(out).toContain('FAILED: broken/prepare 1: no room left');
    expect(out).toContain('FAILED: broken/peer 2 against explosive: boom');
    expect(out).toMatch(/broken\/peer +2 +ours +\S+ +sound/);
  });

  it('says so when a file of the folder is no bench', async () => {
    const repros = { benches: new URL('./repros/', import.meta.url), peers };
    const { code, err } = await bench([], repros);
    expect(code).toBe(1);
    expect(err).toContain("coin.ts must export 'bench'");
  });
});
