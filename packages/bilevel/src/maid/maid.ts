import { checkNumber, checkOptions, NonFiniteError } from '@orth/backend';
import { searchValue } from './bounds.js';
import {
  type InexactHypergradient,
  inexactHypergradient,
  type OracleSettings,
  solveTo,
} from './inexactHypergradient.js';
import { MAID_OPTIONS, type MaidOptions, type MaidSettings, maidSettings } from './maidOptions.js';
import { oracleSettings, relativeFloor } from './oracleOptions.js';
import { OuterRun, type RunOptions, type RunResult, splitRunOptions } from './outerRun.js';
import { StateReader, type StopReason } from './outerState.js';
import { type BilevelProblem, constantsAt, hasBoundConstants } from './problem.js';
import { startVector } from './startPoint.js';
import { norm, plus } from './vectors.js';
import type { Work } from './work.js';

/** What one accepted step did. */
export interface MaidStep {
  /** 1, 2, … */
  readonly iteration: number;
  /** g at the approximate lower solution of the new θ. */
  readonly upper: number;
  /** g before the step. */
  readonly previousUpper: number;
  /** ε and δ with which the step was accepted. */
  readonly accuracy: number;
  readonly residual: number;
  /** α of the step. */
  readonly stepSize: number;
  /** ‖z‖. */
  readonly gradientNorm: number;
  /** ω, where the constants it needs are known. */
  readonly errorBound: number | undefined;
  /** Times ε and δ were refined, by the descent test and after failed line searches. */
  readonly refinements: number;
  /** Line searches that found no step. */
  readonly failures: number;
  /** Trial steps refused. */
  readonly backtracks: number;
  /** Iterations of the lower-level solver, trial points included. */
  readonly lowerIterations: number;
  readonly conjugateGradientIterations: number;
  /** Lower-level cost since the start of the run, `work.total`. */
  readonly cost: number;
}

/** What a run of {@link Maid} gives. */
export type MaidResult = RunResult<MaidStep>;

/** A saved {@link Maid}: plain data, fit for JSON. */
export interface MaidState {
  readonly format: 'orth-maid';
  readonly version: 1;
  readonly theta: number[];
  readonly x: number[];
  readonly accuracy: number;
  readonly residual: number;
  /** Next trial step; 0 until `'auto'` was worked out. */
  readonly stepSize: number;
  readonly work: Work;
  readonly history: MaidStep[];
  readonly options: Omit<MaidOptions, 'theta0' | 'x0'>;
}

interface Position {
  readonly theta: Float64Array;
  readonly x: Float64Array;
  readonly accuracy: number;
  readonly residual: number;
  readonly stepSize: number;
}

/**
 * MAID: gradient descent on `f(θ) = g(argmin_x h(x, θ))` that solves the lower level only as accurately as it needs to and
 * finds its own step sizes.
 *
 * Each step: a hypergradient z to accuracies (ε, δ), refined by ν until its error bound says that −z descends; a
 * backtracking search whose test holds for the true f although only bounds of it are known (`lineSearchValue`); after
 * success ε, δ grow by ν̄ and the step by ρ̄, after `maxBacktracks` failures ε, δ shrink by ν.
 *
 * State lives on the host in float64: nothing needs to be disposed. A run that was interrupted inside a step goes on from
 * the step's beginning, so that stopping and resuming changes no iterate.
 *
 * @example
 * const run = new Maid(problem, { theta0: [0, 0] });
 * const { theta, reason } = await run.run({ maxIterations: 50 });
 * @see Salehi, Mukherjee, Roberts, Ehrhardt 2023, arXiv 2308.10098, Algorithms 3.1 and 3.2
 */
export class Maid extends OuterRun<MaidStep> {
  private readonly settings: MaidSettings;
  private readonly oracle: OracleSettings;
  private readonly given: MaidState['options'];
  private position: Position;

