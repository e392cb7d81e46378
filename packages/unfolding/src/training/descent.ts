/**
 * One step of gradient descent for the trainers of this package, with a state that can be saved and continued bit for
 * bit (tfjs's own Adam restores its bias correction by a power, which rounds differently).
 */
import { CheckpointError, NonFiniteError } from '@orth/backend';
import {
  add,
  concat,
  dispose,
  div,
  mul,
  type Optimizer,
  reshape,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variableGrads,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** How a trainer updates weights: Adam (0.9, 0.999, 1e-8), plain gradient descent, or an optimizer of tfjs's kind. */
export type DescentRule = 'adam' | 'sgd' | (() => Optimizer);

/** The state of a descent: plain numbers, fit for JSON. */
export interface DescentState {
  /** Steps taken. */
  readonly steps: number;
  /** First and second moment of each variable, in order; empty for `'sgd'`. */
  readonly moments: readonly { readonly first: number[]; readonly second: number[] }[];
}

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** Updates variables from the gradient of a loss. */
export class Descent {
  private steps = 0;
  private first: Tensor[] = [];
  private second: Tensor[] = [];
  private readonly optimizer: Optimizer | undefined;

  /** @param caller - the function named in messages */
  constructor(
    private readonly caller: string,
    private readonly variables: readonly Variable[],
    private readonly rule: DescentRule,
  ) {
    if (typeof rule === 'function') this.optimizer = rule();
  }

  /**
   * Takes one step.
   *
   * @param loss - makes the scalar loss; what it allocates is disposed
   * @param learningRate - of this step; not used by an optimizer of the user's, which has its own
   * @returns the loss before the step
   * @throws NonFiniteError, with nothing changed, if the loss or the gradient is not finite
   */
  async step(loss: () => Scalar, learningRate: number): Promise<number> {
    let failure: unknown;
    // What throws on a tape leaves the tensors behind that the tape keeps, so the tape is walked to its end all the same.
    const guarded = (): Scalar => {
      try {
        return loss();
      } catch (error) {
        failure = error ?? new Error(`${this.caller}: the loss threw ${String(error)}`);
        return mul(sum(this.variables[0]!), 0) as Scalar;
      }
    };
    const { value, gradients, check } = tidy(() => {
      const { value, grads } = variableGrads(guarded, [...this.variables]);
      const gradients = this.variables.map((v) => grads[v.name] ?? zerosLike(v));
      const norms = gradients.map((g) => reshape(sum(square(g)), [1]));
      return { value, gradients, check: concat([reshape(value, [1]), ...norms]) };
    });
    try {
      if (failure) throw failure;
      const numbers = await check.data();
      for (const [i, x] of numbers.entries()) {
        if (Number.isFinite(x)) continue;
        const what = i === 0 ? 'the loss' : `the gradient of ${this.variables[i - 1]!.name}`;
        throw new NonFiniteError(
          `${this.caller}: ${what} is ${x}; the weights were not changed by this step`,
        );
      }
      this.update(gradients, learningRate);
      return numbers[0]!;
    } finally {
      dispose([value, check, ...gradients]);
    }
  }

  private update(gradients: readonly Tensor[], learningRate: number): void {
    this.steps += 1;
    if (this.optimizer) {
      const named = this.variables.map((v, i) => [v.name, gradients[i]!] as const);
      this.optimizer.applyGradients(Object.fromEntries(named));
      return;
    }
    const adam = this.rule === 'adam';
    // Both bias corrections in two scalars: m̂ / (√v̂ + ε) = r m / (√v + ε s).
    const s = Math.sqrt(1 - BETA2 ** this.steps);
    const rate = (learningRate * s) / (1 - BETA1 ** this.steps);
    for (const [i, v] of this.variables.entries()) {
      const g = gradients[i]!;
      if (!adam) {
        tidy(() => v.assign(sub(v, mul(g, learningRate))));
        continue;
      }
      const [m0, v0] = [this.first[i], this.second[i]];
      const [m1, v1] = tidy(() => {
        const m = m0 ? add(mul(m0, BETA1), mul(g, 1 - BETA1)) : mul(g, 1 - BETA1);
        const w = mul(square(g), 1 - BETA2);
        const second = v0 ? add(mul(v0, BETA2), w) : w;
        v.assign(sub(v, mul(div(m, add(sqrt(second), EPSILON * s)), rate)));
        return [m, second];
      }) as [Tensor, Tensor];
      dispose([m0, v0].filter((x) => x !== undefined));
      this.first[i] = m1;
      this.second[i] = v1;
    }
  }

  /** What {@link load} continues from. */
  async save(): Promise<DescentState> {
    const moments = this.first.map(async (m, i) => ({
      first: Array.from(await m.data()),
      second: Array.from(await this.second[i]!.data()),
    }));
    return { steps: this.steps, moments: await Promise.all(moments) };
  }

  /**
   * Continues from a saved state.
   * @throws CheckpointError, with nothing changed, if it does not fit; TypeError for an optimizer of the user's
   */
  load(state: DescentState): void {
    if (this.optimizer) {
      throw new TypeError(
        `${this.caller}: resume must not be given with an optimizer of your own, got both`,
      );
    }
    const wanted = this.rule === 'adam' && state.steps > 0 ? this.variables.length : 0;
    const fits =
      Number.isSafeInteger(state.steps) &&
      state.steps >= 0 &&
      Array.isArray(state.moments) &&
      state.moments.length === wanted &&
      state.moments.every(
        ({ first, second }, i) =>
          first?.length === this.variables[i]!.size && second?.length === this.variables[i]!.size,
      );
    if (!fits) {
      throw new CheckpointError(`${this.caller}: resume must hold the state of these variables`);
    }
    dispose([...this.first, ...this.second]);
    const make = (data: number[], i: number) => tensor(data, this.variables[i]!.shape, 'float32');
    this.first = state.moments.map(({ first }, i) => make(first, i));
    this.second = state.moments.map(({ second }, i) => make(second, i));
    this.steps = state.steps;
  }

  /** Frees the moments. */
  dispose(): void {
    dispose([...this.first, ...this.second]);
    this.first = [];
    this.second = [];
    this.optimizer?.dispose();
  }
}
