/**
 * Orthogonalisation: against the same mathematics in plain tfjs ops and in PyTorch, against exact polar factors, and
 * the time that each method needs to reach a stated orthogonality.
 */
import {
  newtonSchulzFlops,
  type OrthogonalizeOptions,
  orthogonalize,
  type ScheduleName,
} from '@orth/newton-schulz';
import { add, div, matMul, mul, norm, type Tensor, tidy, transpose } from '@tensorflow/tfjs-core';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import type { Bench, BenchCase, BenchContext, PreparedCase } from '../harness/bench.js';
import { type Contestant, inProcess, type Peer } from '../harness/contestant.js';
import { execute, takeToHost, toDevice } from '../harness/deviceTensor.js';
import { packageVersion } from '../harness/packageVersion.js';
import { plainTfjsContestant, plainTfjsName } from '../harness/plainTfjs.js';
import type { HostTensor } from '../harness/pythonPeers.js';
import { type Matrix64, matrix64, relativeError } from '../reference/matrix64.js';
import {
  MUON_QUINTIC,
  muonOrthogonalize64,
  orthogonalityError64,
} from '../reference/newtonSchulz64.js';

type Shape = readonly number[];

const QUICK_SHAPES: Shape[] = [
  [64, 256],
  [128, 128],
  [256, 256],
  [12, 64, 768],
];
const FULL_SHAPES: Shape[] = [
  [64, 256],
  [128, 128],
  [256, 256],
  [256, 1024],
  [512, 512],
  [1024, 1024],
  [768, 3072],
  [3072, 768],
  [12, 64, 768],
];

/** Beyond this short side an SVD in JavaScript takes half a minute. */
const LARGEST_SVD = 256;

/** Orthogonality at which the tight rows stop. */
const TIGHT = 1e-3;

const SVD_NAME = `ml-matrix ${packageVersion('ml-matrix')} SVD`;

const describe = (shape: Shape) =>
  shape.length === 3 ? `${shape[0]}x(${shape[1]}x${shape[2]})` : shape.join('x');

/** Gaussian input of a shape. */
function gaussian(context: BenchContext, shape: Shape): HostTensor {
  const random = context.random(shape.reduce((key, n) => key * 4099 + n, 0) | 0);
  const size = shape.reduce((product, n) => product * n, 1);
  return { shape, data: Float32Array.from({ length: size }, () => random.normal()) };
}

/** The first matrix of a batch: all are alike, and one is enough for an error. */
function firstMatrix({ shape, data }: HostTensor): Matrix64 {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return matrix64(rows, columns, data.subarray(0, rows * columns));
}

/** Five steps as one writes them in tfjs: transposes made, then multiplied. */
function tfjsComposition(x: Tensor, steps = 5): Tensor {
  return tidy(() => {
    const swap = [...x.shape.keys()].slice(0, -2).concat(x.rank - 1, x.rank - 2);
    const tall = x.shape.at(-2)! > x.shape.at(-1)!;
    let X = tall ? transpose(x, swap) : x;
    X = div(X, add(norm(X, 'euclidean', [-2, -1], true), 1e-7));
    const [a, b, c] = MUON_QUINTIC;
    for (let step = 0; step < steps; step++) {
      const A = matMul(X, transpose(X, swap));
      const B = add(mul(A, b), mul(matMul(A, A), c));
      X = add(mul(X, a), matMul(B, X));
    }
    return tall ? transpose(X, swap) : X;
  });
}

type ErrorOf = (result: HostTensor) => number;

/** The composition on tfjs's own backend and kernels. */
const plainTfjs = (input: HostTensor, label: string, errorOf: ErrorOf): Promise<Contestant> =>
  plainTfjsContestant(() => {
    const x = toDevice(input);
    const name = `${plainTfjsName()} ${label}`;
    return { ...onDevice(name, x, tfjsComposition, errorOf), dispose: () => x.dispose() };
  });