  /** @throws TypeError or RangeError for a bad problem or option, before anything is computed */
  constructor(problem: BilevelProblem, options: MaidOptions) {
    const caller = 'Maid';
    checkOptions(caller, options, MAID_OPTIONS);
    const { theta0, x0, ...given } = options;
    super(caller, problem);
    this.given = given;
    const { accuracy = 0.1, residual = 0.1, stepSize = 'auto' } = options;
    checkNumber(caller, 'accuracy', accuracy, { above: 0 });
    checkNumber(caller, 'residual', residual, { above: 0 });
    if (stepSize !== 'auto') checkNumber(caller, 'stepSize', stepSize, { above: 0 });
    const floor = relativeFloor(caller, options.accuracyFloor, problem.precision);
    this.settings = maidSettings(caller, options, hasBoundConstants(problem), floor);
    this.oracle = oracleSettings(caller, options);
    if (theta0 === undefined) throw new TypeError('Maid: theta0 must be given');
    const theta = startVector(caller, 'theta0', theta0, problem.thetaSize);
    const x = startVector(caller, 'x0', x0, problem.xSize);
    constantsAt(caller, problem, theta);
    this.position = {
      theta,
      x,
      accuracy,
      residual,
      stepSize: stepSize === 'auto' ? 0 : stepSize,
    };
  }

  get theta(): Float64Array {
    return Float64Array.from(this.position.theta);
  }

  get x(): Float64Array {
    return Float64Array.from(this.position.x);
  }

  /** ε with which the next step begins. */
  get accuracy(): number {
    return this.position.accuracy;
  }

  /** δ with which the next step begins. */
  get residual(): number {
    return this.position.residual;
  }

  protected async step(): Promise<MaidStep | StopReason> {
    const { counted, settings, oracle } = this;
    const { theta } = this.position;
    let { x, accuracy, residual, stepSize } = this.position;
    let [refinements, failures, backtracks, lowerIterations, cgIterations] = [0, 0, 0, 0, 0];
    for (let trials = settings.maxBacktracks; ; trials++) {
      let h: InexactHypergradient;
      let exhausted: boolean;
      for (;;) {
        h = await inexactHypergradient(counted, oracle, theta, x, accuracy, residual);
        ({ x, accuracy, residual } = h);
        lowerIterations += h.lowerIterations;
        cgIterations += h.conjugateGradientIterations;
        const floor = this.floors(h);
        exhausted = !h.converged || (accuracy <= floor.accuracy && residual <= floor.residual);
        if (this.isStationary(h, exhausted)) return 'tolerance';
        if (this.descends(h)) break;
        if (exhausted) return 'accuracyFloor';
        accuracy = Math.max(floor.accuracy, accuracy * settings.accuracyDecrease);
        residual = Math.max(floor.residual, residual * settings.accuracyDecrease);
        refinements++;
      }
      stepSize ||= 1 / h.z.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const found = await this.search(h, theta, stepSize, trials);
      lowerIterations += found.lowerIterations;
      backtracks += found.backtracks;
      if (found.accepted) {
        const { accepted } = found;
        const record: MaidStep = {
          iteration: this.iterations + 1,
          upper: accepted.upper,
          previousUpper: h.upper.value,
          accuracy,
          residual,
          stepSize: accepted.stepSize,
          gradientNorm: h.zNorm,
          errorBound: h.errorBound,
          refinements,
          failures,
          backtracks,
          lowerIterations,
          conjugateGradientIterations: cgIterations,
          cost: counted.work.total,
        };
        this.position = {
          theta: accepted.theta,
          x: accepted.x,
          accuracy: accuracy * settings.accuracyIncrease,
          residual: residual * settings.accuracyIncrease,
          stepSize: accepted.stepSize * settings.stepIncrease,
        };
        return record;
      }
      if (exhausted) return 'accuracyFloor';
      const floor = this.floors(h);
      accuracy = Math.max(floor.accuracy, accuracy * settings.accuracyDecrease);
      residual = Math.max(floor.residual, residual * settings.accuracyDecrease);
      refinements++;
      failures++;
    }
  }

