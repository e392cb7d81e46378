/** Sparse matrices, conjugate gradients and preconditioners: float64 on the host, no backend. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { describe, expect, it } from 'vitest';
import { plainWorkspace, wasmWorkspace } from '../src/conjugate/cgWorkspace.js';
import { checkOperator } from '../src/conjugate/operator.js';
import {
  CsrMatrix,
  cg,
  deflation,
  incompleteCholesky,
  jacobi,
  lanczos,
  multigrid,
  pcg,
  poisson2d,
  poisson3d,
  ritz,
  ritzSamples,
  type Triplet,
} from '../src/index.js';

const noise = (n: number, seed = 1): Float64Array => {
  const random = seededRandom(seed);
  return Float64Array.from({ length: n }, () => random.normal());
};

const relativeResidual = (A: CsrMatrix, x: Float64Array, b: Float64Array): number => {
  const Ax = A.multiply(x);
  return Math.hypot(...b.map((value, i) => value - Ax[i]!)) / Math.hypot(...b);
};

/** Symmetric, diagonally dominant, with rows of all lengths. */
function scattered(n: number, seed = 3): CsrMatrix {
  const random = seededRandom(seed);
  const triplets: Triplet[] = Array.from({ length: n }, (_, i): Triplet => [i, i, 8 + i / n]);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < 1 + (i % 3); k++) {
      const j = random.integer(0, n - 1);
      const value = random.uniform() - 0.5;
      triplets.push([i, j, value], [j, i, value]);
    }
  }
  return CsrMatrix.fromTriplets(n, n, triplets);
}

/** Other values at the same places, symmetric. */
const varied = (A: CsrMatrix): CsrMatrix => {
  const triplets: Triplet[] = [];
  A.forEach((i, j, value) => {
    triplets.push([i, j, value * (1 + 0.01 * ((i * j + i + j) % 17))]);
  });
  return CsrMatrix.fromTriplets(A.rows, A.rows, triplets);
};

const tridiagonal = (n: number): CsrMatrix =>
  CsrMatrix.fromTriplets(
    n,
    n,
    Array.from({ length: n }, (_, i) => i).flatMap((i): Triplet[] =>
      i + 1 < n
        ? [
            [i, i, 2.5],
            [i, i + 1, -1],
            [i + 1, i, -1],
          ]
        : [[i, i, 2.5]],
    ),
  );

describe('CsrMatrix', () => {
  it('sorts columns and adds entries of one place', () => {
    const A = new CsrMatrix({
      rows: 2,
      columns: 3,
      rowPointers: [0, 3, 4],
      columnIndices: [2, 0, 2, 1],
      values: [1, 2, 3, 4],
    });
    expect([...A.toDense()]).toEqual([2, 0, 4, 0, 4, 0]);
    expect([...A.columnIndices]).toEqual([0, 2, 1]);
    expect([...A.multiply(Float64Array.of(1, 10, 100))]).toEqual([402, 40]);
    expect([...A.transpose().toDense()]).toEqual([2, 0, 0, 4, 4, 0]);
    expect([...CsrMatrix.fromDense(A.toDense(), 2, 3).values]).toEqual([2, 4, 4]);
  });

  it('measures asymmetry', () => {
    expect(scattered(30).asymmetry()).toBe(0);
    expect(CsrMatrix.fromDense([1, 2, 3, 4], 2).asymmetry()).toBe(0.25);
    expect(CsrMatrix.fromDense([1, 2, 0, 4], 2).asymmetry()).toBe(0.5);
    expect(CsrMatrix.fromDense([1, 2], 1, 2).asymmetry()).toBe(Infinity);
  });

  it('refuses what is no matrix', () => {
    const parts = { rows: 2, rowPointers: [0, 1, 2], columnIndices: [0, 1], values: [1, 1] };
    const make = (change: object) => () => new CsrMatrix({ ...parts, ...change });
    expect(make({})).not.toThrow();
    expect(make({ rowPointers: [0, 2] })).toThrow('rowPointers must have length 3, got 2');
    expect(make({ rowPointers: [0, 2, 1] })).toThrow('rowPointers[2]');
    expect(make({ rowPointers: [1, 1, 2] })).toThrow('rowPointers[0]');
    expect(make({ columnIndices: [0, 2] })).toThrow('integers in [0, 2), got 2 at index 1');
    expect(make({ values: [1, Number.NaN] })).toThrow('values must be finite, got NaN at index 1');
    expect(make({ grid: [3] })).toThrow('grid must have 2 points');
    expect(() => CsrMatrix.fromTriplets(2, 2, [[0, 2, 1]])).toThrow('column must be');
  });
});

