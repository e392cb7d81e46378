/**
 * The deep conjugate direction method on Poisson problems: a network trained once on a small grid, used on larger ones,
 * beside conjugate gradients, plain, with IC(0), and with a multigrid V-cycle, which needs no training (Kaneda et al. 2023).
 */
import type { Random } from '@orth/backend';
import {
  type CsrMatrix,
  cg,
  type DirectionNet,
  deepConjugateDirections,
  directionNet,
  incompleteCholesky,
  multigrid,
  pcg,
  poisson2d,
  ritzDataset,
  type SolveReport,
  trainDirection,
} from '@orth/unfolding';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';

const TRAINED_ON = 16;
const FILTERS = 8;
const BATCH = 8;
const TOLERANCES = [1e-4, 1e-6] as const;
const TIGHTEST = 1e-6;

/** Two smooth blobs of either sign at random places. */
function blobs(random: Random, side: number): Float64Array {
  const spots = [1, -1].map((sign) => ({
    sign,
    x: 0.25 + 0.5 * random.uniform(),
    y: 0.25 + 0.5 * random.uniform(),
    width: 0.1 + 0.1 * random.uniform(),
  }));
  return Float64Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [((i % side) + 1) / (side + 1), (Math.floor(i / side) + 1) / (side + 1)];
    return spots.reduce(
      (sum, s) => sum + s.sign * Math.exp(-((x - s.x) ** 2 + (y - s.y) ** 2) / s.width ** 2),
      0,
    );
  });
}

/** Noise, blobs, and a point source. */
function rightHandSides(random: Random, side: number): Float64Array[] {
  const point = new Float64Array(side * side);
  point[random.integer(0, side * side - 1)] = 1;
  return [
    Float64Array.from({ length: side * side }, () => random.normal()),
    blobs(random, side),
    point,
  ];
}

/** Iterations until the residual is below a tolerance, from the history of one solve to the tightest. */
function iterationsTo({ residuals }: SolveReport, tolerance: number): number {
  const reached = residuals.findIndex((residual) => residual < tolerance * residuals[0]!);
  return reached < 0 ? residuals.length - 1 : reached;
}

const METHODS = ['DCDM', 'DCDM, k = 0', 'CG', 'IC(0)-CG', 'multigrid-CG'] as const;
type Method = (typeof METHODS)[number];
/** Mean over right-hand sides, for each tolerance. */
type Counts = Readonly<Record<Method, readonly number[]>>;

async function count(net: DirectionNet, A: CsrMatrix, b: readonly Float64Array[]): Promise<Counts> {
  const ic0 = incompleteCholesky(A);
  const vCycle = multigrid(A);
  const options = { tol: TIGHTEST };
  const dcdm = { ...options, model: net };
  const solved: Record<Method, readonly SolveReport[]> = {
    DCDM: await deepConjugateDirections(A, b, dcdm),
    'DCDM, k = 0': await deepConjugateDirections(A, b, { ...dcdm, history: 0 }),
    CG: b.map((each) => cg(A, each, options)),
    'IC(0)-CG': b.map((each) => pcg(A, each, { ...options, preconditioner: ic0 })),
    'multigrid-CG': b.map((each) => pcg(A, each, { ...options, preconditioner: vCycle })),
  };
  const mean = (reports: readonly SolveReport[], tolerance: number) =>
    reports.reduce((sum, each) => sum + iterationsTo(each, tolerance), 0) / reports.length;
  const entries = METHODS.map((method) => {
    const wrong = solved[method].find(({ converged }) => !converged);
    if (wrong) throw new Error(`${method} ended with ${wrong.status}`);
    return [method, TOLERANCES.map((tolerance) => mean(solved[method], tolerance))] as const;
  });
  return Object.fromEntries(entries) as unknown as Counts;
}

interface Run {
  readonly seed: number;
  /** By side of the grid. */
  readonly counts: ReadonlyMap<number, Counts>;
}

async function run(
  seed: number,
  { random, onProgress }: ReproContext,
  steps: number,
  sides: readonly number[],
): Promise<Run> {
  const A = poisson2d(TRAINED_ON);
  const data = ritzDataset(A, { m: 120, thetaShift: 6, size: 2000, seed });
  const net = directionNet({ filters: FILTERS, seed });
  await trainDirection(net, A, data, {
    steps,
    batchSize: BATCH,
    learningRate: (step) => (step < 0.7 * steps ? 1e-3 : 2e-4),
    seed,
    onStep: ({ step, loss }) => {
      if (step % 100 === 0) onProgress(`seed ${seed}, step ${step}, loss ${loss.toFixed(3)}`);
    },
  });
  data.dispose();
  const counts = new Map<number, Counts>();
  for (const side of sides) {
    onProgress(`seed ${seed}, solving on ${side} × ${side}`);
    const right = rightHandSides(random(1000 * seed + side), side);
    counts.set(side, await count(net, poisson2d(side), right));
  }
  net.dispose();
  return { seed, counts };
}

