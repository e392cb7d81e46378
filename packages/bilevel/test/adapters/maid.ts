/** Fixtures of MAID: its atoms, the derivatives of the logistic problem, whole runs on quadratics. */
import {
  conjugateGradient,
  hypergradient,
  hypergradientErrorBound,
  type LowerSolver,
  lineSearchValue,
  logisticProblem,
  Maid,
  quadraticProblem,
} from '@orth/bilevel';
import type { Adapter, TensorData } from '@orth/testing';
import { symmetricEigen } from '../../src/maid/symmetricEigen.js';

const rowsOf = ({ shape, data }: TensorData): number[][] =>
  Array.from({ length: shape[0]! }, (_, i) => data.slice(i * shape[1]!, (i + 1) * shape[1]!));

const atoms: Adapter = async ({ fixture, params }) => {
  const H = rowsOf(fixture.inputs.H!);
  const b = Float64Array.from(fixture.inputs.b!.data);
  const product = (v: Float64Array) =>
    Float64Array.from(H, (row) => row.reduce((sum, h, i) => sum + h * v[i]!, 0));
  const solutions: number[] = [];
  const iterations: number[] = [];
  for (const tolerance of params.tols) {
    const result = await conjugateGradient(product, b, tolerance);
    solutions.push(...result.solution);
    iterations.push(result.iterations);
  }
  const search = params.lineSearch;
  const psi = (upperConvex: boolean) =>
    lineSearchValue({
      value: search.gOld,
      gradientNorm: search.gradOld,
      accuracy: search.eps,
      trialValue: search.gNew,
      trialGradientNorm: search.gradNew,
      trialAccuracy: search.epsNew ?? search.eps,
      upperSmoothness: search.Lg,
      upperConvex,
      sufficientDecrease: search.suffDecrease,
      stepSize: search.alpha,
      squaredNorm: search.zNorm2,
    });
  return {
    cgSolutions: solutions,
    cgIterations: iterations,
    omega: hypergradientErrorBound({
      accuracy: params.eps,
      residual: params.delta,
      strongConvexity: params.mu,
      upperSmoothness: params.Lg,
      crossNorm: params.Jnorm,
      upperGradientNorm: params.gradG,
      inverseHessianLipschitz: params.LHinv,
      crossLipschitz: params.LJ,
    }),
    psi: psi(false),
    psiConvex: psi(true),
  };
};

const logistic: Adapter = async ({ fixture, inputs, wanted }) => {
  const { X, y, Xv, yv } = inputs;
  const [features, classes] = fixture.inputs.w!.shape as [number, number];
  const vector = (name: string) => Float64Array.from(fixture.inputs[name]!.data);
  const [w, theta, v] = [vector('w'), vector('theta'), vector('v')];
  const problem = await logisticProblem({
    x: X!,
    y: y!,
    validX: Xv!,
    validY: yv!,
    classes,
    weights: theta.length === 1 && features * classes > 1 ? 'single' : 'perParameter',
  });
  const solved = await hypergradient(problem, theta, { accuracy: 1e-5, residual: 1e-6, x0: w });
  const outputs: Record<string, number | ArrayLike<number>> = {
    h: await problem.lowerValue(w, theta),
    gradW: await problem.lowerGradient(w, theta),
    hvp: await problem.hessianProduct(w, theta, v),
    crossVec: await problem.crossProduct(w, theta, v),
    wStar: solved.x,
    gStar: solved.upper,
    hyper: solved.gradient,
    minExpTheta: (problem.strongConvexity as (theta: Float64Array) => number)(theta),
  };
  if (wanted.includes('minEig')) {
    const H = new Float64Array(w.length ** 2);
    for (let i = 0; i < w.length; i++) {
      const unit = new Float64Array(w.length);
      unit[i] = 1;
      H.set(await problem.hessianProduct(solved.x, theta, unit), i * w.length);
    }
    outputs.minEig = symmetricEigen(H, w.length).values[0]!;
  }
  problem.dispose();
  return outputs;
};

const SOLVERS: Record<string, LowerSolver> = {
  gd: 'gradientDescent',
  agd: 'accelerated',
  fista: 'fista',
};

const quadraticRun: Adapter = async ({ fixture, params }) => {
  const { A1, A2, A3, b1, b2, theta0, x0 } = fixture.inputs;
  const exact = quadraticProblem({
    A1: rowsOf(A1!),
    A2: rowsOf(A2!),
    A3: rowsOf(A3!),
    b1: b1!.data,
    b2: b2!.data,
  });
  const problem = {
    ...exact,
    strongConvexity: params.mu ?? exact.strongConvexity,
    smoothness: params.L ?? exact.smoothness,
    upperSmoothness: params.Lg ?? exact.upperSmoothness,
    crossNorm: params.Jnorm ?? exact.crossNorm,
    upperConvex: params.upperConvex ?? false,
  };
  const start = theta0?.data ?? new Array(exact.thetaSize).fill(1);
  const run = new Maid(problem, {
    theta0: start,
    ...(x0 && { x0: x0.data }),
    accuracy: params.eps,
    residual: params.delta,
    stepSize: params.alpha,
    stepDecrease: params.rho,
    stepIncrease: params.rhoUp,
    accuracyDecrease: params.nu,
    accuracyIncrease: params.nuUp,
    descentFraction: params.eta,
    sufficientDecrease: params.suffDecrease,
    maxBacktracks: params.maxBacktracks,
    solver: SOLVERS[params.solver ?? 'gd']!,
    ...(params.descentTest !== undefined && { descentTest: params.descentTest }),
  });
  const thetas: number[] = [];
  const values: number[] = [];
  await run.run({
    maxIterations: params.iters,
    onStep: () => {
      thetas.push(...run.theta);
      values.push(exact.value(run.theta));
    },
  });
  const { history } = run;
  const best = exact.minimizer();
  return {
    theta: thetas,
    f: values,
    eps: history.map((step) => step.accuracy),
    delta: history.map((step) => step.residual),
    alpha: history.map((step) => step.stepSize),
    zNorm: history.map((step) => step.gradientNorm),
    omega: history.map((step) => step.errorBound!),
    fGradAtStart: exact.gradient(start),
    thetaStar: best,
    fStar: exact.value(best),
    fStart: exact.value(start),
  };
};

export const adapters: Record<string, Adapter> = {
  'bilevel/maid/atoms': atoms,
  'bilevel/maid/logistic': logistic,
  'bilevel/maid/quadratic-run': quadraticRun,
};
