import { checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { inexactHypergradient, type OracleSettings } from './inexactHypergradient.js';
import {
  ORACLE_OPTIONS,
  type OracleOptions,
  oracleSettings,
  relativeFloor,
} from './oracleOptions.js';
import { OuterRun, type RunOptions, type RunResult, splitRunOptions } from './outerRun.js';
import { StateReader, type StopReason } from './outerState.js';
import { type BilevelProblem, constantsAt } from './problem.js';
import { startVector, type VectorLike } from './startPoint.js';
import { norm, plus } from './vectors.js';
import type { Work } from './work.js';

/** How HOAG's accuracy falls with the step k = 0, 1, …: ε₀ cᵏ, ε₀/(k+1)², ε₀/(k+1)³, or ε₀. */
export type AccuracySchedule = 'geometric' | 'quadratic' | 'cubic' | 'fixed';

const SCHEDULES = ['geometric', 'quadratic', 'cubic', 'fixed'] as const;

/** Options of {@link Hoag}. */
export interface HoagOptions extends OracleOptions {
  /** θ₀, flat. */
  readonly theta0: VectorLike;
  /** Where the first lower-level solution starts, flat. Default 0 */
  readonly x0?: VectorLike;
  /** ε₀ > 0: accuracy of the first lower-level solution and residual of the first linear system. Default 0.1 */
  readonly accuracy?: number;
  /** How it falls. Default `'geometric'` */
  readonly schedule?: AccuracySchedule;
  /** c in (0, 1): factor of the geometric schedule. Default 0.9 */
  readonly decay?: number;
  /** A fixed step > 0, or `'adaptive'`: 1/L with L₀ = ‖z₀‖/√(length of θ), × 0.95 on success, × 2 and a retry when g grew by a fifth. Default `'adaptive'` */
  readonly stepSize?: number | 'adaptive';
  /** θ is clipped to [low, high]. Default no bounds */
  readonly bounds?: readonly [number, number];
  /** Ends the run when ‖z‖ is at most this; 0 never does. Default 0 */
  readonly tolerance?: number;
  /** Relative accuracy below which nothing is asked. Default 1e-5 for float32, 1e-11 for float64 problems */
  readonly accuracyFloor?: number;
}

const HOAG_OPTIONS = [
  ...['theta0', 'x0', 'accuracy', 'schedule', 'decay', 'stepSize', 'bounds', 'tolerance'],
  ...['accuracyFloor', ...ORACLE_OPTIONS],
] as const;

/** What one step did. */
export interface HoagStep {
  /** 1, 2, … */
  readonly iteration: number;
  /** g at the approximate lower solution of the θ that the step started from. */
  readonly upper: number;
  /** ε and δ of that solution. */
  readonly accuracy: number;
  readonly stepSize: number;
  /** ‖z‖. */
  readonly gradientNorm: number;
  /** Whether g had grown by a fifth, so that the step before was undone and made again at half its length. */
  readonly rejected: boolean;
  readonly lowerIterations: number;
  readonly conjugateGradientIterations: number;
  /** Lower-level cost since the start of the run, `work.total`. */
  readonly cost: number;
}

/** What a run of {@link Hoag} gives. */
export type HoagResult = RunResult<HoagStep>;

/** A point that was left by a step, to which a rejection returns. */
interface Left {
  readonly theta: Float64Array;
  readonly x: Float64Array;
  readonly z: Float64Array;
  readonly upper: number;
}

/** A saved {@link Hoag}: plain data, fit for JSON. */
export interface HoagState {
  readonly format: 'orth-hoag';
  readonly version: 1;
  readonly theta: number[];
  readonly x: number[];
  /** L, the inverse step; 0 before the first step. */
  readonly lipschitz: number;
  readonly left?: { theta: number[]; x: number[]; z: number[]; upper: number };
  readonly work: Work;
  readonly history: HoagStep[];
  readonly options: Omit<HoagOptions, 'theta0' | 'x0'>;
}

/** Growth of g at which a step is undone, and what then and otherwise becomes of L. */
const [GROWTH, RAISE, LOWER] = [1.2, 2, 0.95];

/**
 * HOAG: gradient descent on hyperparameters with hypergradients whose accuracy follows a schedule fixed in advance, and a
 * step size that adapts without any guarantee. The baseline of MAID.
 *
 * @see Pedregosa 2016, arXiv 1602.02355; step rule of the author's code (fabianp/hoag)
 */
export class Hoag extends OuterRun<HoagStep> {
  private readonly oracle: OracleSettings;
  private readonly given: HoagState['options'];
  private readonly settings: Required<
    Pick<HoagOptions, 'accuracy' | 'schedule' | 'decay' | 'stepSize' | 'tolerance'>
  > & { readonly floor: number; readonly bounds: readonly [number, number] };
  private current: { theta: Float64Array; x: Float64Array };
  private lipschitz = 0;
  private left: Left | undefined;

  /** @throws TypeError or RangeError for a bad problem or option, before anything is computed */
  constructor(problem: BilevelProblem, options: HoagOptions) {
    const caller = 'Hoag';
    checkOptions(caller, options, HOAG_OPTIONS);
    const { theta0, x0, ...given } = options;
    super(caller, problem);
    this.given = given;
    const { accuracy = 0.1, schedule = 'geometric', decay = 0.9, tolerance = 0 } = options;
    const { stepSize = 'adaptive', bounds = [-Infinity, Infinity] } = options;
    checkNumber(caller, 'accuracy', accuracy, { above: 0 });
    checkOneOf(caller, 'schedule', schedule, SCHEDULES);
    checkNumber(caller, 'decay', decay, { above: 0, below: 1 });
    checkNumber(caller, 'tolerance', tolerance, { min: 0 });
    if (stepSize !== 'adaptive') checkNumber(caller, 'stepSize', stepSize, { above: 0 });
    if (!Array.isArray(bounds) || bounds.length !== 2 || !(bounds[0]! < bounds[1]!)) {
      throw new RangeError(`${caller}: bounds must be [low, high] with low < high, got ${bounds}`);
    }
    const floor = relativeFloor(caller, options.accuracyFloor, problem.precision);
    this.settings = { accuracy, schedule, decay, tolerance, stepSize, floor, bounds };
    this.oracle = oracleSettings(caller, options);
    if (theta0 === undefined) throw new TypeError('Hoag: theta0 must be given');
    const theta = this.clip(startVector(caller, 'theta0', theta0, problem.thetaSize));
    const x = startVector(caller, 'x0', x0, problem.xSize);
    constantsAt(caller, problem, theta);
    this.current = { theta, x };
  }

  get theta(): Float64Array {
    return Float64Array.from(this.current.theta);
  }

  get x(): Float64Array {
    return Float64Array.from(this.current.x);
  }

  private clip(theta: Float64Array): Float64Array {
    const [low, high] = this.settings.bounds;
    return theta.map((value) => Math.min(high, Math.max(low, value))) as Float64Array;
  }

  private scheduled(): number {
    const { accuracy, schedule, decay } = this.settings;
    const k = this.iterations;
    if (schedule === 'geometric') return accuracy * decay ** k;
    if (schedule === 'fixed') return accuracy;
    return accuracy / (k + 1) ** (schedule === 'quadratic' ? 2 : 3);
  }

  protected async step(): Promise<HoagStep | StopReason> {
    const { counted, oracle, current, settings } = this;
    const accuracy = Math.max(this.scheduled(), settings.floor * Math.max(1, norm(current.x)));
    const h = await inexactHypergradient(
      counted,
      oracle,
      current.theta,
      current.x,
      accuracy,
      accuracy,
    );
    if (settings.tolerance > 0 && h.zNorm <= settings.tolerance) return 'tolerance';
    const grew =
      this.left && h.upper.value >= this.left.upper + (GROWTH - 1) * Math.abs(this.left.upper);
    const rejected = settings.stepSize === 'adaptive' && grew === true;
    const from = rejected
      ? this.left!
      : { theta: current.theta, x: h.x, z: h.z, upper: h.upper.value };
    const lipschitz = this.nextLipschitz(h.zNorm, rejected);
    // While z is 0, which rough accuracies may make it, there is no step size yet and θ stays.
    const stepSize = lipschitz > 0 ? 1 / lipschitz : 0;
    const theta = this.clip(plus(from.theta, -stepSize, from.z));
    constantsAt(this.caller, counted.problem, theta);
    this.lipschitz = lipschitz;
    if (stepSize > 0) this.left = from;
    this.current = { theta, x: from.x };
    return {
      iteration: this.iterations + 1,
      upper: h.upper.value,
      accuracy: h.accuracy,
      stepSize,
      gradientNorm: h.zNorm,
      rejected,
      lowerIterations: h.lowerIterations,
      conjugateGradientIterations: h.conjugateGradientIterations,
      cost: counted.work.total,
    };
  }

  private nextLipschitz(zNorm: number, rejected: boolean): number {
    const { stepSize } = this.settings;
    if (stepSize !== 'adaptive') return 1 / stepSize;
    if (this.lipschitz === 0) return zNorm / Math.sqrt(this.current.theta.length);
    return this.lipschitz * (rejected ? RAISE : LOWER);
  }

  /** The whole state and the options, as plain data; the problem is not in it. */
  toJSON(): HoagState {
    const { left } = this;
    return {
      format: 'orth-hoag',
      version: 1,
      theta: [...this.current.theta],
      x: [...this.current.x],
      lipschitz: this.lipschitz,
      ...(left && {
        left: { theta: [...left.theta], x: [...left.x], z: [...left.z], upper: left.upper },
      }),
      work: this.work,
      history: this.history.map((step) => ({ ...step })),
      options: { ...this.given },
    };
  }

  /**
   * Continues from what {@link toJSON} gave.
   * @throws CheckpointError if `json` is not such a state or does not fit the problem
   */
  static fromJSON(problem: BilevelProblem, json: unknown): Hoag {
    const caller = 'Hoag.fromJSON';
    const reader = new StateReader(caller, json, 'orth-hoag');
    const theta = reader.vector('theta', problem.thetaSize);
    const x = reader.vector('x', problem.xSize);
    const lipschitz = reader.number('lipschitz');
    const inner = reader.nested('left');
    const left = inner && {
      theta: inner.vector('theta', problem.thetaSize),
      x: inner.vector('x', problem.xSize),
      z: inner.vector('z', problem.thetaSize),
      upper: inner.number('upper', Number.NEGATIVE_INFINITY),
    };
    const history = reader.records<HoagStep>('history');
    const work = reader.work();
    const run = reader.build(
      () => new Hoag(problem, { ...reader.options(), theta0: theta, x0: x }),
    );
    run.current = { theta, x };
    run.lipschitz = lipschitz;
    run.left = left;
    run.restore(work, history);
    return run;
  }
}

/**
 * Runs {@link Hoag} from `theta0`.
 * @param options - those of {@link Hoag} and of its run: `maxIterations` (default 100), `budget`, `signal`, `onStep`
 * @throws as {@link Hoag} and its run
 */
export async function hoag(
  problem: BilevelProblem,
  options: HoagOptions & RunOptions<HoagStep>,
): Promise<HoagResult> {
  const { run, rest } = splitRunOptions<HoagStep, typeof options>('hoag', options);
  return new Hoag(problem, rest as HoagOptions).run(run);
}

/** Options of {@link fixedAccuracy}: those of {@link Hoag} but its schedule. */
export type FixedAccuracyOptions = Omit<HoagOptions, 'schedule' | 'decay'>;

/**
 * Gradient descent on θ with every hypergradient to the same accuracy: what one does without an accuracy schedule.
 * @param options - `accuracy` (default 0.1) is kept throughout; otherwise as {@link hoag}
 * @throws as {@link Hoag} and its run
 */
export async function fixedAccuracy(
  problem: BilevelProblem,
  options: FixedAccuracyOptions & RunOptions<HoagStep>,
): Promise<HoagResult> {
  const { run, rest } = splitRunOptions<HoagStep, typeof options>('fixedAccuracy', options);
  for (const name of ['schedule', 'decay']) {
    if (!(name in rest)) continue;
    throw new TypeError(`fixedAccuracy: unknown option "${name}"; hoag has it`);
  }
  return new Hoag(problem, {
    ...(rest as FixedAccuracyOptions),
    schedule: 'fixed',
  } as HoagOptions).run(run);
}
