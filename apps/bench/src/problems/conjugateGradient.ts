/** Conjugate gradients on two-dimensional grids beside SciPy: the same matrix, tolerance and precision. */
import type { Random } from '@orth/backend';
import { CsrMatrix, cg, multigrid, pcg, poisson2d, type SolveReport } from '@orth/unfolding';
import type { BenchCase, BenchContext } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';

/** Relative to ‖b‖, which for a start at 0 is the first residual. */
const TOLERANCE = 1e-6;

interface System {
  readonly A: CsrMatrix;
  readonly b: Float64Array;
}

/** Noise that float32 holds exactly, as inputs of peers must be. */
const noise = (random: Random, n: number) =>
  Float64Array.from({ length: n }, () => Math.fround(random.normal()));

/** −∇·(k∇) with a k between 1 and 10 that differs from point to point: no two rows are alike. */
function diffusion(random: Random, side: number): CsrMatrix {
  const { rowPointers, columnIndices, rows } = poisson2d(side);
  const k = Float64Array.from({ length: rows }, () => 10 ** random.uniform());
  const values = new Float64Array(columnIndices.length);
  for (let i = 0; i < rows; i++) {
    // Beyond the border k is that of the point.
    let diagonal = k[i]! * (4 - (rowPointers[i + 1]! - rowPointers[i]! - 1));
    let place = -1;
    for (let e = rowPointers[i]!; e < rowPointers[i + 1]!; e++) {
      const j = columnIndices[e]!;
      if (j === i) {
        place = e;
        continue;
      }
      values[e] = Math.fround(-(k[i]! + k[j]!) / 2);
      diagonal -= values[e]!;
    }
    values[place] = Math.fround(diagonal);
  }
  return new CsrMatrix({ rows, rowPointers, columnIndices, values, grid: [side, side] });
}

const PROBLEMS: Readonly<Record<string, (random: Random, side: number) => CsrMatrix>> = {
  'CG, Poisson': (_, side) => poisson2d(side),
  'CG, variable coefficients': diffusion,
};

/** ‖b − A x‖ / ‖b‖ */
function relativeResidual({ A, b }: System, x: Float64Array): number {
  const Ax = A.multiply(x);
  const gap = b.reduce((sum, value, i) => sum + (value - Ax[i]!) ** 2, 0);
  return Math.sqrt(gap / b.reduce((sum, value) => sum + value ** 2, 0));
}

function contestant(name: string, system: System, solve: () => SolveReport): Contestant {
  return { ...inProcess(name, solve, () => relativeResidual(system, solve().x)), threads: 1 };
}

async function scipy(context: BenchContext, { A, b }: System): Promise<Peer> {
  const column = (values: ArrayLike<number>): HostTensor => ({
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const inputs = {
    pointers: column(A.rowPointers),
    indices: column(A.columnIndices),
    values: column(A.values),
    b: column(b),
  };
  const params = { tolerance: TOLERANCE, report: 'solution' };
  // SciPy's loops use one thread however many there are.
  const [peer] = await context.python.torch({
    script: 'scipy_cg',
    label: 'scipy.sparse.linalg.cg',
    params,
    inputs,
    accuracy: { params: { ...params, report: 'residual' }, inputs },
    error: ([residual]) => residual!.data[0]!,
  });
  return peer!;
}

/** Both problems, and on Poisson's our own multigrid beside our plain method. */
export function conjugateGradientCases(context: BenchContext): BenchCase[] {
  const side = context.quick ? 128 : 256;
  return Object.entries(PROBLEMS).map(([name, make], key) => ({
    name: `unfolding/${name}`,
    size: `${side}x${side}`,
    errorMeasure: '‖b − Ax‖ / ‖b‖, stopped below 1e-6',
    async prepare() {
      const random = context.random(key + side);
      const A = make(random, side);
      const system = { A, b: noise(random, A.rows) };
      const { b } = system;
      return {
        ours: contestant('cg, float64', system, () => cg(A, b, { tol: TOLERANCE })),
        peers: [
          await scipy(context, system),
          contestant('ours: multigrid built, then pcg', system, () =>
            pcg(A, b, { tol: TOLERANCE, preconditioner: multigrid(A) }),
          ),
        ],
      };
    },
  }));
}