  /** Backtracking from `stepSize`; a trial point where the problem is not finite or not strongly convex is refused. */
  private async search(
    h: InexactHypergradient,
    theta: Float64Array,
    stepSize: number,
    trials: number,
  ) {
    const { problem } = this.counted;
    const { stepDecrease, sufficientDecrease } = this.settings;
    let lowerIterations = 0;
    for (let i = 0; i < trials; i++) {
      const alpha = stepSize * stepDecrease ** i;
      const trial = plus(theta, -alpha, h.z);
      try {
        const constants = constantsAt('Maid', problem, trial);
        const lower = await solveTo(this.counted, this.oracle, trial, h.x, h.accuracy, constants);
        lowerIterations += lower.iterations;
        const upper = await this.counted.upper(lower.x);
        const psi = searchValue({
          value: h.upper.value,
          gradientNorm: h.upperGradientNorm,
          accuracy: h.accuracy,
          trialValue: upper.value,
          trialGradientNorm: norm(upper.gradient),
          trialAccuracy: lower.accuracy,
          upperSmoothness: problem.upperSmoothness,
          upperConvex: problem.upperConvex ?? false,
          sufficientDecrease,
          stepSize: alpha,
          squaredNorm: h.zNorm ** 2,
        });
        if (psi <= 0) {
          const accepted = { theta: trial, x: lower.x, stepSize: alpha, upper: upper.value };
          return { accepted, backtracks: i, lowerIterations };
        }
      } catch (error) {
        if (!(error instanceof NonFiniteError || error instanceof RangeError)) throw error;
      }
    }
    return { accepted: undefined, backtracks: trials, lowerIterations };
  }

  private floors({ x, upperGradientNorm }: InexactHypergradient) {
    const { accuracyFloor } = this.settings;
    return {
      accuracy: accuracyFloor * Math.max(1, norm(x)),
      residual: accuracyFloor * upperGradientNorm,
    };
  }

  /**
   * Whether z shows that θ is stationary. Without a bound of its error a small z says nothing while ε and δ are coarse (at
   * x̄ = 0 it is often 0), so it must stand at accuracies as small as the tolerance, or as small as they get.
   */
  private isStationary(h: InexactHypergradient, exhausted: boolean): boolean {
    const { tolerance, descentTest } = this.settings;
    if (h.zNorm > tolerance) return false;
    if (descentTest === 'bound') return h.errorBound! <= tolerance;
    return exhausted || (h.accuracy <= tolerance && h.residual <= tolerance);
  }

  private descends({ zNorm, errorBound }: InexactHypergradient): boolean {
    const { descentTest, descentFraction, tolerance } = this.settings;
    if (descentTest === 'off') return zNorm > tolerance;
    return errorBound! <= (1 - descentFraction) * zNorm;
  }

  /** The whole state and the options, as plain data; the problem is not in it. */
  toJSON(): MaidState {
    const { theta, x, accuracy, residual, stepSize } = this.position;
    return {
      format: 'orth-maid',
      version: 1,
      theta: [...theta],
      x: [...x],
      accuracy,
      residual,
      stepSize,
      work: this.work,
      history: this.history.map((step) => ({ ...step })),
      options: { ...this.given },
    };
  }

  /**
   * Continues from what {@link toJSON} gave: the iterates are those of a run that was never stopped.
   * @throws CheckpointError if `json` is not such a state or does not fit the problem
   */
  static fromJSON(problem: BilevelProblem, json: unknown): Maid {
    const reader = new StateReader('Maid.fromJSON', json, 'orth-maid');
    const theta = reader.vector('theta', problem.thetaSize);
    const x = reader.vector('x', problem.xSize);
    const [accuracy, residual] = [reader.positive('accuracy'), reader.positive('residual')];
    const stepSize = reader.number('stepSize');
    const history = reader.records<MaidStep>('history');
    const work = reader.work();
    const run = reader.build(
      () => new Maid(problem, { ...reader.options(), theta0: theta, x0: x }),
    );
    run.position = { theta, x, accuracy, residual, stepSize };
    run.restore(work, history);
    return run;
  }
}

/**
 * Runs {@link Maid} from `theta0`.
 *
 * @param problem - `tensorProblem(…)`, one of the ready-made problems, or your own
 * @param options - those of {@link Maid} and of its run: `maxIterations` (default 100), `budget`, `signal`, `onStep`
 * @returns θ, x, what ended the run, a record of each step, and the work
 * @throws TypeError or RangeError for bad arguments; NonFiniteError if the problem gives NaN at an accepted point
 * @example
 * const { theta, work } = await maid(problem, { theta0: new Float64Array(10), budget: 2000 });
 */
export async function maid(
  problem: BilevelProblem,
  options: MaidOptions & RunOptions<MaidStep>,
): Promise<MaidResult> {
  const { run, rest } = splitRunOptions<MaidStep, typeof options>('maid', options);
  return new Maid(problem, rest as MaidOptions).run(run);
}
