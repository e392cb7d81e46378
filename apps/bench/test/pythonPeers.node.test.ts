import { describe, expect, it } from 'vitest';
import { isAbsent } from '../src/harness/contestant.js';
import { findPython, PythonPeers, pythonCandidates } from '../src/harness/pythonPeers.js';
import { peerEnvironment } from '../src/harness/pythonWorker.js';
import { matrix64, relativeError } from '../src/reference/matrix64.js';
import { muonOrthogonalize64 } from '../src/reference/newtonSchulz64.js';

const folder = new URL('../peers/', import.meta.url);
const x = {
  shape: [3, 4],
  data: Float32Array.from({ length: 12 }, (_, i) => Math.sin(1 + i * i)),
};
const peer = {
  script: 'newton_schulz',
  label: '5 steps',
  params: { method: 'muon', steps: 5 },
  inputs: { x },
  error: ([result]: { data: Float32Array }[]) =>
    relativeError(result!.data, muonOrthogonalize64(matrix64(3, 4, x.data)).data),
};

describe('PythonPeers', () => {
  it('lists torch as absent with the reason where there is no Python', async () => {
    const peers = new PythonPeers(folder, ['/no/such/python3']);
    const found = await peers.torch(peer);
    expect(found.length).toBeGreaterThan(0);
    for (const entry of found) {
      expect(entry).toMatchObject({
        absent:
          'no Python with torch (/no/such/python3: not found); set ORTH_PYTHON to a python3 with torch',
      });
    }
    expect(peers.notes()).toEqual([]);
    await peers.close();
  });

  it('tries what ORTH_PYTHON names and nothing else', () => {
    expect(pythonCandidates({ ORTH_PYTHON: '/opt/python' })).toEqual(['/opt/python']);
    expect(pythonCandidates({})).toEqual(['python3', '/usr/bin/python3']);
  });

  it('fixes the threads of every BLAS and drops what slows one down', () => {
    const base = { PATH: '/bin', OPENBLAS_CORETYPE: 'Haswell', OPENBLAS_L2_SIZE: '1' };
    const environment = peerEnvironment(2, base);
    expect(environment).not.toHaveProperty('OPENBLAS_CORETYPE');
    expect(environment).not.toHaveProperty('OPENBLAS_L2_SIZE');
    expect(environment).toMatchObject({
      PATH: '/bin',
      OMP_NUM_THREADS: '2',
      OPENBLAS_NUM_THREADS: '2',
    });
  });
});

const python = await findPython();
// PyTorch is a peer to measure against, not a part of orth: where it is absent there is nothing of ours to test.
if ('absent' in python) console.info(`no test of a real PyTorch peer: ${python.absent}`);
else {
  it('times and checks a real PyTorch peer, and passes a failure on without ending', async () => {
    const peers = new PythonPeers(folder);
    try {
      const [first] = await peers.torch(peer);
      if (!first || isAbsent(first)) throw new Error(`absent: ${first?.absent}`);
      expect(first.name).toMatch(/^torch .+, 1 thread: 5 steps$/);
      expect(await first.error()).toBeLessThan(1e-5);
      expect(await first.time(3)).toBeGreaterThan(0);

      const [bad] = await peers.torch({ ...peer, script: 'no_such_script' });
      if (!bad || isAbsent(bad)) throw new Error('absent');
      await expect(bad.time(1)).rejects.toThrow("No module named 'no_such_script'");
      expect(await first.time(1)).toBeGreaterThan(0);
      expect(peers.notes()[0]).toContain('OPENBLAS_CORETYPE');
    } finally {
      await peers.close();
    }
  });
}
