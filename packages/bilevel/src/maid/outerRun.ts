import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import type { StopReason } from './outerState.js';
import { type BilevelProblem, checkProblem } from './problem.js';
import { CountedProblem, Interrupted, type Work } from './work.js';

/** How long a run goes on, and who is told. */
export interface RunOptions<Step> {
  /** Steps since the start, ≥ 0: a resumed run counts those before. Default 100 */
  readonly maxIterations?: number;
  /** Greatest lower-level cost since the start (`work.total`: lower gradients and Hessian products). Default none */
  readonly budget?: number;
  /** Ends the run with reason `'aborted'`; the last accepted step stays. */
  readonly signal?: AbortSignal;
  /** Called after each step; a promise is awaited. */
  readonly onStep?: (progress: RunProgress<Step>) => void | Promise<void>;
}

/** What `onStep` is told. */
export interface RunProgress<Step> {
  /** Steps made. */
  readonly step: number;
  /** `maxIterations`. */
  readonly total: number;
  readonly record: Step;
}

/** What a run gives. */
export interface RunResult<Step> {
  readonly theta: Float64Array;
  /** Approximate lower-level solution at θ. */
  readonly x: Float64Array;
  readonly reason: StopReason;
  /** Steps since the start. */
  readonly iterations: number;
  readonly history: readonly Step[];
  readonly work: Work;
}

const RUN_OPTIONS = ['maxIterations', 'budget', 'signal', 'onStep'] as const;

/** Takes the run's options out of options of a method and a run. */
export function splitRunOptions<Step, O extends RunOptions<Step>>(caller: string, options: O) {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${caller}: options must be an object, got ${String(options)}`);
  }
  const { maxIterations, budget, signal, onStep, ...rest } = options;
  const given = Object.entries({ maxIterations, budget, signal, onStep });
  const run = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  checkRunOptions(caller, run);
  return { run: run as RunOptions<Step>, rest };
}

function checkRunOptions(caller: string, options: RunOptions<never>): void {
  checkOptions(caller, options, RUN_OPTIONS);
  const { maxIterations, budget, onStep } = options;
  if (maxIterations !== undefined) {
    checkInteger(caller, 'maxIterations', maxIterations, { min: 0 });
  }
  if (budget !== undefined) checkNumber(caller, 'budget', budget, { above: 0 });
  if (onStep !== undefined && typeof onStep !== 'function') {
    throw new TypeError(`${caller}: onStep must be a function, got ${typeof onStep}`);
  }
}

/** An outer iteration on θ that can be stopped, saved and resumed between steps. */
export abstract class OuterRun<Step extends object> {
  protected counted: CountedProblem;
  private steps: Step[] = [];
  private running = false;

  constructor(
    protected readonly caller: string,
    problem: BilevelProblem,
  ) {
    checkProblem(caller, problem);
    this.counted = new CountedProblem(caller, problem);
  }

  /** A copy of the current θ. */
  abstract get theta(): Float64Array;

  /** A copy of the current approximate lower solution. */
  abstract get x(): Float64Array;

  /** One step, or why there is none; must change nothing unless it succeeds. */
  protected abstract step(): Promise<Step | StopReason>;

  /** Records of the steps so far. */
  get history(): readonly Step[] {
    return this.steps;
  }

  /** Steps so far. */
  get iterations(): number {
    return this.steps.length;
  }

  /** Work so far, interrupted steps included. */
  get work(): Work {
    return this.counted.work;
  }

  protected restore(work: Work, history: Step[]): void {
    this.counted = new CountedProblem(this.caller, this.counted.problem, work);
    this.steps = history;
  }

  /**
   * Makes steps until a limit or an end is reached.
   * @throws TypeError or RangeError for bad options or a problem that breaks its promises; NonFiniteError if the problem
   *   gives NaN; Error if the object is running already. The last accepted step stays in every case
   */
  async run(options: RunOptions<Step> = {}): Promise<RunResult<Step>> {
    checkRunOptions(`${this.caller}.run`, options as RunOptions<never>);
    if (this.running) throw new Error(`${this.caller}.run: a run must end before the next begins`);
    const { maxIterations = 100, budget = Number.POSITIVE_INFINITY, signal, onStep } = options;
    this.running = true;
    Object.assign(this.counted, { budget, signal });
    try {
      let reason: StopReason = 'maxIterations';
      while (this.iterations < maxIterations) {
        const record = await this.step();
        if (typeof record === 'string') {
          reason = record;
          break;
        }
        this.steps.push(record);
        await onStep?.({ step: this.iterations, total: maxIterations, record });
      }
      return this.result(reason);
    } catch (error) {
      if (error instanceof Interrupted) return this.result(error.reason);
      throw error;
    } finally {
      this.running = false;
      this.counted.signal = undefined;
    }
  }

  private result(reason: StopReason): RunResult<Step> {
    const { theta, x, iterations, work } = this;
    return { theta, x, reason, iterations, history: [...this.steps], work };
  }
}
