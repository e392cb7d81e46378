import type { Scalar, Tensor } from '@tensorflow/tfjs-core';

/**
 * Right-hand side of u' = f(t, u): a function of time and of a state of any shape, whose result has the state's shape. A
 * batch is solved as one system, with one step size.
 */
export type Dynamics = (t: number, u: Tensor) => Tensor;

/** One step of a method, as tensors: inside `tf.grad` everything is differentiable, the step size being a constant. */
export interface Step {
  /** The state at the end. */
  readonly u: Tensor;
  /** The derivative at the end, where the method has it anyway: the next step's first stage. */
  readonly last?: Tensor;
  /** Estimate of the error over the allowed error, root mean square; at most 1 for a good step. */
  readonly errorEstimate?: Scalar;
  /** Estimate of the Jacobian's greatest eigenvalue, 1/time. */
  readonly stiffness?: Scalar;
  /**
   * The state at a fraction θ in [0, 1] of the step.
   * @param last - the derivative at the end, for methods that do not have it
   */
  at(theta: number, last?: Tensor): Tensor;
}