describe('Poisson matrices', () => {
  it('have the stencil of their grid', () => {
    expect([...poisson2d(2, 2).toDense()]).toEqual([
      ...[4, -1, -1, 0],
      ...[-1, 4, 0, -1],
      ...[-1, 0, 4, -1],
      ...[0, -1, -1, 4],
    ]);
    const A = poisson3d([2, 3, 4]);
    expect(A.asymmetry()).toBe(0);
    // Row sums: one for each neighbour that the border takes.
    const sums = A.multiply(new Float64Array(24).fill(1));
    expect(sums[0]).toBe(3);
    expect(sums.reduce((a, b) => a + b)).toBe(2 * (3 * 4 + 2 * 4 + 2 * 3));
    expect(() => poisson2d(0)).toThrow('poisson2d: grid length must be an integer >= 1, got 0');
    expect(() => poisson2d(2, 2, { bc: 'neumann' } as never)).toThrow('bc');
  });
});

describe('cg and pcg', () => {
  const A = poisson2d(21, 17);
  const b = noise(A.rows);
  const all = {
    jacobi: jacobi(A),
    ic0: incompleteCholesky(A),
    deflation: deflation(A, b),
    multigrid: multigrid(A),
  };

  it.each(Object.entries(all))('%s solves to 1e-10', (_, preconditioner) => {
    const result = pcg(A, b, { preconditioner, tol: 1e-10 });
    expect(result.status).toBe('converged');
    expect(relativeResidual(A, result.x, b)).toBeLessThan(1e-10);
    expect(result.residuals.length).toBe(result.iterations + 1);
  });

  it('takes as many iterations as there are distinct eigenvalues', () => {
    const diagonal = CsrMatrix.fromTriplets(
      60,
      60,
      Array.from({ length: 60 }, (_, i): Triplet => [i, i, 1 + (i % 4)]),
    );
    expect(cg(diagonal, noise(60), { tol: 1e-10 }).iterations).toBe(4);
  });

  it('deflation and multigrid need fewer iterations, multigrid the same at every size', () => {
    const count = (preconditioner: (typeof all)['jacobi']) =>
      pcg(A, b, { preconditioner, tol: 1e-6 }).iterations;
    expect(count(all.deflation)).toBeLessThan(cg(A, b).iterations);
    expect(count(all.ic0)).toBeLessThan(cg(A, b).iterations / 2);
    for (const n of [31, 32, 63]) {
      const P = poisson2d(n);
      const { iterations } = pcg(P, noise(n * n), { preconditioner: multigrid(P), tol: 1e-4 });
      expect(iterations).toBe(5);
    }
    const P = poisson3d(12);
    expect(pcg(P, noise(P.rows), { preconditioner: multigrid(P) }).iterations).toBeLessThan(12);
  });

  it('IC(0) of a tridiagonal matrix is its Cholesky factor', () => {
    const T = tridiagonal(40);
    const r = noise(40);
    const { factor, solve } = incompleteCholesky(T);
    expectTensorClose(T.multiply(solve(r)), r, { rtol: 1e-12, atol: 1e-12 });
    expect(factor.entries).toBe(79);
    expect(pcg(T, r, { preconditioner: { solve } }).iterations).toBe(1);
  });

  it('IC(0) refuses a pivot that is not positive, and a shift helps', () => {
    // Positive definite, but not with the fill-in left out (Kershaw 1978).
    const K = CsrMatrix.fromDense([3, -2, 0, 2, -2, 3, -2, 0, 0, -2, 3, -2, 2, 0, -2, 3], 4);
    expect(() => incompleteCholesky(K)).toThrow('pivots must be positive');
    const preconditioner = incompleteCholesky(K, { shift: 1 });
    expect(pcg(K, [1, 2, 3, 4], { preconditioner }).converged).toBe(true);
  });

  it('starts warm, and where b is 0 does nothing', () => {
    const { x } = cg(A, b, { tol: 1e-4 });
    const again = cg(A, b, { tol: 1e-6, x0: x, relativeTo: 'rightHandSide' });
    expect(again.iterations).toBeLessThan(cg(A, b, { tol: 1e-6 }).iterations);
    expect(relativeResidual(A, again.x, b)).toBeLessThan(1e-6);
    const zero = cg(A, new Float64Array(A.rows));
    expect([zero.iterations, zero.status, zero.relativeResidual]).toEqual([0, 'converged', 0]);
  });

  it('reports what it did not reach', () => {
    expect(cg(A, b, { maxIter: 3 })).toMatchObject({ status: 'maxIterations', iterations: 3 });
    const best = cg(A, b, { tol: 1e-30 });
    expect(best.status).toBe('stagnated');
    expect(best.converged).toBe(false);
    expect(best.relativeResidual).toBeLessThan(1e-13);
    const controller = new AbortController();
    const aborted = cg(A, b, {
      signal: controller.signal,
      onStep: ({ iteration }) => iteration === 2 && controller.abort(),
    });
    expect([aborted.status, aborted.iterations]).toEqual(['aborted', 2]);
    // Consistent, singular: zero row, zero right-hand side.
    const singular = CsrMatrix.fromDense([2, -1, 0, -1, 2, 0, 0, 0, 0], 3);
    expect(cg(singular, [1, 2, 0]).converged).toBe(true);
    expect(cg(singular, [1, 2, 3]).converged).toBe(false);
  });

  it('refuses bad input', () => {
    expect(() => cg(A, [1, 2])).toThrow('b must have length 357, got 2');
    expect(() => cg(A, b, { tol: 0 })).toThrow('cg: tol must be a finite number > 0, got 0');
    expect(() => cg(A, b, { tolerance: 1 } as never)).toThrow('unknown option "tolerance"');
    expect(() =>
      cg(
        A,
        b.map((v, i) => (i === 3 ? Number.NaN : v)),
      ),
    ).toThrow('finite');
    expect(() => cg(A, b, { x0: [1] })).toThrow('x0 must have length 357');
    expect(() => cg([[1]] as never, [1])).toThrow('A must be a CsrMatrix or a function');
    expect(() => cg(CsrMatrix.fromDense([2, 1, 0, 2], 2), [1, 1])).toThrow('symmetric');
    expect(() => cg(CsrMatrix.fromDense([1, 2, 3, 4, 5, 6], 2, 3), [1, 1])).toThrow('square');
    expect(() => cg(CsrMatrix.fromDense([1, 0, 0, -1], 2), [1, 1])).toThrow('diagonal');
    expect(() => cg(CsrMatrix.fromDense([1, 2, 2, 1], 2), [1, -1])).toThrow('positive definite');
    expect(() => cg((x) => [x[1]!, -x[0]!], [1, 1])).toThrow('symmetric');
    expect(() => cg(() => [1], [1, 1])).toThrow('A must give a vector of length 2');
    expect(() => pcg(A, b, {} as never)).toThrow('preconditioner must be');
    expect(() => multigrid(scattered(9))).toThrow('grid');
  });

  it('gives the same for a function', () => {
    const f = cg((x) => A.multiply(x), b, { tol: 1e-8 });
    expectTensorClose(f.x, cg(A, b, { tol: 1e-8 }).x, { rtol: 1e-6, atol: 1e-7 });
  });
});

