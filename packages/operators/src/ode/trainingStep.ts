import { checkNumber, checkOptions, NonFiniteError } from '@orth/backend';
import {
  add,
  dispose,
  keep,
  mul,
  type Optimizer,
  type Scalar,
  type Tensor,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { Replay } from './replayOde.js';
import type { SolveStatistics } from './statistics.js';

/** What a training step did. */
export interface TrainingStep {
  /** Task loss plus weight × regularisation. */
  readonly loss: number;
  /** The task's loss alone. */
  readonly task: number;
  /** The regulariser, not weighted; 0 without one. */
  readonly regularization: number;
  /** Cost and estimates of the solve. */
  readonly stats: SolveStatistics;
}

/** What a training step may be told. */
export interface TrainingOptions {
  /** Weight of the regulariser. Default 1 */
  readonly weight?: number;
  /** Variables to train. Default: all that the loss depends on */
  readonly variables?: readonly Variable[];
}

/** The task: from the state at the end, and those at `saveAt`, to a scalar loss. */
export type SolverTask = (u: Tensor, saved?: Tensor) => Scalar;

/** A replay with its regulariser. */
export type RegularizedReplay = Replay & { readonly regularization?: Scalar };

/** @throws TypeError, RangeError for bad options */
export function checkTrainingOptions(
  caller: string,
  options: TrainingOptions,
): { weight: number; variables: Variable[] | undefined } {
  checkOptions(caller, options, ['weight', 'variables']);
  const { weight = 1, variables } = options;
  checkNumber(caller, 'weight', weight, { min: 0 });
  return { weight, variables: variables && [...variables] };
}

/**
 * Gradient of task and regulariser through a replay, and one update by them.
 * @throws {NonFiniteError} if the loss is not finite; no variable has changed then
 */
export async function updateThrough(
  caller: string,
  optimizer: Optimizer,
  replay: () => RegularizedReplay,
  task: SolverTask,
  { weight, variables }: ReturnType<typeof checkTrainingOptions>,
): Promise<Omit<TrainingStep, 'stats'>> {
  const parts: Tensor[] = [];
  const { value, grads } = variableGrads(() => {
    const { u, saved, regularization } = replay();
    const loss = task(u, saved);
    parts.push(keep(loss.clone()));
    if (!regularization) return loss;
    parts.push(keep(regularization.clone()));
    return add(loss, mul(weight, regularization)) as Scalar;
  }, variables);
  try {
    const [loss, taskLoss, regularization = 0] = await Promise.all(
      [value, ...parts].map(async (x) => (await x.data())[0]!),
    );
    if (!Number.isFinite(loss!)) {
      throw new NonFiniteError(`${caller}: the loss is ${loss}; no variable was changed`);
    }
    optimizer.applyGradients(grads);
    return { loss: loss!, task: taskLoss!, regularization };
  } finally {
    dispose([value, ...parts, ...Object.values(grads)]);
  }
}
