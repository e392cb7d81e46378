/** Golden fixtures of the deep conjugate direction method, `unfolding/dcdm`. */
import type { Adapter } from '@orth/testing';
import {
  grad,
  matMul,
  mul,
  relu,
  reshape,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  CsrMatrix,
  cg,
  type DirectionModel,
  DirectionNet,
  deepConjugateDirection,
  directionLoss,
  incompleteCholesky,
  jacobi,
  lanczos,
  pcg,
  poisson2d,
  poisson3d,
  ritz,
  ritzSamples,
  type SolveReport,
  stepLength,
} from '../../src/index.js';

const matrixOf = async (A: Tensor): Promise<CsrMatrix> =>
  CsrMatrix.fromDense(await A.data(), A.shape[0]!, A.shape[1]!);

/** ‖r‖ at the start and after each iteration; a solve that ended before stays where it is. */
const history = ({ residuals }: SolveReport, iterations: number): Float64Array =>
  Float64Array.from({ length: iterations + 1 }, (_, i) => residuals[i] ?? residuals.at(-1)!);

/** Runs all iterations, and nothing but the method itself. */
const WHOLE = { tol: 1e-300 };
const PLAIN = { ...WHOLE, safeguard: 0, stallWindow: Infinity };

const solver: Adapter = async ({ inputs, params, fixture, wanted }) => {
  const { W1, W2 } = inputs as Record<string, Tensor2D>;
  const A = await matrixOf(inputs.A!);
  const b = await inputs.b!.data();
  const x0 = inputs.x0 && (await inputs.x0.data());
  const shape = fixture.outputs.x?.shape;
  const length = (name: string) => (fixture.outputs[name]?.shape[0] ?? 1) - 1;
  const lengths = [length('residualNorm'), length('residualNormNoOrth')];
  const iterations = Math.max(shape?.[0] ?? 0, ...lengths);
  const model: DirectionModel = (r) => matMul(relu(matMul(r, W1!, false, true)), W2!, false, true);
  const start = x0 ? { x0 } : {};
  const orthogonalTo = params.history ?? 2;
  // x after each iteration; a solve that ended before stays where it is.
  const x = new Float64Array(iterations * A.rows);
  const run = (k: number) =>
    deepConjugateDirection(A, b, {
      ...PLAIN,
      ...start,
      model,
      maxIter: iterations,
      history: k,
      onStep: ({ iteration, x: now }) => {
        if (k !== orthogonalTo) return;
        for (let i = iteration - 1; i < iterations; i++) x.set(now, i * A.rows);
      },
    });
  const residualNorm = history(await run(orthogonalTo), length('residualNorm'));
  const result: Record<string, Float64Array> = {
    x: x.slice(0, (shape?.[0] ?? iterations) * A.rows),
    residualNorm,
  };
  if (wanted.includes('residualNormNoOrth')) {
    result.residualNormNoOrth = history(await run(0), length('residualNormNoOrth'));
  }
  return result;
};

const equalsCg: Adapter = async ({ inputs, params, fixture }) => {
  const A = await matrixOf(inputs.A!);
  const b = await inputs.b!.data();
  const d = inputs.d!;
  const scale = await d.data();
  const maxIter = params.iterations ?? fixture.outputs.residualCG!.shape[0]! - 1;
  const options = { ...PLAIN, maxIter };
  const preconditioner = { solve: (r: Float64Array) => r.map((value, i) => value * scale[i]!) };
  const of = (result: SolveReport) => history(result, maxIter);
  return {
    residualIdentity: of(await deepConjugateDirection(A, b, { ...options, model: (r) => r })),
    residualCG: of(cg(A, b, { ...WHOLE, maxIter })),
    residualDiag: of(await deepConjugateDirection(A, b, { ...options, model: (r) => mul(r, d) })),
    residualPCG: of(pcg(A, b, { ...WHOLE, maxIter, preconditioner })),
  };
};