/** A contestant that maps one tensor to another on the active backend. */
function onDevice(name: string, x: Tensor, f: (x: Tensor) => Tensor, errorOf: ErrorOf): Contestant {
  return inProcess(
    name,
    () => execute(() => f(x)),
    async () => errorOf(await takeToHost(f(x))),
  );
}

const ours = (name: string, x: Tensor, options: OrthogonalizeOptions, errorOf: ErrorOf) =>
  onDevice(name, x, (input) => orthogonalize(input, options), errorOf);

const torch = (
  context: BenchContext,
  input: HostTensor,
  params: { method: 'muon'; steps: number } | { method: 'svd' },
  errorOf: ErrorOf,
): Promise<Peer[]> =>
  context.python.torch({
    script: 'newton_schulz',
    label: params.method === 'svd' ? 'SVD' : `${params.steps} steps`,
    params,
    inputs: { x: input },
    error: ([output]) => errorOf(output!),
  });

/** The polar factor U Vᵀ by ml-matrix's SVD, float64 in JavaScript, matrix by matrix. */
function svdInJavaScript(input: HostTensor, errorOf: ErrorOf): Contestant {
  const [rows, columns] = input.shape.slice(-2) as [number, number];
  const count = input.data.length / (rows * columns);
  const polar = () => {
    const result = new Float32Array(input.data.length);
    for (let i = 0; i < count; i++) {
      const offset = i * rows * columns;
      const values = Array.from(input.data.subarray(offset, offset + rows * columns));
      const svd = new SingularValueDecomposition(Matrix.from1DArray(rows, columns, values), {
        autoTranspose: true,
      });
      const { leftSingularVectors: u, rightSingularVectors: v } = svd;
      result.set(u.mmul(v.transpose()).to1DArray(), offset);
    }
    return result;
  };
  return inProcess(SVD_NAME, polar, () => errorOf({ shape: input.shape, data: polar() }));
}

/** The standard iteration, whose float64 result everyone is compared with. */
function iterationCase(context: BenchContext, shape: Shape): BenchCase {
  return {
    name: 'newton-schulz/muon',
    size: describe(shape),
    errorMeasure: 'distance to the same five steps in float64, relative (Frobenius)',
    async prepare() {
      const input = gaussian(context, shape);
      const want = muonOrthogonalize64(firstMatrix(input));
      const errorOf: ErrorOf = (result) => relativeError(firstMatrix(result).data, want.data);
      const x = toDevice(input);
      return {
        ours: ours('orthogonalize', x, {}, errorOf),
        peers: [
          await plainTfjs(input, 'ops', errorOf),
          ...(await torch(context, input, { method: 'muon', steps: 5 }, errorOf)),
        ],
        dispose: () => x.dispose(),
      };
    },
  };
}

/** The Gram form against the standard form, both ours. */
function formCase(context: BenchContext, shape: Shape): BenchCase {
  return {
    name: 'newton-schulz/gram-form',
    size: describe(shape),
    errorMeasure: 'distance to the same five steps in float64, relative (Frobenius)',
    prepare() {
      const input = gaussian(context, shape);
      const want = muonOrthogonalize64(firstMatrix(input));
      const errorOf: ErrorOf = (result) => relativeError(firstMatrix(result).data, want.data);
      const x = toDevice(input);
      return {
        ours: ours("form: 'gram'", x, { form: 'gram' }, errorOf),
        peers: [ours("ours, form: 'standard'", x, { form: 'standard' }, errorOf)],
        dispose: () => x.dispose(),
      };
    },
  };
}

/** Who may answer "as orthogonal as Muon's five steps" … */
const FAST_METHODS: ScheduleName[] = ['quintic', 'polarExpress', 'cans', 'cubic5'];
/** … and who "orthogonal to 1e-3": the methods that go on converging. */
const CONVERGENT_METHODS: ScheduleName[] = ['polarExpress', 'deepseekV4'];
const MOST_STEPS = 20;

interface Candidate {
  readonly method: ScheduleName;
  readonly steps: number;
}

