/** Adam on given variables, whose whole state can be saved; rates are arguments, so schedules are the caller's. */
import {
  add,
  div,
  mul,
  sqrt,
  square,
  sub,
  type Tensor,
  tidy,
  type Variable,
  variable,
  zerosLike,
} from '@tensorflow/tfjs-core';

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/** Kingma and Ba 2015, algorithm 1. */
export class Adam {
  /** Updates made. */
  steps = 0;
  /** First and second moments, in the order of the variables. */
  readonly moments: readonly (readonly [Variable, Variable])[];

  constructor(private readonly variables: readonly Variable[]) {
    const zero = (w: Variable): Variable => {
      const start = zerosLike(w as Tensor);
      const moment = variable(start, false);
      start.dispose();
      return moment;
    };
    this.moments = variables.map((w) => [zero(w), zero(w)] as const);
  }

  /** One update; `rates` has one learning rate a variable, or one for all. */
  step(gradients: readonly Tensor[], rates: number | readonly number[]): void {
    this.steps++;
    const correction1 = 1 - BETA1 ** this.steps;
    const correction2 = 1 - BETA2 ** this.steps;
    tidy(() => {
      this.variables.forEach((w, i) => {
        const g = gradients[i]!;
        const [m, v] = this.moments[i]!;
        m.assign(add(mul(m, BETA1), mul(g, 1 - BETA1)));
        v.assign(add(mul(v, BETA2), mul(square(g), 1 - BETA2)));
        const rate = typeof rates === 'number' ? rates : rates[i]!;
        const scale = add(mul(sqrt(v), 1 / Math.sqrt(correction2)), EPSILON);
        w.assign(sub(w, mul(div(m, scale), rate / correction1)));
      });
    });
  }

  /** Frees the moments. */
  dispose(): void {
    for (const pair of this.moments) for (const x of pair) x.dispose();
  }
}

/** Learning rate of a step. */
export interface OneCycle {
  /** Highest rate. */
  readonly max: number;
  /** The first rate is max / divisor. */
  readonly divisor: number;
  /** The last rate is the first one / finalDivisor. */
  readonly finalDivisor: number;
  /** Steps in all. */
  readonly steps: number;
}

/** Share of the steps over which the rate rises. */
const RISE = 0.3;

/**
 * Rises along a cosine from max/divisor to max over 30 % of the steps, then falls along a cosine to the last rate.
 * @see Smith and Topin 2019, "Super-convergence"; the phases are those of PyTorch's `OneCycleLR`
 */
export function oneCycle({ max, divisor, finalDivisor, steps }: OneCycle, step: number): number {
  const top = RISE * steps - 1;
  const between = (from: number, to: number, share: number) =>
    to + ((from - to) / 2) * (1 + Math.cos(Math.PI * Math.min(1, Math.max(0, share))));
  if (step <= top) return between(max / divisor, max, step / top);
  return between(max, max / divisor / finalDivisor, (step - top) / Math.max(1, steps - 1 - top));
}
