import { checkNumber, checkOptions } from '@orth/backend';
import {
  add,
  clone,
  div,
  maximum,
  mul,
  type NamedTensorMap,
  type Scalar,
  scalar,
  sqrt,
  square,
  sub,
  sum,
  Tensor,
  tidy,
  Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';

/** The variables of a surrogate: a list, or a tf.layers model. */
export type SurrogateVariables =
  | readonly Variable[]
  | { readonly trainableWeights: readonly { read(): Tensor }[] };

/** Options of {@link sharpnessGradients}. */
export interface SharpnessOptions {
  /** ρ > 0: radius of the ball over which the mean prediction should not change. Default 0.05 */
  readonly rho?: number;
  /** r > 0: length of the finite difference that stands for the norm's gradient. Default 0.05; below 1e−3 float32 fails */
  readonly r?: number;
}

/** What {@link sharpnessGradients} gives; the caller disposes all of it. */
export interface SharpnessGradients {
  /** The base loss. */
  readonly loss: Scalar;
  /** Gradients of `loss + λ ρ ‖∇G‖` by variable name, for all that the loss depends on. */
  readonly gradients: NamedTensorMap;
  /** ‖∇G‖ before the step. */
  readonly gradientNorm: Scalar;
  /** ∇G by variable name, for all that the mean prediction depends on. */
  readonly predictionGradients: NamedTensorMap;
  /** The gradient of ‖∇G‖, `(∇G(θ + r v/‖v‖) − v) / r`, v = ∇G; empty where λ is 0. */
  readonly normGradients: NamedTensorMap;
}

/** Below this norm there is no direction to look along, and the regulariser is left out. */
const LEAST_NORM = 1e-12;

function listVariables(caller: string, source: SurrogateVariables): Variable[] {
  const list =
    'trainableWeights' in source ? source.trainableWeights.map((w) => w.read()) : [...source];
  if (list.length === 0 || !list.every((v) => v instanceof Variable && v.trainable)) {
    throw new TypeError(
      `${caller}: variables must be trainable variables, one or more, or a tf.layers model`,
    );
  }
  return list as Variable[];
}

/**
 * Gradients of a function that must give a scalar. What it gives otherwise is summed up first: tfjs keeps what it saved for
 * a backward pass that an error prevents.
 */
function gradientsOf(
  caller: string,
  argument: string,
  f: () => Tensor,
  list: readonly Variable[],
): { value: Scalar; grads: NamedTensorMap } {
  if (typeof f !== 'function') throw new TypeError(`${caller}: ${argument} must be a function`);
  let shape: number[] = [];
  const summed = () => {
    const value = f();
    if (!(value instanceof Tensor)) {
      throw new TypeError(`${caller}: ${argument} must give a scalar, got ${typeof value}`);
    }
    shape = value.shape;
    return (value.rank === 0 ? value : sum(value)) as Scalar;
  };
  const { value, grads } = variableGrads(summed, [...list]);
  if (shape.length > 0) {
    throw new RangeError(`${caller}: ${argument} must give a scalar, got shape [${shape}]`);
  }
  // Variables without a path to the value have no gradient.
  const present = Object.entries(grads).filter(([, g]) => g instanceof Tensor);
  return { value, grads: Object.fromEntries(present) };
}

/** One sum after another: on WebGPU tfjs's `addN` binds all at once, and devices allow no more than 7 and a result. */
const normOf = (gradients: NamedTensorMap): Scalar =>
  sqrt(
    Object.values(gradients).reduce<Scalar>((total, g) => add(total, sum(square(g))), scalar(0)),
  );

/**
 * Gradients of a base loss with IGNITE's regulariser: `∇L + λ ρ (∇G(θ + r v/‖v‖) − v) / r`, where `G` is the mean prediction
 * and `v = ∇G(θ)`. Variables are moved for the second gradient and put back from a copy: they end exactly as they began.
 *
 * Three gradients, two where λ is 0. `meanPrediction` is called twice and must use the same batch, and the same masks of
 * dropout, both times. Nothing is read from the device.
 *
 * @param variables - θ
 * @param baseLoss - gives a scalar
 * @param meanPrediction - gives the mean of the surrogate's predictions on the batch, without noise on inputs
 * @param lambda - λ
 * @throws TypeError for variables or options of another kind; RangeError for rho <= 0, r <= 0, or no scalar
 * @see Dao et al. 2024, arXiv 2503.04242, and its repository
 */
export function sharpnessGradients(
  variables: SurrogateVariables,
  baseLoss: () => Tensor,
  meanPrediction: () => Tensor,
  lambda: number,
  options: SharpnessOptions = {},
): SharpnessGradients {
  const caller = 'sharpnessGradients';
  const list = listVariables(caller, variables);
  const { rho, r } = resolveSharpness(caller, options);
  checkNumber(caller, 'lambda', lambda);
  const slopes = (at: readonly Variable[]) =>
    gradientsOf(caller, 'meanPrediction', meanPrediction, at).grads;
  const results = tidy(() => {
    const { value, grads: gradients } = gradientsOf(caller, 'baseLoss', baseLoss, list);
    const v = slopes(list);
    const norm = normOf(v);
    let normGradients: NamedTensorMap = {};
    if (lambda !== 0) {
      const moved = movedGradients(list, v, norm, slopes, r);
      normGradients = Object.fromEntries(
        Object.entries(v).map(([name, g]) => [name, div(sub(moved[name]!, g), r)]),
      );
      for (const [name, g] of Object.entries(normGradients)) {
        const term = mul(g, lambda * rho);
        gradients[name] = gradients[name] ? add(gradients[name]!, term) : term;
      }
    }
    return { loss: value, norm, gradients, v, normGradients };
  });
  return {
    loss: results.loss,
    gradients: results.gradients,
    gradientNorm: results.norm,
    predictionGradients: results.v,
    normGradients: results.normGradients,
  };
}

/** Gradients of the mean prediction at `θ + r v/‖v‖`. */
function movedGradients(
  list: readonly Variable[],
  v: NamedTensorMap,
  norm: Scalar,
  slopes: (at: readonly Variable[]) => NamedTensorMap,
  r: number,
): NamedTensorMap {
  const step = div(scalar(r), maximum(norm, LEAST_NORM));
  const moving = list.filter(({ name }) => v[name]);
  const copies = moving.map((x) => clone(x as Tensor));
  try {
    for (const [i, x] of moving.entries()) x.assign(add(copies[i]!, mul(v[x.name]!, step)));
    return slopes(moving);
  } finally {
    for (const [i, x] of moving.entries()) x.assign(copies[i]!);
  }
}

/** Checked options with their defaults. */
export function resolveSharpness(caller: string, options: SharpnessOptions) {
  checkOptions(caller, options, ['rho', 'r']);
  const { rho = 0.05, r = 0.05 } = options;
  checkNumber(caller, 'rho', rho, { above: 0 });
  checkNumber(caller, 'r', r, { above: 0 });
  return { rho, r };
}

/**
 * Surrogate sharpness `ρ ‖∇_θ G‖`: to first order, how much the mean prediction G can change when the parameters move by ρ.
 *
 * @param variables - θ
 * @param meanPrediction - gives the mean of the surrogate's predictions
 * @param options.rho - radius, > 0. Default 0.05
 * @throws as {@link sharpnessGradients}
 * @see Dao et al. 2024, arXiv 2503.04242
 */
export async function surrogateSharpness(
  variables: SurrogateVariables,
  meanPrediction: () => Tensor,
  options: { rho?: number } = {},
): Promise<number> {
  const caller = 'surrogateSharpness';
  const list = listVariables(caller, variables);
  const { rho } = resolveSharpness(caller, options);
  const norm = tidy(() =>
    normOf(gradientsOf(caller, 'meanPrediction', meanPrediction, list).grads),
  );
  const [value] = await norm.data();
  norm.dispose();
  return rho * value!;
}