describe('the loops in WebAssembly', () => {
  it.each([
    ['few kinds of rows', poisson2d(40, 37)],
    ['three dimensions', poisson3d([5, 6, 33])],
    ['few diagonals', varied(poisson2d(13, 9))],
    ['one diagonal', varied(CsrMatrix.fromDense([1, 0, 0, 0, 1, 0, 0, 0, 1], 3))],
    ['rows all different', scattered(201)],
    ['one row', CsrMatrix.fromDense([3], 1)],
  ])('%s: as the plain ones', (_, A) => {
    const b = noise(A.rows);
    const plain = plainWorkspace(checkOperator('test', A, A.rows), b);
    const wasm = wasmWorkspace(A, b)!;
    const x = noise(A.rows, 2);
    for (const work of [plain, wasm]) work.x.set(x);
    const close = (got: ArrayLike<number>, want: ArrayLike<number>) =>
      expectTensorClose(got, want, { rtol: 1e-12, atol: 1e-12 });
    close([wasm.trueResidual()], [plain.trueResidual()]);
    for (let step = 0; step < 3; step++) {
      for (const work of [plain, wasm]) work.turn(step === 1 ? x : work.r, step * 0.3);
      close([wasm.multiplyDirection()], [plain.multiplyDirection()]);
      close(wasm.Ap, plain.Ap);
      close([wasm.advance(0.1)], [plain.advance(0.1)]);
      close(wasm.x, plain.x);
      close(wasm.r, plain.r);
    }
  });
});

