/**
 * The fused operations of `@orth/newton-schulz`, each matrix of a batch in one native call: the normalisation and all
 * steps are one graph, and every sum of a step is folded into a product (`Gemm` adds `beta · C` in its own pass).
 *
 * The operations are defined there; what is repeated here is their contract, since a backend depends on no algorithm.
 */
import { registerFusedKernel } from '@orth/backend';
import { engine, type Tensor } from '@tensorflow/tfjs-core';
import { type HeapBackend, heapAddress, offsetOf } from '../heap.js';
import { BACKEND } from '../kernels/kernel.js';
import { GraphBuilder, type Value } from '../native/graphBuilder.js';
import type { OnnxGraph } from '../native/onnxModel.js';
import { nativeRuntime } from '../runtime.js';
import { type Normalization, normalize } from './normalize.js';
import {
  blockSizes,
  fromMatrix,
  gram,
  mapBlocks,
  product,
  type Symmetric,
  symmetricShare,
  toMatrix,
} from './symmetric.js';

/** `[a, b, c]` or `[a, b]`: a step maps `X` to `(a I + b A + c A²) X` with `A = X Xᵀ` on the short side. */
type Row = readonly number[];

/** Attributes of `newton-schulz/iterate`. */
interface IterateAttributes {
  readonly coefficients: readonly Row[];
  readonly form: 'auto' | 'standard' | 'gram';
  readonly restarts: readonly number[];
}

type OrthogonalizeAttributes = IterateAttributes & Normalization;

/** A matrix under iteration, wide or tall, and how its short side is cut into blocks. */
interface Side {
  readonly tall: boolean;
  readonly sizes: readonly number[];
}

/** `alpha · factor Y + beta · add` on the short side. */
function apply(
  g: GraphBuilder,
  factor: Value,
  X: Value,
  { tall }: Side,
  sum: { alpha?: number; add?: Value; beta?: number } = {},
): Value {
  return tall ? g.gemm(X, factor, sum) : g.gemm(factor, X, sum);
}

/**
 * What `a I + b A + c A²` multiplies with beside `a`: a matrix `B` and a factor on it. So a product stays
 * `P Y = a Y + factor · B Y`, and the identity never appears.
 */
function step(g: GraphBuilder, A: Symmetric, [, b = 0, c = 0]: Row) {
  if (c === 0) return { B: A, factor: b };
  return { B: product(g, A, A, { alpha: c, add: A, beta: b }), factor: 1 };
}

function standardForm(
  g: GraphBuilder,
  X0: Value,
  G: Symmetric | undefined,
  rows: readonly Row[],
  side: Side,
): Value {
  return rows.reduce((X, row, t) => {
    const A = t === 0 && G ? G : gram(g, X, side.tall, side.sizes);
    const { B, factor } = step(g, A, row);
    return apply(g, toMatrix(g, B), X, side, { alpha: factor, add: X, beta: row[0]! });
  }, X0);
}

/** A run of the Gram form: `Q ← P Q`, `R ← P R P`; all these matrices commute. */
function gramFactor(g: GraphBuilder, R0: Symmetric, rows: readonly Row[]): Symmetric {
  let R = R0;
  let Q: Symmetric | undefined;
  rows.forEach((row, t) => {
    const a = row[0]!;
    const { B, factor } = step(g, R, row);
    Q = Q
      ? product(g, B, Q, { alpha: factor, add: Q, beta: a })
      : mapBlocks(B, (block, diagonal) => polynomialBlock(g, block, diagonal, factor, a));
    if (t === rows.length - 1) return;
    const RP = product(g, R, B, { alpha: factor, add: R, beta: a });
    R = product(g, B, RP, { alpha: factor, add: RP, beta: a });
  });
  return Q!;
}

/** A block of `a I + factor · B`. */
function polynomialBlock(
  g: GraphBuilder,
  block: Value,
  diagonal: boolean,
  factor: number,
  a: number,
): Value {
  const scaled = factor === 1 ? block : g.op('Mul', [block, g.scalar(factor)]);
  if (!diagonal) return scaled;
  return g.op('Add', [scaled, g.op('Mul', [g.op('EyeLike', [block]), g.scalar(a)])]);
}

