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

/** `[a, b, c]` or `[a, b]`: a step maps `X` to `(a I + b A + c A²) X` with `A = X Xᵀ` on the short side. */
type Row = readonly number[];

/** Attributes of `newton-schulz/iterate`. */
interface IterateAttributes {
  readonly coefficients: readonly Row[];
  readonly form: 'auto' | 'standard' | 'gram';
  readonly restarts: readonly number[];
}

type OrthogonalizeAttributes = IterateAttributes & Normalization;

/** The Gram matrix of the short side. */
function gram(g: GraphBuilder, X: Value, tall: boolean): Value {
  return g.gemm(X, X, tall ? { transposeA: true } : { transposeB: true });
}

/** `factor · Y` on the short side, times `alpha`, plus `beta · add`. */
function apply(
  g: GraphBuilder,
  factor: Value,
  X: Value,
  tall: boolean,
  sum: { alpha?: number; add?: Value; beta?: number } = {},
): Value {
  return tall ? g.gemm(X, factor, sum) : g.gemm(factor, X, sum);
}

/**
 * What `a I + b A + c A²` multiplies with beside `a`: a matrix `B` and a factor on it. Left of the product stays
 * `P Y = a Y + factor · B Y`, so that the identity never appears.
 */
function step(g: GraphBuilder, A: Value, [, b = 0, c = 0]: Row): { B: Value; factor: number } {
  if (c === 0) return { B: A, factor: b };
  return { B: g.gemm(A, A, { alpha: c, add: A, beta: b }), factor: 1 };
}

function standardForm(
  g: GraphBuilder,
  X0: Value,
  G: Value | undefined,
  rows: readonly Row[],
  tall: boolean,
) {
  return rows.reduce((X, row, t) => {
    const A = t === 0 && G ? G : gram(g, X, tall);
    const { B, factor } = step(g, A, row);
    return apply(g, B, X, tall, { alpha: factor, add: X, beta: row[0]! });
  }, X0);
}

/** A run of the Gram form: `Q ← P Q`, `R ← P R P`; all these matrices commute. */
function gramFactor(g: GraphBuilder, R0: Value, rows: readonly Row[]): Value {
  let R = R0;
  let Q: Value | undefined;
  rows.forEach((row, t) => {
    const a = row[0]!;
    const { B, factor } = step(g, R, row);
    if (Q) {
      Q = g.gemm(B, Q, { alpha: factor, add: Q, beta: a });
    } else {
      const identity = g.op('Mul', [g.op('EyeLike', [R]), g.scalar(a)]);
      const scaled = factor === 1 ? B : g.op('Mul', [B, g.scalar(factor)]);
      Q = g.op('Add', [scaled, identity]);
    }
    if (t === rows.length - 1) return;
    const RP = g.gemm(R, B, { alpha: factor, add: R, beta: a });
    R = g.gemm(B, RP, { alpha: factor, add: RP, beta: a });
  });
  return Q!;
}

function gramForm(
  g: GraphBuilder,
  X0: Value,
  G: Value | undefined,
  { coefficients, restarts }: IterateAttributes,
  tall: boolean,
): Value {
  const bounds = [0, ...restarts, coefficients.length];
  return bounds.slice(1).reduce((X, end, run) => {
    const R = run === 0 && G ? G : gram(g, X, tall);
    return apply(g, gramFactor(g, R, coefficients.slice(bounds[run], end)), X, tall);
  }, X0);
}

/** The form with fewer multiplications for `k × l` matrices, counted without symmetry: general products are as fast. */
function cheaperForm(k: number, l: number, { coefficients, restarts }: IterateAttributes) {
  const steps = coefficients.length;
  const quintics = coefficients.filter(([, , c = 0]) => c !== 0).length;
  const runs = restarts.length + 1;
  const standard = 2 * steps * k * k * l + quintics * k ** 3;
  const gramCount = 2 * runs * k * k * l + (quintics + 3 * (steps - runs)) * k ** 3;
  return gramCount < standard ? 'gram' : 'standard';
}

function iterateGraph(
  attributes: IterateAttributes,
  start: Normalization | undefined,
  form: string,
  tall: boolean,
  hasGram: boolean,
): OnnxGraph {
  const g = new GraphBuilder(hasGram ? ['X', 'G'] : ['X']);
  const normalized = start
    ? normalize(g, 'X', tall, start)
    : { X: 'X', gram: hasGram ? 'G' : undefined };
  const { X, gram: G } = normalized;
  return g.build(
    form === 'gram'
      ? gramForm(g, X, G, attributes, tall)
      : standardForm(g, X, G, attributes.coefficients, tall),
  );
}

/** Runs the chain over a batch `[b, m, n]`, matrix by matrix. */
function run(inputs: Tensor[], attributes: IterateAttributes, start?: Normalization): Tensor {
  const [X, G] = inputs as [Tensor, Tensor?];
  const [count, m, n] = X.shape as [number, number, number];
  const [k, l] = [Math.min(m, n), Math.max(m, n)];
  const tall = m > n;
  const form = attributes.form === 'auto' ? cheaperForm(k, l, attributes) : attributes.form;
  const { foreign, onnx } = nativeRuntime();
  const key = JSON.stringify([
    'newtonSchulz',
    attributes.coefficients,
    form === 'gram' ? attributes.restarts : form,
    tall,
    G !== undefined,
    start ?? null,
  ]);
  const program = onnx.program(key, () =>
    iterateGraph(attributes, start, form, tall, G !== undefined),
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
