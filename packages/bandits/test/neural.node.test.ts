import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACTIVATIONS } from '../src/neural/activations.js';
import { Arena } from '../src/neural/arena.js';
import { DiagonalConfidence } from '../src/neural/diagonalConfidence.js';
import { poolGradient } from '../src/neural/exploreNetwork.js';
import { Mlp, theoryInitialization, uniformInitialization } from '../src/neural/mlp.js';
import {
  drawSigns,
  expectedPull,
  perturbationFactor,
  perturbedGradient,
  projectToBall,
} from '../src/neural/perturbation.js';
import { lossAt, type RegressionLoss, slopeAt } from '../src/neural/regressionLoss.js';
import { replay } from '../src/neural/sgd.js';
import { distance, networkOutput, numericalGradient } from './reference.js';

const shape = { dim: 3, blocks: 1, hidden: [5], activation: 'tanh' as const, scale: 1 };

function network(own: Partial<Mlp['shape']> = {}, seed = 1, simd = true) {
  const full = { ...shape, ...own };
  const room = DiagonalConfidence.extraFloats(full.dim, full.blocks, full.hidden);
  const net = new Mlp(full, room, simd);
  uniformInitialization(net, seededRandom(seed));
  net.start.set(net.theta);
  return net;
}

const inputs = (seed: number, n: number) => {
  const random = seededRandom(seed);
  return Float64Array.from({ length: n }, () => random.normal());
};

describe('network', () => {
  const cases = ACTIVATIONS.flatMap((activation) =>
    [[5], [4, 7], [9, 3, 6]].map((hidden) => ({ activation, hidden })),
  );

  it.each(cases)('$activation $hidden: value and gradient', ({ activation, hidden }) => {
    for (const scale of [1, 0.5]) {
      const net = network({ activation, hidden, scale });
      const x = inputs(2, 6);
      const f = net.forward(x, 3, 0);
      const at = x.slice(3);
      const output = (theta: ArrayLike<number>) =>
        networkOutput(theta, at, hidden, activation, scale);
      expect(Math.abs(f - output(net.theta))).toBeLessThan(1e-6);
      net.backward(1);
      const gradient = new Float64Array(net.parameterCount);
      net.addGradient(0, 1, gradient);
      expect(distance(gradient, numericalGradient(output, net.theta))).toBeLessThan(1e-5);
    }
  });

  it('takes a block for an input with zeros elsewhere', () => {
    const blocks = network({ blocks: 3 });
    const wide = network({ dim: 9 });
    wide.theta.set(blocks.theta);
    const x = inputs(3, 3);
    const padded = new Float64Array(9);
    padded.set(x, 6);
    expect(blocks.forward(x, 0, 2)).toBeCloseTo(wide.forward(padded, 0, 0), 6);
    const gradients = [blocks, wide].map((net, i) => {
      net.backward(1);
      const out = new Float64Array(net.parameterCount);
      net.addGradient(i === 0 ? 2 : 0, 1, out);
      return out;
    });
    expect(distance(gradients[0]!, gradients[1]!)).toBeLessThan(1e-6);
    const pooled = [blocks, wide].map((net, i) => {
      const out = new Float64Array(20);
      poolGradient(net, i === 0 ? 2 : 0, 4, out);
      return out;
    });
    expect(distance(pooled[0]!, pooled[1]!)).toBeLessThan(1e-6);
  });

  it("starts as the theory says: the last layer's length is 1, hidden weights have σ₀", () => {
    const net = new Mlp({ ...shape, dim: 200, hidden: [200] });
    theoryInitialization(net, seededRandom(1), 2);
    const [first, last] = net.layers;
    const v = net.theta.slice(last!.weights, last!.biases);
    expect(Math.hypot(...v)).toBeCloseTo(1, 5);
    const w = net.theta.slice(first!.weights, first!.biases);
    const sigma = 1 / (1 + Math.sqrt(Math.log(200) / 400));
    const square = w.reduce((sum, value) => sum + value * value, 0) / w.length;
    // 40,000 draws: the deviation is off by 2 % once in 1e8 seeds.
    expect(Math.abs(Math.sqrt(square) / sigma - 1)).toBeLessThan(0.02);
  });
});