export const repro: Repro = {
  system: 'dcdm',
  description:
    'deep conjugate directions on Poisson grids: iterations beside CG, IC(0)-CG and multigrid-CG, and what size does to them',
  async *claims(context: ReproContext) {
    const { quick, seeds } = context;
    const steps = quick ? 300 : 600;
    const sides = quick ? [16, 32, 64] : [16, 32, 64, 128];
    const runs: Run[] = [];
    for (const seed of seeds) runs.push(await run(seed, context, steps, sides));

    const setting = `2-D Poisson, Dirichlet; network of 8265 parameters trained on ${TRAINED_ON} × ${TRAINED_ON} for ${steps} steps of ${BATCH} (Adam 1e-3, then 2e-4), 120 Ritz vectors; mean iterations over noise, two blobs, a point source`;
    const of = (run: Run, side: number, method: Method, tolerance: number): number =>
      run.counts.get(side)![method][TOLERANCES.indexOf(tolerance as 1e-4)]!;
    const compare = (
      claim: string,
      side: number,
      tolerance: number,
      [ours, baseline]: readonly [Method, Method],
      expectation: Omit<Claim['expectation'], 'of'>,
    ): Claim => ({
      claim,
      setting,
      baseline: `iterations to ${tolerance}, ${side}², ${baseline}`,
      ours: `iterations to ${tolerance}, ${side}², ${ours}`,
      results: runs.map((run) => ({
        seed: run.seed,
        baseline: of(run, side, baseline, tolerance),
        ours: of(run, side, ours, tolerance),
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', ...expectation },
    });

    yield compare(
      'where it was trained it needs at most 1 / 2.5 of the iterations of CG',
      TRAINED_ON,
      1e-4,
      ['DCDM', 'CG'],
      { atMost: 0.4 },
    );
    yield compare(
      'A-orthogonality to the last two directions does not cost iterations',
      TRAINED_ON,
      1e-4,
      ['DCDM', 'DCDM, k = 0'],
      { atMost: 1 },
    );
    for (const side of sides.filter((each) => each > TRAINED_ON)) {
      for (const tolerance of TOLERANCES) {
        const where = `on ${side}², to ${tolerance},`;
        yield compare(
          `${where} at most 1 / 2.5 of the iterations of CG`,
          side,
          tolerance,
          ['DCDM', 'CG'],
          { atMost: 0.4 },
        );
        yield compare(
          `${where} fewer iterations than IC(0)-CG`,
          side,
          tolerance,
          ['DCDM', 'IC(0)-CG'],
          { below: 1 },
        );
        yield compare(
          `${where} no more iterations than multigrid-CG, untrained`,
          side,
          tolerance,
          ['DCDM', 'multigrid-CG'],
          { atMost: 1 },
        );
      }
    }
    const grow = (
      claim: string,
      to: number,
      tolerance: number,
      expectation: Omit<Claim['expectation'], 'of'>,
    ): Claim => ({
      claim,
      setting,
      baseline: `iterations to ${tolerance}, DCDM, 32²`,
      ours: `iterations to ${tolerance}, DCDM, ${to}²`,
      results: runs.map((run) => ({
        seed: run.seed,
        baseline: of(run, 32, 'DCDM', tolerance),
        ours: of(run, to, 'DCDM', tolerance),
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', ...expectation },
    });
    for (const to of sides.filter((each) => each > 32)) {
      yield grow(
        `iterations do not depend on size: at most 1.25 times as many on ${to}² as on 32²`,
        to,
        1e-4,
        { atMost: 1.25 },
      );
    }
    const largest = sides.at(-1)!;
    yield {
      claim: `iterations grow more slowly than those of CG from 16² to ${largest}²`,
      setting,
      baseline: `CG, iterations on ${largest}² / 16²`,
      ours: `DCDM, iterations on ${largest}² / 16²`,
      results: runs.map((run) => {
        const growth = (method: Method) =>
          of(run, largest, method, 1e-4) / of(run, TRAINED_ON, method, 1e-4);
        return { seed: run.seed, baseline: growth('CG'), ours: growth('DCDM') };
      }),
      effect: 'ratio',
      expectation: { of: 'everySeed', below: 1 },
    };
  },
};
