/** Optimal transport against POT: the same problem, tolerance and stopping rule, both in float64. */
import {
  quadraticTransport,
  sinkhorn,
  sparseTransport,
  type TransportResult,
} from '@orth/ot-sparse';
import type { Bench, BenchCase, BenchContext, FigureCase } from '../harness/bench.js';
import { inProcess } from '../harness/contestant.js';
import type { HostTensor } from '../harness/pythonPeers.js';
import {
  cloudCost,
  marginalError,
  peakMemory,
  pythonPeakMemory,
  pythonTransport,
} from '../problems/otClouds.js';
import { exactCases, exactMemory } from '../problems/otExact.js';

const ERROR = '‖T1 − a‖₁ + ‖Tᵀ1 − b‖₁ (masses sum to 1)';

interface Method {
  readonly name: string;
  /** As the table shows what is ours. */
  readonly ours: string;
  solve(cost: HostTensor): TransportResult;
  readonly peer: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** Ours run to the end, where the common stopping rule ends earlier. */
  readonly exact?: { readonly name: string; solve(cost: HostTensor): TransportResult };
}

const MAX_ITERATIONS = 10_000;
/** POT's default threshold. */
const TOLERANCE = 1e-9;
const EPSILON = 0.02;
const GAMMA = 1;
const K = 8;

/** SciPy's rule, which POT uses: the objective rose by less than the tolerance. */
const LIKE_SCIPY = {
  gamma: GAMMA,
  maxIterations: MAX_ITERATIONS,
  functionTolerance: TOLERANCE,
  tolerance: TOLERANCE,
  memory: 10,
};
const LBFGS = { gamma: GAMMA, tolerance: TOLERANCE, maxIterations: MAX_ITERATIONS };

const METHODS: readonly Method[] = [
  {
    name: 'sinkhorn',
    ours: `sinkhorn, ε = ${EPSILON}`,
    solve: (cost) =>
      sinkhorn(cost, { epsilon: EPSILON, tolerance: TOLERANCE, maxIterations: MAX_ITERATIONS }),
    peer: 'POT sinkhorn_log',
    params: {
      method: 'sinkhorn',
      epsilon: EPSILON,
      tolerance: TOLERANCE,
      maxIterations: MAX_ITERATIONS,
    },
  },
  {
    name: 'quadratic',
    ours: `quadraticTransport, γ = ${GAMMA}`,
    solve: (cost) => quadraticTransport(cost, LIKE_SCIPY),
    peer: 'POT smooth_ot_semi_dual',
    params: { method: 'quadratic', ...LBFGS },
    exact: {
      name: 'ours, until the marginals are right to 1e-9',
      solve: (cost) => quadraticTransport(cost, LBFGS),
    },
  },
  {
    name: 'sparse',
    ours: `sparseTransport, k = ${K}, γ = ${GAMMA}`,
    solve: (cost) => sparseTransport(cost, { ...LIKE_SCIPY, k: K, start: 'zeros' }),
    peer: 'NumPy semi-dual, SciPy L-BFGS-B',
    params: { method: 'sparse', k: K, ...LBFGS },
    exact: {
      name: 'ours, until the marginals are right to 1e-9',
      solve: (cost) => sparseTransport(cost, { ...LBFGS, k: K }),
    },
  },
];

const costOf = (context: BenchContext, n: number) => cloudCost(context.random(n), n);

function contestant(name: string, solve: (cost: HostTensor) => TransportResult, cost: HostTensor) {
  const [n] = cost.shape as [number];
  return inProcess(
    name,
    () => solve(cost).dispose(),
    () => {
      const result = solve(cost);
      result.dispose();
      return marginalError(result.planData(), n);
    },
  );
}

function solverCase(context: BenchContext, method: Method, n: number): BenchCase {
  return {
    name: `ot/${method.name}`,
    size: `${n}x${n}`,
    errorMeasure: ERROR,
    async prepare() {
      const cost = costOf(context, n);
      const { exact } = method;
      return {
        ours: contestant(method.ours, method.solve, cost),
        peers: [
          await pythonTransport(context.python, method.peer, cost, method.params),
          ...(exact ? [contestant(exact.name, exact.solve, cost)] : []),
        ],
      };
    },
  };
}

/** Peak memory beyond the float32 costs; ours keeps a float64 copy of them, as Python's are. */
function memoryCase(context: BenchContext, method: Method, n: number): FigureCase {
  return {
    name: `ot/${method.name}-memory`,
    size: `${n}x${n}`,
    async measure() {
      const cost = costOf(context, n);
      const ours = peakMemory(() => method.solve(cost).dispose());
      const theirs = await pythonPeakMemory(context.python, cost, method.params);
      return [
        { what: 'ours, peak', value: ours },
        { what: `${method.peer}, peak`, value: theirs },
      ].flatMap(({ what, value }) => (value === undefined ? [] : [{ what, value, unit: 'MB' }]));
    },
  };
}

export const bench: Bench = {
  name: 'ot',
  description:
    'entropic, quadratic, k-sparse and exact transport against POT, to the same tolerance',
  cases(context) {
    const sizes = context.quick ? [100, 500] : [100, 500, 1000, 2000];
    return [
      ...METHODS.flatMap((method) => sizes.map((n) => solverCase(context, method, n))),
      ...exactCases(context),
    ];
  },
  figures(context) {
    const sizes = context.quick ? [500] : [1000, 2000];
    return [
      ...METHODS.flatMap((method) => sizes.map((n) => memoryCase(context, method, n))),
      ...exactMemory(context),
    ];
  },
};
