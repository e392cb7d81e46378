/**
 * The network and the perturbed loss of NeuCB in TensorFlow.js ops, differentiable on any backend: the plain form of what
 * policies compute on the host, for those who train their own network, and what the host's form is tested against.
 */
import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  elu,
  matMul,
  mean,
  mul,
  relu,
  reshape,
  type Scalar,
  sigmoid,
  slice,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tanh,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { ACTIVATIONS, type Activation } from '../neural/activations.js';
import { perturbationFactor } from '../neural/perturbation.js';

/** Shape of a network whose parameters are one vector. */
export interface NetworkOptions {
  /** Units of each hidden layer. */
  readonly hidden: readonly number[];
  /** Default `'relu'` */
  readonly activation?: Activation;
}

/** Options of {@link perturbedLoss}. */
export interface PerturbedLossOptions extends NetworkOptions {
  /** `'square'`: ½(y − z)²; `'kl'`: −y log σ(z) − (1 − y) log(1 − σ(z)). */
  readonly loss: 'square' | 'kl';
  /** c_p ≥ 0. Default 0.1 */
  readonly perturbationScale?: number;
}

const FUNCTIONS: Record<Activation, (x: Tensor) => Tensor> = {
  relu,
  tanh,
  sigmoid,
  softplus,
  elu,
  identity: (x) => x,
};

/**
 * Outputs f(θ; x) of a perceptron.
 *
 * @param theta - all parameters, `[p]`: W1 `[in, out]` row-major, b1, W2, b2, …
 * @param x - inputs, `[n, dim]`
 * @returns `[n]`
 * @throws TypeError or RangeError for a bad option, or if `theta` has not the length that the shape asks for
 */
export function networkOutputs(theta: Tensor1D, x: Tensor2D, options: NetworkOptions): Tensor1D {
  const caller = 'networkOutputs';
  checkOptions(caller, options, ['hidden', 'activation']);
  const { hidden, activation = 'relu' } = options;
  checkOneOf(caller, 'activation', activation, ACTIVATIONS);
  checkTensor(caller, 'x', x, { rank: 2 });
  const sizes = [x.shape[1], ...hidden, 1];
  const count = hidden.reduce((total, n, i) => total + (sizes[i]! + 1) * n, sizes.at(-2)! + 1);
  checkTensor(caller, 'theta', theta, { shape: [count] });
  return tidy(() => {
    let h: Tensor = x;
    let at = 0;
    for (const [l, outputs] of sizes.slice(1).entries()) {
      const inputs = sizes[l]!;
      const W = reshape(slice(theta, at, inputs * outputs), [inputs, outputs]);
      const b = slice(theta, at + inputs * outputs, outputs);
      at += (inputs + 1) * outputs;
      const z = add(matMul(h as Tensor2D, W as Tensor2D), b);
      h = l < hidden.length ? FUNCTIONS[activation](z) : z;
    }
    return reshape(h, [-1]) as Tensor1D;
  });
}

/**
 * Perturbed outputs `f(θ; x) + c_p m^(−1/4) ⟨θ − θ₀, ε_s⟩`, m the width of the last hidden layer.
 *
 * @param theta - parameters, `[p]`
 * @param theta0 - initial parameters, `[p]`
 * @param x - inputs, `[n, dim]`
 * @param signs - ε, ±1, `[S, p]`
 * @returns `[S, n]`
 */
function perturbedOutputs(
  theta: Tensor1D,
  theta0: Tensor1D,
  x: Tensor2D,
  signs: Tensor2D,
  options: PerturbedLossOptions,
): Tensor2D {
  const { hidden, activation, perturbationScale = 0.1 } = options;
  const network = { hidden, ...(activation && { activation }) };
  const factor = perturbationFactor(perturbationScale, hidden.at(-1)!);
  const moved = reshape(sub(theta, theta0), [-1, 1]) as Tensor2D;
  const shifts = mul(matMul(signs, moved), factor);
  return transpose(add(reshape(networkOutputs(theta, x, network), [-1, 1]), transpose(shifts)));
}

/** What {@link perturbedLoss} is computed from. */
export interface PerturbedLossInputs {
  /** θ₀, `[p]`. */
  readonly theta0: Tensor1D;
  /** Inputs, `[n, dim]`. */
  readonly x: Tensor2D;
  /** Targets, `[n]`. */
  readonly y: Tensor1D;
  /** ε, ±1, `[S, p]`. */
  readonly signs: Tensor2D;
}

/**
 * Mean over n inputs and S sign vectors of `ℓ(y, f̃_s)`; its gradient in `theta` by `tf.grad` or an optimizer.
 *
 * @param theta - parameters, `[p]`
 * @throws TypeError or RangeError for a bad option or shape
 * @see Deb et al. 2024, arXiv:2312.07145
 */
export function perturbedLoss(
  theta: Tensor1D,
  inputs: PerturbedLossInputs,
  options: PerturbedLossOptions,
): Scalar {
  const caller = 'perturbedLoss';
  checkOptions(caller, options, ['hidden', 'activation', 'loss', 'perturbationScale']);
  const { loss, perturbationScale = 0.1 } = options;
  checkOneOf(caller, 'loss', loss, ['square', 'kl']);
  checkNumber(caller, 'perturbationScale', perturbationScale, { min: 0 });
  const { theta0, x, y, signs } = inputs;
  checkTensor(caller, 'theta0', theta0, { shape: theta.shape });
  checkTensor(caller, 'x', x, { rank: 2 });
  checkTensor(caller, 'y', y, { shape: [x.shape[0]] });
  checkTensor(caller, 'signs', signs, { shape: [null, theta.shape[0]!] });
  return tidy(() => {
    const z = perturbedOutputs(theta, theta0, x, signs, options);
    if (loss === 'square') return mul(mean(square(sub(z, y))), 0.5) as Scalar;
    return mean(sub(softplus(z), mul(z, y))) as Scalar;
  });
}

/**
 * What the perturbed square loss is in expectation over the signs: `½(y − f)² + c_p²/(2√m) ‖θ − θ₀‖²`.
 *
 * @param theta - parameters, `[p]`
 * @throws TypeError or RangeError for a bad option or shape
 */
export function expectedPerturbedLoss(
  theta: Tensor1D,
  inputs: Omit<PerturbedLossInputs, 'signs'>,
  options: Omit<PerturbedLossOptions, 'loss'>,
): Scalar {
  const caller = 'expectedPerturbedLoss';
  checkOptions(caller, options, ['hidden', 'activation', 'perturbationScale']);
  const { hidden, activation, perturbationScale = 0.1 } = options;
  checkNumber(caller, 'perturbationScale', perturbationScale, { min: 0 });
  const { theta0, x, y } = inputs;
  checkTensor(caller, 'theta0', theta0, { shape: theta.shape });
  checkTensor(caller, 'x', x, { rank: 2 });
  checkTensor(caller, 'y', y, { shape: [x.shape[0]] });
  return tidy(() => {
    const f = networkOutputs(theta, x, { hidden, ...(activation && { activation }) });
    const pull = perturbationScale ** 2 / (2 * Math.sqrt(hidden.at(-1)!));
    const data = mul(mean(square(sub(f, y))), 0.5);
    return add(data, mul(sum(square(sub(theta, theta0))), pull)) as Scalar;
  });
}
