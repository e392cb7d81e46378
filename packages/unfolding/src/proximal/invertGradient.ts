/** Inversion of the gradient of a convex function, for a batch: minimises ψ(y) − ⟨x, y⟩. */
import {
  checkFinite,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import {
  add,
  cast,
  dispose,
  div,
  grad,
  maximum,
  mul,
  neg,
  reshape,
  step,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Options of inversion. */
export interface InvertOptions {
  /**
   * `'newton'`: Newton's method, its systems solved by conjugate gradients with Hessian-vector products; `'cg'`:
   * nonlinear conjugate gradients (Polak–Ribière), the authors' choice. Default `'newton'`
   */
  readonly method?: 'newton' | 'cg';
  /** Default 50 for `'newton'`, 500 for `'cg'` */
  readonly maxIterations?: number;
  /** Of `‖f(y) − x‖ / max(‖x‖, 1)`, > 0. Default 1e-4 */
  readonly tolerance?: number;
  /** Start, shape of `x`. Default `x` */
  readonly y0?: Tensor;
}

/** What inversion found. */
export interface InvertResult {
  /** Shape of `x`; the caller disposes it. */
  readonly y: Tensor;
  /** `‖f(y) − x‖` of each sample. */
  readonly residual: Float32Array;
  /** Whether the residual is within the tolerance, for each sample. */
  readonly converged: readonly boolean[];
  /** Directions tried. */
  readonly iterations: number;
}

/** Steps of conjugate gradients for one Newton direction at most. */
const INNER = 50;
/** Directions without a smaller residual after which rounding is all that is left. */
const PATIENCE = 6;
const TINY = 1e-30;

const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b), 1, true);

/** Finds y with `f(y) = x`; `f` maps `[B, …]` to itself and is the gradient of a convex function. */
export async function invertGradient(
  caller: string,
  f: (y: Tensor) => Tensor,
  x: Tensor,
  options: InvertOptions,
): Promise<InvertResult> {
  checkOptions(caller, options, ['method', 'maxIterations', 'tolerance', 'y0']);
  const { method = 'newton', tolerance = 1e-4, y0 = x } = options;
  checkOneOf(caller, 'method', method, ['newton', 'cg']);
  const { maxIterations = method === 'newton' ? 50 : 500 } = options;
  checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  checkTensor(caller, 'y0', y0, { shape: x.shape });
  checkFinite(caller, 'x', await x.data());
  if (y0 !== x) checkFinite(caller, 'y0', await y0.data());

  const B = x.shape[0]!;
  const flatShape: [number, number] = [B, x.size / B];
  const flat = (t: Tensor) => reshape(t, flatShape) as Tensor2D;
  const F = (y: Tensor) => flat(f(reshape(y, x.shape)));
  const target = flat(x);
  /** Hessian-vector product: the Hessian is symmetric, so a gradient of ⟨f(y), v⟩ will do. */
  const H = (y: Tensor, v: Tensor) => grad((u: Tensor) => sum(mul(F(u), v)))(y);

  let y = tidy(() => flat(y0).clone()) as Tensor;
  let g = tidy(() => sub(F(y), target));
  let previous: { g: Tensor; p: Tensor } | undefined;
  const scales = await norms(target);
  const limits = scales.map((s) => tolerance * Math.max(s, 1));
  let residual = await norms(g);
  let best: Best = { y: y.clone(), residual: residual.slice() };
  let idle = 0;
  let iterations = 0;
  try {
    while (
      iterations < maxIterations &&
      idle < PATIENCE &&
      !residual.every((r, i) => r <= limits[i]!)
    ) {
      iterations += 1;
      const { p, start } = await direction(method, H, y, g, previous);
      const steps = await search(F, target, y, g, p, start);
      const [y1, g1] = tidy(() => {
        const y1 = add(y, mul(p, tensor2d(steps, [B, 1])));
        return [y1, sub(F(y1), target)];
      }) as [Tensor, Tensor];
      dispose([y, ...(previous ? [previous.g, previous.p] : [])]);
      previous = { g, p };
      [y, g] = [y1, g1];
      residual = await norms(g);
      const better = residual.map((r, i) => Number(r < best.residual[i]!));
      idle = better.some((b) => b === 1) ? 0 : idle + 1;
      best = keepBetter(best, y, residual, better);
    }
    const { y: found, residual: r } = best;
    return {
      y: tidy(() => reshape(found, x.shape).clone()),
      residual: r,
      converged: Array.from(r, (value, i) => value <= limits[i]!),
      iterations,
    };
  } finally {
    dispose([target, y, g, best.y, ...(previous ? [previous.g, previous.p] : [])]);
  }
}

async function norms(x: Tensor): Promise<Float32Array> {
  const squares = tidy(() => dot(x, x));
  const values = (await squares.data()) as Float32Array;
  squares.dispose();
  return values.map(Math.sqrt);
}

interface Best {
  readonly y: Tensor;
  readonly residual: Float32Array;
}

/** The samples that got better. */
function keepBetter(best: Best, y: Tensor, residual: Float32Array, better: Float32Array): Best {
  const next = tidy(() => where(tensor2d(better, [better.length, 1], 'bool'), y, best.y));
  best.y.dispose();
  return { y: next, residual: best.residual.map((r, i) => (better[i] ? residual[i]! : r)) };
}