/** Operations of a candidate in its better form; only the order of candidates matters. */
function operations(shape: Shape, { method, steps }: Candidate): number {
  const [m, n] = shape.slice(-2) as [number, number];
  const degree = method === 'cubic5' ? 3 : 5;
  const forms = (['standard', 'gram'] as const).map((form) =>
    newtonSchulzFlops(m, n, { steps, form, degree }),
  );
  return Math.min(...forms);
}

/** The method and length with the fewest operations that reach a target on this input. */
async function cheapest(
  x: Tensor,
  methods: ScheduleName[],
  errorOf: ErrorOf,
  target: number,
): Promise<Candidate> {
  const candidates = methods
    .flatMap((method) => Array.from({ length: MOST_STEPS }, (_, i) => ({ method, steps: i + 1 })))
    .sort((a, b) => operations(x.shape, a) - operations(x.shape, b));
  for (const candidate of candidates) {
    if (errorOf(await takeToHost(orthogonalize(x, candidate))) <= target) return candidate;
  }
  throw new Error(`no method reaches ${target} in ${MOST_STEPS} steps`);
}

const nameOf = ({ method, steps }: Candidate) =>
  `${method}, ${steps} ${steps === 1 ? 'step' : 'steps'}`;

const ORTHOGONALITY = '‖XXᵀ − I‖ / √k (Frobenius, short side k), in float64';
const orthogonality: ErrorOf = (result) => orthogonalityError64(firstMatrix(result));

/** Time until as orthogonal as the standard five steps leave this input. */
function equalErrorCase(context: BenchContext, shape: Shape): BenchCase {
  return {
    name: 'newton-schulz/as-orthogonal-as-muon',
    size: describe(shape),
    errorMeasure: ORTHOGONALITY,
    async prepare(): Promise<PreparedCase> {
      const input = gaussian(context, shape);
      const x = toDevice(input);
      const standard = (input: Tensor) => orthogonalize(input, {});
      const target = orthogonality(await takeToHost(standard(x)));
      const best = await cheapest(x, FAST_METHODS, orthogonality, target);
      return {
        ours: ours(nameOf(best), x, best, orthogonality),
        peers: [
          onDevice('ours, muon, 5 steps', x, standard, orthogonality),
          await plainTfjs(input, 'ops, 5 steps', orthogonality),
          ...(await torch(context, input, { method: 'muon', steps: 5 }, orthogonality)),
        ],
        dispose: () => x.dispose(),
      };
    },
  };
}

/** Time until orthogonal to 1e-3: here the peers are exact methods, since the standard quintic never gets there. */
function tightCase(context: BenchContext, shape: Shape): BenchCase {
  return {
    name: `newton-schulz/orthogonal-to-${TIGHT}`,
    size: describe(shape),
    errorMeasure: ORTHOGONALITY,
    async prepare(): Promise<PreparedCase> {
      const input = gaussian(context, shape);
      const x = toDevice(input);
      const best = await cheapest(x, CONVERGENT_METHODS, orthogonality, TIGHT);
      const short = Math.min(...shape.slice(-2));
      return {
        ours: ours(nameOf(best), x, best, orthogonality),
        peers: [
          short <= LARGEST_SVD
            ? svdInJavaScript(input, orthogonality)
            : { name: SVD_NAME, absent: `takes too long beyond a short side of ${LARGEST_SVD}` },
          ...(await torch(context, input, { method: 'svd' }, orthogonality)),
        ],
        dispose: () => x.dispose(),
      };
    },
  };
}

export const bench: Bench = {
  name: 'newton-schulz',
  description: 'orthogonalisation against plain tfjs, PyTorch and exact SVDs; time to equal error',
  cases(context) {
    const shapes = context.quick ? QUICK_SHAPES : FULL_SHAPES;
    const wide = shapes.filter((shape) => shape.at(-1)! !== shape.at(-2)!);
    return [
      ...shapes.map((shape) => iterationCase(context, shape)),
      ...wide.map((shape) => formCase(context, shape)),
      ...shapes.map((shape) => equalErrorCase(context, shape)),
      ...shapes.map((shape) => tightCase(context, shape)),
    ];
  },
};