function gramForm(
  g: GraphBuilder,
  X0: Value,
  G: Symmetric | undefined,
  { coefficients, restarts }: IterateAttributes,
  side: Side,
): Value {
  const bounds = [0, ...restarts, coefficients.length];
  return bounds.slice(1).reduce((X, end, run) => {
    const R = run === 0 && G ? G : gram(g, X, side.tall, side.sizes);
    const Q = gramFactor(g, R, coefficients.slice(bounds[run], end));
    return apply(g, toMatrix(g, Q), X, side);
  }, X0);
}

/** The form with fewer multiplications for `k × l` matrices; a symmetric product takes `share` of a general one. */
function cheaperForm(
  k: number,
  l: number,
  share: number,
  { coefficients, restarts }: IterateAttributes,
) {
  const steps = coefficients.length;
  const quintics = coefficients.filter(([, , c = 0]) => c !== 0).length;
  const runs = restarts.length + 1;
  const [long, square] = [(1 + share) * k * k * l, share * k ** 3];
  const standard = steps * long + quintics * square;
  return runs * long + (quintics + 3 * (steps - runs)) * square < standard ? 'gram' : 'standard';
}

function iterateGraph(
  attributes: IterateAttributes,
  start: Normalization | undefined,
  form: string,
  side: Side,
  hasGram: boolean,
): OnnxGraph {
  const g = new GraphBuilder(hasGram ? ['X', 'G'] : ['X']);
  const normalized = start
    ? normalize(g, 'X', side.tall, start)
    : { X: 'X', gram: hasGram ? 'G' : undefined };
  const { X } = normalized;
  const G = normalized.gram === undefined ? undefined : fromMatrix(g, normalized.gram, side.sizes);
  return g.build(
    form === 'gram'
      ? gramForm(g, X, G, attributes, side)
      : standardForm(g, X, G, attributes.coefficients, side),
  );
}

/** Runs the chain over a batch `[b, m, n]`, matrix by matrix. */
function run(inputs: Tensor[], attributes: IterateAttributes, start?: Normalization): Tensor {
  const [X, G] = inputs as [Tensor, Tensor?];
  const [count, m, n] = X.shape as [number, number, number];
  const [k, l] = [Math.min(m, n), Math.max(m, n)];
  const tall = m > n;
  const { foreign, onnx } = nativeRuntime();
  const sizes = blockSizes(k, onnx.threads);
  const share = symmetricShare(sizes.length);
  const form = attributes.form === 'auto' ? cheaperForm(k, l, share, attributes) : attributes.form;
  const key = JSON.stringify([
    'newtonSchulz',
    attributes.coefficients,
    form === 'gram' ? attributes.restarts : form,
    tall,
    sizes.length > 1 ? k : 0,
    G !== undefined,
    start ?? null,
  ]);
  const program = onnx.program(key, () =>
    iterateGraph(attributes, start, form, { tall, sizes }, G !== undefined),
  );
  const backend = engine().backend as HeapBackend;
  const out = backend.makeOutput(X.shape, 'float32');
  const base = heapAddress(foreign, backend);
  const matrix = (info: { dataId: object }, i: number, rows: number, columns: number) => ({
    address: base + offsetOf(backend, info as never) + 4 * i * rows * columns,
    shape: [rows, columns],
  });
  for (let i = 0; i < count; i++) {
    program([matrix(X, i, m, n), ...(G ? [matrix(G, i, k, k)] : [])], [matrix(out, i, m, n)]);
  }
  return engine().makeTensorFromTensorInfo(out);
}

/** Registers both operations; `orthogonalize` encloses `iterate`, which others may call alone. */
export function registerNewtonSchulz(): void {
  registerFusedKernel<IterateAttributes>('newton-schulz/iterate', BACKEND, (inputs, attributes) =>
    run(inputs, attributes),
  );
  registerFusedKernel<OrthogonalizeAttributes>(
    'newton-schulz/orthogonalize',
    BACKEND,
    (inputs, attributes) => {
      const { normalization, safety, epsilon, epsilonMode } = attributes;
      return run(inputs, attributes, { normalization, safety, epsilon, epsilonMode });
    },
  );
}