describe('kernels', () => {
  it('of WebAssembly are taken and agree with the plain ones at odd sizes', () => {
    expect(new Arena(4).kernels.isFinite.toString()).not.toBe(
      new Arena(4, false).kernels.isFinite.toString(),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 13 }),
        fc.integer({ min: 1, max: 21 }),
        fc.integer(),
        fc.constantFrom(1, 0.9),
        fc.boolean(),
        fc.boolean(),
        (m, n, seed, keep, skip, anchored) => {
          const results = [true, false].map((simd) => {
            const arena = new Arena(6 * Arena.room(m * n) + 40, simd);
            const random = seededRandom(seed);
            const fill = (count: number, zeros = false) => {
              const block = arena.take(count);
              for (let i = 0; i < count; i++) {
                block.view[i] = zeros && random.uniform() < 0.5 ? 0 : random.normal();
              }
              return block;
            };
            const [w, a, u, v] = [fill(m * n), fill(m * n), fill(m * n), fill(m * n)];
            const [x, d, y, z] = [fill(m, true), fill(n), fill(n), fill(m)];
            const { kernels } = arena;
            kernels.addRows(w!.at, x!.at, m, n, y!.at);
            kernels.dotRows(w!.at, d!.at, m, n, z!.at);
            const anchor = anchored ? a!.at : -1;
            kernels.descend(w!.at, x!.at, m, n, d!.at, { rate: 0.3, keep, skip, anchor });
            for (let i = 0; i < m * n; i++) u!.view[i] = 1 + Math.abs(u!.view[i]!);
            for (let j = 0; j < n; j++) d!.view[j]! **= 2;
            for (let i = 0; i < m; i++) x!.view[i]! **= 2;
            kernels.raise(u!.at, v!.at, x!.at, m, n, d!.at);
            a!.view[0]! *= 1e-21;
            kernels.flush(a!.at, m * n);
            expect(a!.view[0] === 0).toBe(m * n >= 4);
            const finite = kernels.isFinite(w!.at, m * n);
            w!.view[m * n - 1] = Number.NaN;
            expect(kernels.isFinite(w!.at, m * n)).toBe(false);
            w!.view[m * n - 1] = 0;
            return [w!, a!, u!, v!, y!, z!].flatMap(({ view }) => [...view]).concat(Number(finite));
          });
          expect(distance(results[0]!, results[1]!)).toBeLessThan(1e-5);
        },
      ),
    );
  });
});

describe('perturbation', () => {
  const theta0 = () => Float64Array.from(network().theta, (w) => w + 0.1);

  it.each(['halfSquare', 'kl'] as RegressionLoss[])('%s: gradient by differences', (loss) => {
    const net = network();
    const start = theta0();
    const signs = drawSigns(seededRandom(4), 3 * net.parameterCount);
    const x = inputs(5, 3);
    const factor = perturbationFactor(0.8, 5);
    const gradient = new Float64Array(net.parameterCount);
    const sample = { x, at: 0, block: 0, y: 0.3, loss };
    const value = perturbedGradient(net, start, signs, factor, sample, gradient);
    const reference = (theta: Float64Array) => {
      const f = networkOutput(theta, x, [5], 'tanh');
      let total = 0;
      for (let s = 0; s < 3; s++) {
        const shift = theta.reduce(
          (sum, w, i) => sum + signs[s * theta.length + i]! * (w - start[i]!),
          0,
        );
        total += lossAt(loss, 0.3, f + factor * shift) / 3;
      }
      return total;
    };
    expect(value).toBeCloseTo(reference(Float64Array.from(net.theta)), 6);
    expect(distance(gradient, numericalGradient(reference, net.theta))).toBeLessThan(1e-5);
  });

  it('is a pull to the start in expectation: the mean over all sign vectors', () => {
    const net = network({ dim: 1, hidden: [3] });
    const p = net.parameterCount;
    expect(p).toBe(10);
    const start = Float64Array.from(net.theta, (w, i) => w + 0.1 * Math.sin(i));
    const x = inputs(6, 1);
    const factor = perturbationFactor(0.7, 3);
    let mean = 0;
    const sample = { x, at: 0, block: 0, y: 0.4, loss: 'halfSquare' as const };
    for (let bits = 0; bits < 2 ** p; bits++) {
      const signs = Int8Array.from({ length: p }, (_, i) => ((bits >> i) & 1 ? 1 : -1));
      const gradient = new Float64Array(p);
      mean += perturbedGradient(net, start, signs, factor, sample, gradient) / 2 ** p;
    }
    const moved = net.theta.reduce((sum, w, i) => sum + (w - start[i]!) ** 2, 0);
    const closed =
      lossAt('halfSquare', 0.4, net.forward(x, 0, 0)) + 0.5 * expectedPull(0.7, 3) * moved;
    expect(Math.abs(mean - closed)).toBeLessThan(1e-6);
  });

  it('draws fair signs', () => {
    const signs = drawSigns(seededRandom(7), 100_000);
    expect(new Set(signs)).toEqual(new Set([-1, 1]));
    // Five deviations: once in 2 million seeds.
    expect(Math.abs(signs.reduce((sum, s) => sum + s, 0))).toBeLessThan(5 * Math.sqrt(100_000));
  });
});

