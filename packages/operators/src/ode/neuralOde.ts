import { checkNumber, checkOptions, type Random, seededRandom } from '@orth/backend';
import { dispose, type Optimizer, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { type OdeSolution, odeSolve } from './odeSolve.js';
import {
  odeRegularization,
  type RegularizationOptions,
  type RegularizerKind,
} from './regularization.js';
import { replayOde } from './replayOde.js';
import { checkOdeOptions, ODE_OPTIONS, type OdeOptions } from './solveOptions.js';
import type { Dynamics } from './step.js';
import {
  checkTrainingOptions,
  type RegularizedReplay,
  type SolverTask,
  type TrainingOptions,
  type TrainingStep,
  updateThrough,
} from './trainingStep.js';

/** Options of {@link NeuralODE}, those of {@link odeSolve} among them. */
export interface NeuralOdeOptions extends OdeOptions {
  /** What is added to the loss, times the weight given to each training step. Default `'none'` */
  readonly regularizer?: 'none' | RegularizerKind;
  /** How the steps' estimates are combined; see {@link odeRegularization}. */
  readonly aggregate?: RegularizationOptions['aggregate'];
  /**
   * STEER: training ends at a time drawn uniformly from `t1` ± `steer` × (`t1` − `t0`), in [0, 1). Default 0
   * @see A. Ghosh et al., *STEER: Simple Temporal Regularization for Neural ODEs*, NeurIPS 2020
   */
  readonly steer?: number;
  /** Seed of STEER's end times. Default 0 */
  readonly seed?: number;
}

/**
 * A layer whose output is the state of u' = f(t, u) at a later time, trained through the solver's own steps, with the solver's
 * error or stiffness estimates as a regulariser (ERNODE, SRNODE). Dynamics are any function of tf ops and variables; tf.layers
 * models work as `(t, u) => model.apply(u)`.
 *
 * @see A. Pal, Y. Ma, V. Shah, C. Rackauckas, *Opening the Blackbox: Accelerating Neural Differential Equations by Regularizing
 *   Internal Solver Heuristics*, ICML 2021
 * @example
 * const ode = new NeuralODE((t, u) => tanh(matMul(u, weights)), { t1: 1, regularizer: 'error' });
 * for (let i = 0; i < 300; i++) {
 *   const { loss, stats } = await ode.minimize(train.adam(0.01), u0, (u) => losses.meanSquaredError(target, u), { weight: 10 });
 * }
 * const { u, stats } = await ode.predict(u0);
 */
export class NeuralODE {
  /** f(t, u). */
  readonly dynamics: Dynamics;
  readonly #options: NeuralOdeOptions;
  readonly #solver: OdeOptions;
  readonly #random: Random;

  /** @throws TypeError, RangeError for bad options */
  constructor(dynamics: Dynamics, options: NeuralOdeOptions = {}) {
    const caller = 'NeuralODE';
    const own = ['regularizer', 'aggregate', 'steer', 'seed'];
    checkOptions(caller, options, [...ODE_OPTIONS, ...own]);
    const { regularizer, aggregate, steer = 0, seed = 0, ...solver } = options;
    const { method } = checkOdeOptions(caller, solver);
    checkNumber(caller, 'steer', steer, { min: 0, below: 1 });
    if (regularizer !== undefined && regularizer !== 'none' && method !== 'tsit5') {
      throw new RangeError(
        `${caller}: regularizer must be 'none' for ${method}, got '${regularizer}'`,
      );
    }
    this.dynamics = dynamics;
    this.#options = options;
    this.#solver = solver;
    this.#random = seededRandom(seed);
  }

  /**
   * Solves from `u0`, without a gradient.
   * @returns tensors for the caller to dispose, and statistics
   * @throws {OdeSolveError} if the equation could not be solved
   */
  predict(u0: Tensor): Promise<OdeSolution> {
    return odeSolve(this.dynamics, u0, this.#solver);
  }

  /**
   * The same solution as a function of `u0` and of the dynamics' variables, with the regulariser: to be called under
   * `tf.variableGrads` or `tf.grads` after {@link predict} gave the steps.
   * @param steps - `stats.steps` of the solve
   */
  replay(u0: Tensor, steps: readonly number[], end?: number): RegularizedReplay {
    const { regularizer = 'none', aggregate } = this.#options;
    const t1 = end ?? this.#solver.t1 ?? 1;
    const replay = replayOde(this.dynamics, u0, steps, { ...this.#solver, t1 });
    if (regularizer === 'none') return replay;
    const how = { kind: regularizer, ...(aggregate && { aggregate }) };
    return { ...replay, regularization: odeRegularization(replay, steps, how) };
  }

  /**
   * One training step: solves for the steps, replays them under a gradient, and updates the variables.
   *
   * @param optimizer - any tf.Optimizer
   * @param u0 - the state at the start, or a function that makes it from variables (an encoder)
   * @param task - loss from the state at the end, and from those at `saveAt`
   * @returns losses as numbers, and the cost of the solve
   * @throws {OdeSolveError} if the equation could not be solved, NonFiniteError of @orth/backend if the loss is not finite: no
   *   variable has changed then
   */
  async minimize(
    optimizer: Optimizer,
    u0: Tensor | (() => Tensor),
    task: SolverTask,
    options: TrainingOptions = {},
  ): Promise<TrainingStep> {
    const caller = 'NeuralODE.minimize';
    const training = checkTrainingOptions(caller, options);
    const start = typeof u0 === 'function' ? u0 : () => u0;
    const { t0 = 0, t1 = 1, saveAt = [] } = this.#solver;
    const { steer = 0 } = this.#options;
    const drawn = steer === 0 ? t1 : t1 + steer * (t1 - t0) * (2 * this.#random.uniform() - 1);
    // Times to save at stay within the interval.
    const end = saveAt.reduce((far, t) => ((t - far) * (t1 - t0) > 0 ? t : far), drawn);
    const initial = tidy(() => start().clone());
    const solution = await odeSolve(this.dynamics, initial, { ...this.#solver, t1: end }).finally(
      () => initial.dispose(),
    );
    const { stats } = solution;
    dispose([solution.u, ...(solution.saved ? [solution.saved] : [])]);
    const done = await updateThrough(
      caller,
      optimizer,
      () => this.replay(start(), stats.steps, end),
      task,
      training,
    );
    return { ...done, stats };
  }
}
