import { checkInteger, checkOptions, type Random, seededRandom } from '@orth/backend';
import { dispose, type Optimizer, type Tensor, tidy } from '@tensorflow/tfjs-core';
import {
  odeRegularization,
  type RegularizationOptions,
  type RegularizerKind,
} from './regularization.js';
import {
  disposeNoise,
  replaySde,
  SDE_OPTIONS,
  type SdeOptions,
  type SdeSolution,
  sdeSolve,
} from './sdeSolve.js';
import { type Coefficient, SOSRI_STABILITY } from './sosri.js';
import {
  checkTrainingOptions,
  type SolverTask,
  type TrainingOptions,
  type TrainingStep,
  updateThrough,
} from './trainingStep.js';

/** Options of {@link NeuralSDE}, those of {@link sdeSolve} among them. */
export interface NeuralSdeOptions extends SdeOptions {
  /** What is added to the loss. Default `'none'` */
  readonly regularizer?: 'none' | RegularizerKind;
  /** How the steps' estimates are combined. Default `'mean'` */
  readonly aggregate?: RegularizationOptions['aggregate'];
}

/**
 * A layer whose output is a sample of du = f(t, u) dt + g(t, u) dW at a later time, trained through the solver's own steps.
 * Every solve draws new noise; the seed decides the sequence.
 *
 * @see A. Pal et al., *Opening the Blackbox*, ICML 2021
 */
export class NeuralSDE {
  readonly #options: NeuralSdeOptions;
  readonly #solver: SdeOptions;
  readonly #random: Random;

  /**
   * @param drift - f(t, u)
   * @param diffusion - g(t, u), diagonal
   * @throws TypeError, RangeError for bad options, at the first solve those of {@link sdeSolve}
   */
  constructor(
    readonly drift: Coefficient,
    readonly diffusion: Coefficient,
    options: NeuralSdeOptions = {},
  ) {
    if (typeof drift !== 'function' || typeof diffusion !== 'function') {
      throw new TypeError('NeuralSDE: drift and diffusion must be functions of t and u');
    }
    checkOptions('NeuralSDE', options, [...SDE_OPTIONS, 'regularizer', 'aggregate']);
    const { regularizer, aggregate, seed = 0, ...solver } = options;
    checkInteger('NeuralSDE', 'seed', seed);
    this.#options = options;
    this.#solver = solver;
    this.#random = seededRandom(seed);
  }

  /**
   * Draws a solution from `u0`, without a gradient.
   * @returns tensors and noise for the caller to dispose, and statistics
   * @throws {OdeSolveError} if the equation could not be solved
   */
  predict(u0: Tensor): Promise<SdeSolution> {
    const seed = this.#random.integer(0, 2 ** 31 - 1);
    return sdeSolve(this.drift, this.diffusion, u0, { ...this.#solver, seed });
  }

  /**
   * One training step on one draw of the noise: solves, replays under a gradient, and updates the variables.
   * @param u0 - the state at the start, or a function that makes it from variables
   * @param task - loss from the state at the end, and from those at `saveAt`
   * @throws {OdeSolveError}, NonFiniteError of @orth/backend: no variable has changed then
   */
  async minimize(
    optimizer: Optimizer,
    u0: Tensor | (() => Tensor),
    task: SolverTask,
    options: TrainingOptions = {},
  ): Promise<TrainingStep> {
    const caller = 'NeuralSDE.minimize';
    const training = checkTrainingOptions(caller, options);
    const start = typeof u0 === 'function' ? u0 : () => u0;
    const initial = tidy(() => start().clone());
    const { u, saved, stats, noise } = await this.predict(initial).finally(() => initial.dispose());
    dispose([u, ...(saved ? [saved] : [])]);
    const { regularizer: kind = 'none', aggregate = 'mean' } = this.#options;
    try {
      const replay = () => {
        const done = replaySde(
          this.drift,
          this.diffusion,
          start(),
          stats.steps,
          noise,
          this.#solver,
        );
        if (kind === 'none') return done;
        const how = { kind, aggregate, stabilitySize: SOSRI_STABILITY };
        return { ...done, regularization: odeRegularization(done, stats.steps, how) };
      };
      return { ...(await updateThrough(caller, optimizer, replay, task, training)), stats };
    } finally {
      disposeNoise(noise);
    }
  }
}