const baselines: Adapter = async ({ inputs, params, fixture }) => {
  const A = await matrixOf(inputs.A!);
  const b = await inputs.b!.data();
  const maxIter = params.iterations ?? fixture.outputs.cg!.shape[0]! - 1;
  const ic0 = incompleteCholesky(A);
  const of = (result: SolveReport) => history(result, maxIter);
  const options = { ...WHOLE, maxIter };
  return {
    cg: of(cg(A, b, options)),
    jacobi: of(pcg(A, b, { ...options, preconditioner: jacobi(A) })),
    ic0: of(pcg(A, b, { ...options, preconditioner: ic0 })),
    L: ic0.factor.toDense(),
    solution: pcg(A, b, { tol: 1e-13, preconditioner: ic0 }).x,
  };
};

const loss: Adapter = async ({ inputs }) => {
  const A = await matrixOf(inputs.A!);
  const [q, b] = [inputs.q as Tensor2D, inputs.b as Tensor2D];
  return {
    perSample: directionLoss(A, q, b, { reduction: 'none' }),
    loss: directionLoss(A, q, b),
    alpha: stepLength(A, q, b),
    gradQ: tidy(() => grad((x: Tensor) => directionLoss(A, x as Tensor2D, b))(q)),
  };
};

const dataset: Adapter = async ({ inputs, params }) => {
  const A = await matrixOf(inputs.A!);
  const v0 = Float64Array.from(await inputs.v0!.data());
  const decomposition = lanczos(A, A.multiply(v0), params.m);
  const pairs = ritz(decomposition);
  const [size, columns] = inputs.coefficients!.shape as [number, number];
  const flat = await inputs.coefficients!.data();
  const dropBelow = params.dropRitzBelow ?? 1e-8;
  const remaining = pairs.values.filter((theta) => theta >= dropBelow).length;
  // Coefficients of vectors that were dropped stand in front, where there are any.
  const rows = Array.from({ length: size }, (_, i) =>
    flat.slice((i + 1) * columns - remaining, (i + 1) * columns),
  );
  const samples = ritzSamples(pairs, rows, {
    m: params.m,
    thetaShift: params.theta,
    bigWeight: params.bigWeight ?? 9,
    dropBelow,
  });
  const joined = (vectors: readonly Float64Array[]) => vectors.flatMap((v) => Array.from(v));
  return {
    lanczosQ: joined(decomposition.Q),
    diagonal: decomposition.alpha,
    offDiagonal: decomposition.beta,
    ritzValues: pairs.values,
    ritzVectors: joined(pairs.vectors),
    samples: joined(samples),
  };
};

const network: Adapter = async ({ inputs }) => {
  const count = Object.keys(inputs).filter((name) => name.startsWith('kernel')).length;
  const names = Array.from({ length: count }, (_, i) => [`kernel${i}`, `bias${i}`]).flat();
  const values = await Promise.all(
    [...names, 'denseKernel', 'denseBias'].map(async (name) =>
      Float32Array.from(await inputs[name]!.data()),
    ),
  );
  const { input, bias0 } = inputs as { input: Tensor; bias0: Tensor };
  const [batch, ...grid] = input.shape as [number, ...number[]];
  const levels = count === 21 ? 'large' : 'small';
  const net = new DirectionNet(grid.length as 2 | 3, bias0.size, levels, values);
  const output = net.predict(input);
  net.dispose();
  const A = grid.length === 2 ? poisson2d(grid[0]!, grid[1]) : poisson3d(grid as never);
  const value = tidy(() => {
    const rows = (x: Tensor) => reshape(x, [batch, A.rows]) as Tensor2D;
    return directionLoss(A, rows(output), rows(input));
  });
  return { output, loss: value };
};

export const adapters: Record<string, Adapter> = {
  'unfolding/dcdm/solver': solver,
  'unfolding/dcdm/solver-equals-cg-pcg': equalsCg,
  'unfolding/dcdm/cg-baselines': baselines,
  'unfolding/dcdm/loss': loss,
  'unfolding/dcdm/ritz-dataset': dataset,
  'unfolding/dcdm/unet2d': network,
};