/** A direction of descent, and the first step to try along it. */
async function direction(
  method: 'newton' | 'cg',
  H: (y: Tensor, v: Tensor) => Tensor,
  y: Tensor,
  g: Tensor,
  previous: { g: Tensor; p: Tensor } | undefined,
): Promise<{ p: Tensor; start: Float32Array }> {
  const [B, n] = g.shape as [number, number];
  if (method === 'newton') {
    return { p: await newton(H, y, g, n), start: new Float32Array(B).fill(1) };
  }
  const [p, step] = tidy(() => {
    let p = neg(g);
    if (previous) {
      const beta = div(dot(g, sub(g, previous.g)), maximum(dot(previous.g, previous.g), TINY));
      const tried = add(p, mul(previous.p, maximum(beta, 0)));
      // Where that is no descent the direction is −g again.
      p = where(downhill(tried, g), tried, p);
    }
    const curvature = dot(p, H(y, p));
    return [p, div(neg(dot(g, p)), maximum(curvature, TINY))];
  }) as [Tensor, Tensor];
  const start = (await step.data()) as Float32Array;
  step.dispose();
  return { p, start: start.map((t) => Math.min(t, 1e6)) };
}

const downhill = (p: Tensor, g: Tensor) => cast(step(neg(dot(p, g))), 'bool');

/** `H p = −g` by conjugate gradients; a sample stops where the curvature vanishes or it is solved. */
async function newton(
  H: (y: Tensor, v: Tensor) => Tensor,
  y: Tensor,
  g: Tensor,
  n: number,
): Promise<Tensor> {
  let p = zerosLike(g);
  let r = neg(g);
  let d = r.clone();
  let rr = tidy(() => dot(r, r));
  const first = (await rr.data()) as Float32Array;
  for (let i = 0; i < Math.min(n, INNER); i++) {
    const [p1, r1, d1, rr1] = tidy(() => {
      const Hd = H(y, d);
      const curvature = dot(d, Hd);
      // d is the residual at first, so that its share of curvature tells flat directions.
      const alive = step(sub(curvature, mul(dot(d, d), 1e-7)));
      const a = mul(alive, div(rr, maximum(curvature, TINY)));
      const p1 = add(p, mul(d, a));
      const r1 = sub(r, mul(Hd, a));
      const rr1 = mul(dot(r1, r1), alive);
      return [p1, r1, add(r1, mul(d, div(rr1, maximum(rr, TINY)))), rr1];
    }) as [Tensor, Tensor, Tensor, Tensor];
    dispose([p, r, d, rr]);
    [p, r, d, rr] = [p1, r1, d1, rr1];
    if (i % 5 !== 4) continue;
    const now = await rr.data();
    if (now.every((value, b) => value <= 1e-6 * first[b]!)) break;
  }
  // A flat start leaves p at 0: the gradient itself then.
  const result = tidy(() => where(cast(step(dot(p, p)), 'bool'), p, neg(g)));
  dispose([p, r, d, rr]);
  return result;
}

/**
 * Step lengths: along p the derivative `⟨f(y + t p) − x, p⟩` rises from below 0, and is known far better than the
 * function in float32. A step is taken once the derivative is at most half of what it was, in absolute value.
 */
async function search(
  F: (y: Tensor) => Tensor,
  target: Tensor,
  y: Tensor,
  g: Tensor,
  p: Tensor,
  start: Float32Array,
): Promise<Float32Array> {
  const B = start.length;
  const slopeAt = async (t: Float32Array) => {
    const slope = tidy(() => dot(sub(F(add(y, mul(p, tensor2d(t, [B, 1])))), target), p));
    const values = await slope.data();
    slope.dispose();
    return values;
  };
  const initial = tidy(() => dot(g, p));
  const s0 = await initial.data();
  initial.dispose();
  const t = start.slice();
  const low = new Float32Array(B);
  const lowSlope = Float32Array.from(s0);
  const high = new Float32Array(B).fill(Infinity);
  for (let tries = 0; tries < 12; tries++) {
    const slopes = await slopeAt(t);
    let open = false;
    for (let b = 0; b < B; b++) {
      const s = slopes[b]!;
      if (Math.abs(s) <= 0.5 * Math.abs(s0[b]!)) continue;
      open = true;
      if (s > 0 || !Number.isFinite(s)) {
        high[b] = t[b]!;
        const width = high[b]! - low[b]!;
        const secant = Number.isFinite(s) ? -lowSlope[b]! / (s - lowSlope[b]!) : 0.1;
        t[b] = low[b]! + width * Math.min(Math.max(secant, 0.1), 0.9);
      } else {
        low[b] = t[b]!;
        lowSlope[b] = s;
        t[b] = Number.isFinite(high[b]!) ? (low[b]! + high[b]!) / 2 : 2 * t[b]!;
      }
    }
    if (!open) return t;
  }
  // What is still open stays where the derivative was below 0.
  return t.map((value, b) => (low[b]! > 0 ? low[b]! : value));
}
