/**
 * The fused operations of `@orth/newton-schulz`: all steps, and the normalisation, queued without reading anything back.
 * A batch of matrices is one product at a time.
 *
 * The operations are defined there; what is repeated here is their contract, since a backend depends on no algorithm.
 */
import { registerFusedKernel } from '@orth/backend';
import { engine, type Tensor, type TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { BACKEND, type Workspace, withWorkspace } from '../kernels/kernel.js';
import { Chain } from './chain.js';
import { type Batch, type Normalization, normalize } from './normalize.js';

/** `[a, b, c]` or `[a, b]`: a step maps `X` to `(a I + b A + c A²) X` with `A = X Xᵀ` on the short side. */
type Row = readonly number[];

/** Attributes of `newton-schulz/iterate`. */
interface IterateAttributes {
  readonly coefficients: readonly Row[];
  readonly form: 'auto' | 'standard' | 'gram';
  readonly restarts: readonly number[];
}

type OrthogonalizeAttributes = IterateAttributes & Normalization;

/** Scratch matrices by address: two of the batch, six on the short side. */
type Scratch = readonly number[];

/**
 * What `a I + b A + c A²` multiplies with beside `a`: a matrix `B` and a factor on it. So a product stays
 * `P Y = a Y + factor · B Y`, and the identity never appears.
 */
function step(chain: Chain, A: number, [, b = 0, c = 0]: Row, into: number) {
  if (c === 0) return { B: A, factor: b };
  chain.product(A, A, into, c, A, b);
  return { B: into, factor: 1 };
}

/** Returns where the result is. */
function standardForm(
  chain: Chain,
  X0: number,
  gram: number | undefined,
  rows: readonly Row[],
  [first, second, A, B]: Scratch,
): number {
  return rows.reduce((X, row, t) => {
    if (t > 0 || gram === undefined) chain.gram(X, A!);
    const terms = step(chain, t === 0 && gram !== undefined ? gram : A!, row, B!);
    const next = X === first ? second! : first!;
    chain.apply(terms.B, X, next, terms.factor, row[0]!);
    return next;
  }, X0);
}

/** A run of the Gram form: `Q ← P Q`, `R ← P R P`; all these matrices commute. Returns where `Q` is. */
function gramFactor(chain: Chain, R0: number, rows: readonly Row[], scratch: Scratch): number {
  const [, , R1, B, Q1, Q2, RP, R2] = scratch as number[];
  let R = R0;
  let Q: number | undefined;
  rows.forEach((row, t) => {
    const a = row[0]!;
    const terms = step(chain, R, row, B!);
    const next = Q === Q1 ? Q2! : Q1!;
    if (Q === undefined) chain.shift(terms.B, next, terms.factor, a);
    else chain.product(terms.B, Q, next, terms.factor, Q, a);
    Q = next;
    if (t === rows.length - 1) return;
    chain.product(R, terms.B, RP!, terms.factor, R, a);
    const nextR = R === R1 ? R2! : R1!;
    chain.product(terms.B, RP!, nextR, terms.factor, RP, a);
    R = nextR;
  });
  return Q!;
}

function gramForm(
  chain: Chain,
  X0: number,
  gram: number | undefined,
  { coefficients, restarts }: IterateAttributes,
  scratch: Scratch,
): number {
  const [first, second, R] = scratch;
  const bounds = [0, ...restarts, coefficients.length];
  return bounds.slice(1).reduce((X, end, run) => {
    const given = run === 0 ? gram : undefined;
    if (given === undefined) chain.gram(X, R!);
    const Q = gramFactor(chain, given ?? R!, coefficients.slice(bounds[run], end), scratch);
    const next = X === first ? second! : first!;
    chain.apply(Q, X, next);
    return next;
  }, X0);
}

/** The form with fewer multiplications; cuBLAS gains nothing from symmetry. */
function cheaperForm({ m, n, k }: Batch, { coefficients, restarts }: IterateAttributes) {
  const long = Math.max(m, n);
  const steps = coefficients.length;
  const quintics = coefficients.filter(([, , c = 0]) => c !== 0).length;
  const runs = restarts.length + 1;
  const standard = 2 * steps * long + quintics * k;
  return 2 * runs * long + (quintics + 3 * (steps - runs)) * k < standard ? 'gram' : 'standard';
}

/** The precision of `options.orthogonalizePrecision` for the steps; the normalisation stays in float32. */
function iterate(
  backend: CudaBackend,
  batch: Batch,
  X: TensorInfo,
  gram: TensorInfo | undefined,
  attributes: IterateAttributes,
): TensorInfo {
  const chain = new Chain(backend, batch, backend.options.orthogonalizePrecision);
  const form = attributes.form === 'auto' ? cheaperForm(batch, attributes) : attributes.form;
  const out = backend.makeOutput(X.shape, 'float32');
  const { bytes, size, squareSize } = chain;
  const converts = chain.storage !== 'float';
  const matrices = [size, size, ...new Array<number>(form === 'gram' ? 6 : 2).fill(squareSize)];
  const inputs = converts ? [size, ...(gram ? [squareSize] : [])] : [];
  backend.withScratch(
    [...matrices, ...inputs].map((count) => count * bytes),
    (...addresses) => {
      const scratch = addresses.slice(0, matrices.length);
      const given = addresses.slice(matrices.length);
      let [x, g] = [backend.address(X), gram && backend.address(gram)];
      if (converts) {
        chain.convert(x, given[0]!, size, 'in');
        if (g !== undefined) chain.convert(g, given[1]!, squareSize, 'in');
        [x, g] = [given[0]!, g === undefined ? undefined : given[1]];
      }
      const result =
        form === 'gram'
          ? gramForm(chain, x, g, attributes, scratch)
          : standardForm(chain, x, g, attributes.coefficients, scratch);
      if (converts) chain.convert(result, backend.address(out), size, 'out');
      else backend.driver.copy(backend.address(out), result, size * bytes);
    },
  );
  return out;
}

/** Runs the chain over a batch `[b, m, n]`. */
function run(inputs: Tensor[], attributes: IterateAttributes, start?: Normalization): Tensor {
  const [X, gram] = inputs as [Tensor, Tensor?];
  const [count, m, n] = X.shape as [number, number, number];
  const batch: Batch = { count, m, n, k: Math.min(m, n) };
  const backend = engine().backend as CudaBackend;
  const out = backend.atomically(() => {
    if (count * m * n === 0) return backend.makeOutput(X.shape, 'float32');
    if (!start) return iterate(backend, batch, X, gram, attributes);
    return withWorkspace(backend, (space) => {
      const products = float32Products(backend, space, batch);
      const normalized = normalize(backend, space, X, batch, start, products);
      return iterate(backend, batch, normalized.X, normalized.gram, attributes);
    });
  });
  return engine().makeTensorFromTensorInfo(out);
}

/** Products for the normalisation, into tensors of their own. */
function float32Products(backend: CudaBackend, space: Workspace, batch: Batch) {
  const chain = new Chain(backend, batch, backend.options.tf32 ? 'tf32' : 'float32');
  const make = () => space.keep(backend.makeOutput([batch.count, batch.k, batch.k], 'float32'));
  const at = (info: TensorInfo) => backend.address(info);
  return {
    square(A: TensorInfo) {
      const out = make();
      chain.product(at(A), at(A), at(out));
      return out;
    },
    gram(X: TensorInfo) {
      const out = make();
      chain.gram(at(X), at(out));
      return out;
    },
  };
}

/**
 * Registers both operations; `orthogonalize` encloses `iterate`, which others may call alone.
 * @returns a function that removes them again
 */
export function registerNewtonSchulz(): () => void {
  const removers = [
    registerFusedKernel<IterateAttributes>('newton-schulz/iterate', BACKEND, (inputs, attributes) =>
      run(inputs, attributes),
    ),
    registerFusedKernel<OrthogonalizeAttributes>(
      'newton-schulz/orthogonalize',
      BACKEND,
      (inputs, attributes) => {
        const { normalization, safety, epsilon, epsilonMode } = attributes;
        return run(inputs, attributes, { normalization, safety, epsilon, epsilonMode });
      },
    ),
  ];
  return () => {
    for (const remove of removers) remove();
  };
}
