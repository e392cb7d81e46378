/** Exact transport beside POT's network simplex: three kinds of problem, in float64 on both sides. */
import type { Random } from '@orth/backend';
import { exactTransport, type TransportResult } from '@orth/ot-sparse';
import type { BenchCase, BenchContext, FigureCase } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';
import { cloudCost, peakMemory, pythonPeakMemory } from './otClouds.js';

const PEER = 'POT emd (C++)';
const METHOD = { method: 'exact' };

interface Problem {
  readonly cost: HostTensor;
  /** Uniform where absent. */
  readonly masses?: { readonly a: HostTensor; readonly b: HostTensor };
}

const masses = (random: Random, n: number): HostTensor => {
  const raw = Float64Array.from({ length: n }, () => 0.05 + random.uniform());
  const total = raw.reduce((sum, mass) => sum + mass, 0);
  return { shape: [n], data: Float32Array.from(raw, (mass) => mass / total) };
};

const KINDS: Readonly<Record<string, (random: Random, n: number) => Problem>> = {
  'exact, clouds': (random, n) => ({ cost: cloudCost(random, n) }),
  'exact, clouds, random masses': (random, n) => ({
    cost: cloudCost(random, n),
    masses: { a: masses(random, n), b: masses(random, n) },
  }),
  'exact, random costs': (random, n) => ({
    cost: { shape: [n, n], data: Float32Array.from({ length: n * n }, () => random.uniform()) },
  }),
};

const solve = ({ cost, masses }: Problem): TransportResult =>
  exactTransport(cost, masses && { a: masses.a, b: masses.b });

/** A lower bound of the cost that no rounding raises: potentials made feasible in float64. */
function certifiedBound({ cost, masses }: Problem, { duals }: TransportResult): number {
  const [m, n] = cost.shape as [number, number];
  const sum = (x: ArrayLike<number>) => Array.from(x).reduce((total, mass) => total + mass, 0);
  const [a, b] = [masses?.a.data, masses?.b.data];
  const scale = a && b ? sum(a) / sum(b) : 1;
  let bound = 0;
  for (let i = 0; i < m; i++) bound += duals.alpha[i]! * (a?.[i] ?? 1 / m);
  for (let j = 0; j < n; j++) {
    let feasible = Infinity;
    for (let i = 0; i < m; i++) {
      feasible = Math.min(feasible, cost.data[i * n + j]! - duals.alpha[i]!);
    }
    bound += feasible * (b ? b[j]! * scale : 1 / n);
  }
  return bound;
}

function exactCase(context: BenchContext, kind: string, n: number): BenchCase {
  return {
    name: `ot/${kind}`,
    size: `${n}x${n}`,
    errorMeasure: 'cost above the certified lower bound, relative',
    async prepare() {
      const problem = KINDS[kind]!(context.random(n), n);
      const reference = solve(problem);
      const bound = certifiedBound(problem, reference);
      const { objective } = reference;
      reference.dispose();
      const excess = (cost: number) => Math.max(cost - bound, 0) / bound;
      const inputs = { cost: problem.cost, ...problem.masses };
      const [peer] = await context.python.torch({
        script: 'transport',
        label: PEER,
        params: METHOD,
        inputs,
        accuracy: { params: { ...METHOD, report: 'cost' }, inputs },
        error: ([parts]) => excess(parts!.data[0]! + parts!.data[1]!),
      });
      return {
        ours: inProcess(
          'exactTransport',
          () => solve(problem).dispose(),
          () => excess(objective),
        ),
        peers: [peer!],
      };
    },
  };
}

/** Exact transport of clouds and of random costs. */
export function exactCases(context: BenchContext): BenchCase[] {
  const sizes = context.quick ? [100, 500] : [100, 500, 1000, 2000];
  return Object.keys(KINDS).flatMap((kind) => sizes.map((n) => exactCase(context, kind, n)));
}

/** Peak memory beyond the float32 costs. */
export function exactMemory(context: BenchContext): FigureCase[] {
  const sizes = context.quick ? [500] : [1000, 2000];
  return sizes.map((n) => ({
    name: 'ot/exact-memory',
    size: `${n}x${n}`,
    async measure() {
      const cost = cloudCost(context.random(n), n);
      const ours = peakMemory(() => solve({ cost }).dispose());
      const theirs = await pythonPeakMemory(context.python, cost, METHOD);
      return [
        { what: 'ours, peak', value: ours },
        { what: `${PEER}, peak`, value: theirs },
      ].flatMap(({ what, value }) => (value === undefined ? [] : [{ what, value, unit: 'MB' }]));
    },
  }));
}