describe('projection', () => {
  const moved = (seed: number) => {
    const net = network({}, 1);
    const random = seededRandom(seed);
    for (let i = 0; i < net.parameterCount; i++) net.theta[i]! += random.normal();
    return net;
  };

  it('puts each block on its ball, is idempotent and brings points together', () => {
    const [a, b] = [moved(2), moved(3)];
    const before = Math.hypot(...a!.theta.map((w, i) => w - b!.theta[i]!));
    for (const net of [a!, b!]) projectToBall(net, net.start, 0.3, 0.1);
    for (const [l, { weights, biases, outputs }] of a!.layers.entries()) {
      const limit = l === 1 ? 0.1 : 0.3;
      for (const [from, to] of [
        [weights, biases],
        [biases, biases + outputs],
      ] as const) {
        const block = a!.theta.slice(from, to).map((w, i) => w - a!.start[from + i]!);
        expect(Math.hypot(...block)).toBeLessThanOrEqual(limit + 1e-6);
      }
    }
    const once = a!.theta.slice();
    projectToBall(a!, a!.start, 0.3, 0.1);
    expect(distance(a!.theta, once)).toBeLessThan(1e-7);
    const after = Math.hypot(...a!.theta.map((w, i) => w - b!.theta[i]!));
    expect(after).toBeLessThan(before);
  });

  it('freezes at radius 0 and does nothing at infinity', () => {
    const net = moved(4);
    const there = net.theta.slice();
    projectToBall(net, net.start, Infinity, Infinity);
    expect(distance(net.theta, there)).toBe(0);
    projectToBall(net, net.start, 0, 0);
    expect(distance(net.theta, net.start)).toBe(0);
  });
});

describe('replay', () => {
  // Inputs with zeros: rows that have no gradient still decay, at once or later.
  it.each([
    ['zero', 'halfSquare'],
    ['start', 'kl'],
    ['start', 'square'],
  ] as const)('with a pull to %s, %s loss: dense steps in float64', (anchor, loss) => {
    const net = network({ blocks: 3, dim: 4, hidden: [6, 3] });
    const start = Float64Array.from(net.start);
    const theta = Float64Array.from(net.theta);
    const random = seededRandom(8);
    const n = 7;
    const x = Float64Array.from({ length: 4 * n }, () =>
      random.uniform() < 0.4 ? 0 : random.normal(),
    );
    const y = Float64Array.from({ length: n }, () => random.uniform());
    const weight = Float64Array.from({ length: n }, (_, i) => 0.5 + i / n);
    const block = Int32Array.from({ length: n }, (_, i) => (i * 2) % 3);
    const settings = { loss, anchor, learningRate: 0.05, decay: 0.2, maxUpdates: 40, tolerance: 0 };
    expect(replay(net, { x, y, weight, block }, [3, 0, 6, 1, 5, 2, 4], settings)).toBe(true);
    const order = [3, 0, 6, 1, 5, 2, 4];
    for (let step = 0; step < 40; step++) {
      const s = order[step % n]!;
      const row = new Float64Array(12);
      row.set(x.slice(4 * s, 4 * s + 4), 4 * block[s]!);
      const output = (w: ArrayLike<number>) => networkOutput(w, row, [6, 3], 'tanh');
      const slope = weight[s]! * slopeAt(loss, y[s]!, output(theta));
      const g = numericalGradient(output, theta);
      for (let i = 0; i < theta.length; i++) {
        const pull = 0.2 * (theta[i]! - (anchor === 'start' ? start[i]! : 0));
        theta[i]! -= 0.05 * (slope * g[i]! + pull);
      }
    }
    expect(distance(net.theta, theta)).toBeLessThan(1e-5);
  });

  it('ends early at the tolerance, and tells when it diverges', () => {
    const net = network();
    const samples = {
      x: inputs(9, 3),
      y: new Float64Array(1),
      weight: new Float64Array(1).fill(1),
      block: new Int32Array(1),
    };
    samples.y[0] = net.forward(samples.x, 0, 0);
    const before = net.theta.slice();
    const settings = { loss: 'square' as const, decay: 0, maxUpdates: 1e6, tolerance: 1e-3 };
    expect(replay(net, samples, [0], { ...settings, learningRate: 0.1 })).toBe(true);
    expect(distance(net.theta, before)).toBeLessThan(1e-6);
    samples.y[0] = 1;
    const wild = { ...settings, learningRate: 1e9 };
    const linear = network({ activation: 'identity' });
    expect(replay(linear, samples, [0], wild)).toBe(false);
  });
});

describe('diagonal confidence', () => {
  it.each([[[5]], [[4, 6]], [[1]]])('hidden %j: sums over explicit gradients', (hidden) => {
    const net = network({ blocks: 2, hidden, activation: 'relu' });
    const confidence = new DiagonalConfidence(net, 0.1);
    const U = new Float64Array(net.parameterCount).fill(0.1);
    const random = seededRandom(10);
    let previous = Infinity;
    const fixed = inputs(11, 3);
    for (let t = 0; t < 12; t++) {
      const x = Float64Array.from({ length: 3 }, () => random.normal());
      const block = t % 2;
      net.forward(x, 0, block);
      net.backward(1);
      const g = new Float64Array(net.parameterCount);
      net.addGradient(block, 1, g);
      const want = g.reduce((sum, v, i) => sum + (v * v) / U[i]!, 0);
      expect(Math.abs(confidence.measure(block) - want)).toBeLessThan(1e-4 * (1 + want));
      confidence.capture(block);
      confidence.add();
      for (let i = 0; i < g.length; i++) U[i]! += g[i]! ** 2;
      expect(distance(confidence.U, U)).toBeLessThan(1e-4);
      // More is known of every direction than before.
      net.forward(fixed, 0, 0);
      net.backward(1);
      expect(confidence.measure(0)).toBeLessThanOrEqual(previous + 1e-6);
      previous = confidence.measure(0);
    }
  });
});