describe('Lanczos', () => {
  it('gives orthonormal Ritz vectors that make A diagonal, and at m = n the spectrum', () => {
    const n = 6;
    const A = poisson2d(n, n - 1);
    const decomposition = lanczos(A, noise(A.rows), A.rows);
    const { values, vectors } = ritz(decomposition);
    for (const [i, u] of vectors.entries()) {
      const Au = A.multiply(u);
      for (const [j, v] of vectors.entries()) {
        const inner = (w: Float64Array) => w.reduce((sum, value, k) => sum + value * v[k]!, 0);
        expect(inner(u)).toBeCloseTo(i === j ? 1 : 0, 10);
        expect(inner(Au)).toBeCloseTo(i === j ? values[i]! : 0, 9);
      }
    }
    const axis = (m: number) =>
      Array.from({ length: m }, (_, k) => 2 - 2 * Math.cos(((k + 1) * Math.PI) / (m + 1)));
    const exact = axis(n)
      .flatMap((a) => axis(n - 1).map((c) => a + c))
      .sort((a, c) => a - c);
    expectTensorClose(values, exact, { rtol: 1e-9, atol: 1e-9 });
  });

  it('ends where the Krylov space does', () => {
    const A = CsrMatrix.fromDense([1, 0, 0, 0, 1, 0, 0, 0, 2], 3);
    expect(lanczos(A, [1, 1, 1], 3).alpha.length).toBe(2);
    expect(() => lanczos(A, [0, 0, 0], 1)).toThrow('start must not be 0');
    expect(() => lanczos(A, [1, 1, 1], 4)).toThrow('steps must be');
  });

  it('weighs the vectors of small Ritz values more, and drops those below a bound', () => {
    const unit = (k: number) => Float64Array.from({ length: 4 }, (_, i) => (i === k ? 1 : 0));
    const pairs = {
      values: Float64Array.of(0, 1, 2, 3),
      vectors: [unit(0), unit(1), unit(2), unit(3)],
    };
    const [b] = ritzSamples(pairs, [[1, 1, 1]], { m: 2, thetaShift: 0, bigWeight: 3 });
    expectTensorClose(
      b!,
      [0, 3, 1, 1].map((v) => v / Math.sqrt(11)),
    );
    expect(() => ritzSamples(pairs, [[1, 1]])).toThrow('coefficients must have length 3, got 2');
  });
});
