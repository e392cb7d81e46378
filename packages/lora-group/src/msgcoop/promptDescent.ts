import { NonFiniteError } from '@orth/backend';
import {
  add,
  concat,
  keep,
  mul,
  type Optimizer,
  reshape,
  stack,
  sub,
  sum,
  type Tensor,
  tidy,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { FitLosses } from './fitOptions.js';
import type { PromptLosses } from './promptLosses.js';

/** What a step of SGD does. */
export interface StepSettings {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

/** SGD with momentum on what is learned, by PyTorch's rule: `v = m v + (g + w_d p)`, `p -= rate · v`. */
export class PromptDescent {
  private velocity: Tensor | undefined;

  constructor(private readonly parameter: Variable) {}

  /** The momentum, if a step was made since the start. */
  get momentum(): Tensor | undefined {
    return this.velocity;
  }

  /** Takes over a momentum, or forgets it. */
  reset(velocity?: Tensor): void {
    this.velocity?.dispose();
    this.velocity = velocity;
  }

  /**
   * One step.
   * @throws (rejects with) NonFiniteError, nothing changed, if a loss or the gradient is not finite
   */
  async step(
    caller: string,
    losses: () => PromptLosses,
    settings: StepSettings | Optimizer,
  ): Promise<FitLosses> {
    const { gradient, parts } = this.gradient(losses);
    const numbers = await parts.data();
    parts.dispose();
    if (numbers.some((x) => !Number.isFinite(x))) {
      gradient.dispose();
      throw new NonFiniteError(
        `${caller}: losses and their gradient must be finite, got losses ${[...numbers.slice(0, 4)]}; this step changed nothing`,
      );
    }
    if ('applyGradients' in settings) {
      settings.applyGradients([{ name: this.parameter.name, tensor: gradient }]);
    } else this.descend(gradient, settings);
    gradient.dispose();
    const [ce, semantic, diversity, loss] = numbers as unknown as [number, number, number, number];
    return { ce, semantic, diversity, loss };
  }

  private gradient(losses: () => PromptLosses): { gradient: Tensor; parts: Tensor } {
    return tidy(() => {
      let each: Tensor | undefined;
      const { grads } = variableGrads(() => {
        const { ce, semantic, diversity, total } = losses();
        each = keep(stack([ce, semantic, diversity, total]));
        return total;
      }, [this.parameter]);
      const gradient = grads[this.parameter.name]!;
      // 0 · x is 0 for every finite x alone: one number tells whether the whole gradient is finite.
      const parts = concat([each!, reshape(sum(mul(gradient, 0)), [1])]);
      each!.dispose();
      return { gradient, parts };
    });
  }

  private descend(gradient: Tensor, settings: StepSettings): void {
    const { learningRate, momentum, weightDecay } = settings;
    const { parameter } = this;
    const velocity = tidy(() => {
      const decayed = add(gradient, mul(parameter, weightDecay));
      const next = this.velocity ? add(mul(this.velocity, momentum), decayed) : decayed;
      parameter.assign(sub(parameter, mul(next, learningRate)));
      return next;
    });
    this.reset(keep(velocity));
  }
}
